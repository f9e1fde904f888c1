"""The figures of `backstory bench recall`, by hand and end to end."""

import json
import math
from pathlib import Path

import pytest

from memory.errors import Invalid
from server.bench.datasets import load
from server.bench.metrics import Found, difference, figures
from server.bench.running import run_recall_bench


def test_figures_by_hand() -> None:
    ranking = [Found("x", "s1", 96), Found("a", "s1", 96), Found("y", "s2", 296), Found("b", "s3", 96)]
    result = figures(ranking, ["a", "b", "c"], ["s1", "s3", "s9"])
    assert result["recall@5"] == result["recall@10"] == pytest.approx(2 / 3)
    assert (result["hit@10"], result["mrr"]) == (1.0, 0.5)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert result["ndcg@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert result["session_recall@5"] == pytest.approx(2 / 3)
    assert result["evidence@500w"] == pytest.approx(1 / 3), "x, a and y fill 500 words, b does not fit"


def test_a_clear_difference_and_none() -> None:
    clear = difference([1.0] * 50, [0.0] * 49 + [1.0])
    assert clear.mean == pytest.approx(0.98) and clear.low > 0.9
    none = difference([0.0, 1.0] * 30, [1.0, 0.0] * 30)
    assert none.low < 0 < none.high


CONVERSATION = {
    "conversation_id": "c1",
    "sessions": [
        {
            "messages": [
                {"id": "m1", "role": "user", "content": "I moved to Porto in spring."},
                {"id": "m2", "role": "assistant", "content": "How do you like it?"},
                {"id": "m3", "role": "user", "content": "My dog Biscuit loves the beach."},
            ]
        }
    ],
    "questions": [
        {"question": "What is my dog called?", "evidence": ["m3"], "category": "fact"},
        {"question": "Where do I live?", "evidence": ["gone"]},
    ],
}


def test_a_data_set_from_end_to_end(tmp_path: Path) -> None:
    data = tmp_path / "tiny.jsonl"
    data.write_text(json.dumps(CONVERSATION) + "\n", encoding="utf-8")
    told: list[str] = []
    report = run_recall_bench(data, None, ablate=True, compare=True, told=lambda what, done, total: told.append(what))
    assert (report.messages, len(report.main.rows), report.left_out) == (3, 1, 1)
    assert report.main.overall()["mrr"] == 1.0
    assert report.main.rows[0].first[0] == "m3"
    assert report.topics == {500: 1.0, 1500: 1.0}
    assert {"BM25 alone", "without window"} <= {other.name for other in report.others}
    assert "recording" in told
    json.dumps(report.as_json())


def test_a_file_that_is_none_names_the_line(tmp_path: Path) -> None:
    data = tmp_path / "bad.jsonl"
    data.write_text(json.dumps(CONVERSATION) + "\n{oops\n", encoding="utf-8")
    with pytest.raises(Invalid, match="line 2"):
        load(data)
    data.write_text(json.dumps(CONVERSATION), encoding="utf-8")
    with pytest.raises(Invalid, match="luck"):
        run_recall_bench(data, None, without=("luck",))

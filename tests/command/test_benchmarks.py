"""The benchmarks run, and their figures have floors beside them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_startup_is_measured_beside_a_bare_server(backstory: Any) -> None:
    script = str(ROOT / "benchmarks" / "startup.py")
    done = subprocess.run(
        [sys.executable, script, "--runs", "1", "--json"],
        env=backstory.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["backstory"]["initialize_ms"]["p50"] > 0 and figures["ratio"]["p50"] > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_latency_is_measured_beside_its_floors(backstory: Any) -> None:
    told = backstory.json("bench", "latency", "--messages", "1000", "--mine", "200")
    assert (told["messages"], told["mine"]) == (1000, 200)
    names = [figure["what"] for figure in told["figures"]]
    assert len(names) == len(set(names)) == 6
    assert all(figure["ms"]["p50"] > 0 for figure in told["figures"])
    assert [figure["what"] for figure in told["figures"] if "floor_ms" in figure] == ["search", "a turn acknowledged"]
    assert not backstory.data_dir.exists()


def test_generated_talk_is_varied_and_repeatable() -> None:
    from datetime import UTC, datetime

    from server.latency.talk import conversation, questions

    begin = datetime(2024, 1, 1, tzinfo=UTC)
    said = [message.content for message in conversation(1, begin, 2000)]
    assert said == [message.content for message in conversation(1, begin, 2000)]
    assert len(set(said)) > 1980 and len({word for text in said for word in text.split()}) > 2500
    assert len(set(questions(1, 100))) > 80

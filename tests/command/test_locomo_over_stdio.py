"""Real conversations: five of LoCoMo's imported, its own questions asked over the protocol."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ASKED = 20
ANSWERED = 15


def questions(path: Path) -> list[tuple[str, str, set[str]]]:
    """(project, question, message ids of its evidence), of all that have an answer, in a fixed random order."""
    found = []
    for sample in json.loads(path.read_text(encoding="utf-8")):
        project = sample["sample_id"]
        for asked in sample["qa"]:
            evidence = {part for item in asked["evidence"] for part in item.replace(";", " ").split()}
            if asked["category"] != 5 and evidence:
                found.append((project, asked["question"], {f"{project}:{dia_id}" for dia_id in evidence}))
    random.Random(2024).shuffle(found)
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_evidence_is_found_for_the_benchmarks_own_questions(
    backstory: Any, wire: Callable[..., Any], locomo: Path
) -> None:
    backstory("import", "--format", "locomo", "--wait", str(locomo))
    server = wire()
    server.initialize()
    right = 0
    chosen = questions(locomo)[:ASKED]
    for project, question, evidence in chosen:
        hits = server.call("search_conversation_history", query=question, project_id=project, limit=10)["hits"]
        right += bool(evidence & {hit["message_id"] for hit in hits})
    assert len(chosen) == ASKED and right >= ANSWERED, right

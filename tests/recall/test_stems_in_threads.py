"""Stemming from several threads at once gives what one thread gives."""

import sys
import threading
from collections.abc import Iterator

import pytest

from memory.recall.languages import stem

ENDINGS = ["s", "ed", "ing", "al", "ally", "ational", "ization", "ers", "ement", "iveness", "fulness", "ousli"]
WORDS = [root + ending for root in ("walk", "nation", "hop", "relat", "gener", "trad", "argu") for ending in ENDINGS]


@pytest.fixture
def hasty_switches() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_switches")
def test_threads_do_not_disturb_each_other() -> None:
    alone = [stem(word, "english") for word in WORDS]
    wrong: list[object] = []

    def work() -> None:
        try:
            for _ in range(30):
                wrong.extend(
                    got for word, right in zip(WORDS, alone, strict=True) if (got := stem(word, "english")) != right
                )
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

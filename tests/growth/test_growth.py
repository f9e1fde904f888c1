"""No text freezes a server: time grows with the length of a text alone, whatever the text.

Times are of this process's own work, the best of three, so that what else the machine does has little part in them;
what is too long even so is measured again.
"""

import gc
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from subjects import (
    ELSEWHERE,
    EXCLUDED,
    OBJECTS,
    functions,
    made_in_functions,
    modules,
    patterns,
    subjects,
    takers,
)
from texts import of_length

from memory.errors import BackstoryError

SHORT, LONG = 4_000, 16_000
MOST = 0.050
"""Seconds for 16,000 characters, on a machine that makes `steps` in `STEPS_TAKE` seconds."""
STEPS_TAKE = 0.0125
GROWTH = 6
"""How many times as long four times the text may take."""
LOADED_FOR = ("Hindi", "Korean", "Hebrew", "digits")
FLOOR = 0.020
"""Seconds below which growth is not judged: noise is as large."""
GLANCE = FLOOR / 16
"""What 4,000 characters take at most where even a square of the length stays below the floor."""
AGAIN = 4
"""Times that what took too long is measured again, before it is called a fault: a machine may be busy for a second."""


pytestmark = pytest.mark.timeout(600)  # some hundred functions with some hundred texts each


def spent(call: Callable[[], object]) -> float:
    gc.disable()  # what is collected meanwhile is the whole test's, not this text's
    tracing = sys.gettrace()
    sys.settrace(None)  # where coverage is measured, each line would cost more than what it does
    begun = time.process_time()
    try:
        call()
    except BackstoryError:
        pass  # a refusal is an answer
    finally:
        took = time.process_time() - begun
        sys.settrace(tracing)
        gc.enable()
    return took


def faults(name: str, made: Callable[[str], Callable[[], object]], forget: Callable[[], object]) -> list[str]:
    """What is wrong with the times that the calls take which `made` makes of the texts."""

    def best(text: str) -> float:
        call = made(text)
        return min((forget(), spent(call))[1] for _ in range(3))

    found = []
    for kind in LOADED_FOR:  # a library that is imported when it is first needed
        spent(made(of_length(100)[kind]))
    for kind, short in of_length(SHORT).items():
        forget()
        if spent(made(short)) < GLANCE or (first := best(short)) < GLANCE:
            continue
        last = best(of_length(LONG)[kind])
        for _ in range(AGAIN):
            if not too_long(first, last):
                break
            first, last = best(short), best(of_length(LONG)[kind])
        else:
            found.append(f"{name}, {kind}: 4,000 characters {first * 1000:.0f} ms, 16,000 {last * 1000:.0f} ms")
    return found


def too_long(first: float, last: float) -> bool:
    if last <= FLOOR:
        return False
    slowness = max(1.0, min(spent(steps) for _ in range(3)) / STEPS_TAKE)
    return last > MOST * slowness or last > GROWTH * first


def steps() -> None:
    """Work of a known size, to tell how fast the machine is at this moment."""
    seen: dict[str, int] = {}
    for number in range(40_000):
        word = f"{number % 1_000:x}"
        seen[word] = seen.get(word, 0) + 1


def caches() -> dict[str, Any]:
    """Every cache of the packages, by name."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": value
        for module in modules("memory", "inference", "storage", "server")
        for name, value in vars(module).items()
        if hasattr(value, "cache_parameters") and value.__module__ == module.__name__
    }


@pytest.fixture(scope="module")
def forget() -> Callable[[], object]:
    """Empties what keeps answers by the texts they were for: a text is new to a server but once."""
    kept = [value for name, value in caches().items() if name != "date_words.lexicon"]
    return lambda: [one.cache_clear() for one in kept]


def _finding(pattern: re.Pattern[str], text: str) -> Callable[[], object]:
    return lambda: sum(1 for _ in pattern.finditer(text))


def _matching(pattern: re.Pattern[str], text: str) -> Callable[[], object]:
    return lambda: pattern.fullmatch(text)


@pytest.mark.reliability
def test_every_pattern_is_linear(tried: Callable[[str, int], None]) -> None:
    found = []
    for name, pattern in patterns().items():
        found += faults(f"{name}.finditer", partial(_finding, pattern), int)
        found += faults(f"{name}.fullmatch", partial(_matching, pattern), int)
    tried("pattern fed with texts made to be slow", len(patterns()))
    assert found == []


def test_no_pattern_is_made_where_it_is_not_found() -> None:
    # Names of participants and a few words of a question, escaped: they repeat nothing, and are fed below. Cues are
    # made once, as the patterns of a module.
    assert set(made_in_functions()) <= {"query.strip_names", "excerpts._densest", "correction_cues._any"}


@pytest.mark.reliability
@pytest.mark.parametrize("part", range(4))
def test_every_function_that_takes_a_text_is_linear(
    part: int, forget: Callable[[], object], tried: Callable[[str, int], None]
) -> None:
    found = []
    tried("function fed with texts made to be slow", len(subjects()[part::4]))
    for subject in subjects()[part::4]:
        found += faults(subject.name, subject.fed, forget)
    assert found == []


def test_every_class_that_takes_a_text_is_known() -> None:
    unknown = takers() - set(OBJECTS) - ELSEWHERE
    assert not unknown, "add one to OBJECTS of subjects.py, or say in ELSEWHERE why it is fed over HTTP alone"
    assert not ELSEWHERE - takers()


def test_what_is_left_out_is_there() -> None:
    assert set(EXCLUDED) <= {name for name, _, _ in functions()}


def test_no_cache_keeps_a_long_text(forget: Callable[[], object]) -> None:
    forget()
    for subject in subjects():
        for kind in ("one letter", "hexadecimal", "random letters", "Chinese", "Hindi", "marks"):
            spent(subject.fed(of_length(SHORT)[kind]))
    unbounded = [name for name, one in caches().items() if one.cache_parameters()["maxsize"] is None]
    assert set(unbounded) <= {
        "corrections._marks",
        "date_words.lexicon",
        "toolbox._arguments",
        "normalising._takers",
    }  # by languages, tools, models
    for name, one in caches().items():
        assert max(map(len, kept_texts(one)), default=0) <= 512, f"{name} keeps a long text"


def kept_texts(cache: object, depth: int = 5) -> Iterator[str]:
    """The texts that a cache holds on to, as keys or as values."""
    for kept in gc.get_referents(cache):
        if isinstance(kept, str):
            yield kept
        elif (depth and isinstance(kept, dict | tuple | list)) or type(kept).__name__ == "_lru_list_elem":
            yield from kept_texts(kept, depth - 1)

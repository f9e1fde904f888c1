"""What the tests of user context, strategies, summaries and session context share."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memory.model import Message, NewMessage, Owner, Session
from memory.ports import Clock, RecordStore
from memory.record.recording import record
from memory.record.sessions import Target
from memory.text.tokens import EstimatedTokens

START = datetime(2025, 5, 7, 12, 0, tzinfo=UTC)


@pytest.fixture
def ticking(clock: Any) -> Any:
    """The clock of all tests, at the START of these."""
    clock.now = START
    return clock


@pytest.fixture
def ana() -> Owner:
    return Owner("tenant", "ana")


@pytest.fixture
def counter() -> EstimatedTokens:
    return EstimatedTokens()


@pytest.fixture
def message() -> Callable[..., Message]:
    """Builds one message; `seq` also makes its id and time."""

    def build(seq: int, role: str = "user", content: str = "", **fields: object) -> Message:
        at = START + timedelta(minutes=seq)
        values = {"message_id": f"m{seq}", "session_id": "s", "occurred_at": at, "recorded_at": at} | fields
        return Message(seq=seq, role=role, content=content or f"{role} says {seq}", **values)  # type: ignore[arg-type]

    return build


@pytest.fixture
def talk(ticking: Clock) -> Callable[..., Session]:
    """Records turns: each item is what the user says, with an answer, or a NewMessage as it is."""

    def say(
        store: RecordStore,
        owner: Owner,
        turns: Sequence[str | tuple[str, str] | NewMessage],
        session_id: str | None = None,
        project_id: str | None = None,
    ) -> Session:
        messages: list[NewMessage] = []
        for turn in turns:
            if isinstance(turn, NewMessage):
                messages.append(turn)
                continue
            said, answer = turn if isinstance(turn, tuple) else (turn, f"Noted: {turn}")
            messages += [NewMessage("user", said), NewMessage("assistant", answer)]
        return record(store, owner, messages, Target(session_id=session_id, project_id=project_id), ticking).session

    return say

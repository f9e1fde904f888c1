"""One table of questions, asked at every door that has them: equal results, equal refusals.

What memory refuses is refused in one sentence everywhere; what is wrong with a value's form (a flag, a query parameter)
each door may say in its own way, as long as it says the same of it.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from memory.model import NewMessage, Owner, SessionFilter
from memory.record.recording import record
from memory.record.sessions import Target, archive, list_page
from memory.record.user_context import upsert

pytestmark = pytest.mark.anyio

Ask = Callable[[Any], Awaitable[Any]]
Asks = Mapping[str, Ask]
FLAGS = {"project_id": "--project", "session_id": "--session"}


def flags(values: Mapping[str, Any]) -> list[str]:
    """Values as the flags of a command."""
    said: list[str] = []
    for name, value in values.items():
        flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
        said += [flag, str(value)] if not isinstance(value, bool) else ["--archived" if value else "--open"]
    return said


def search(query: str, **values: Any) -> Asks:
    asked = {"query": query, **values}
    return {
        "tool": lambda at: at.tool("search_conversation_history", asked),
        "rest": lambda at: at.rest("GET", "search", asked),
        "command": lambda at: at.command("search", "--json", *flags(values), "--", query),
    }


def topic(topic: str, **values: Any) -> Asks:
    asked = {"topic": topic, **values}
    return {
        "tool": lambda at: at.tool("get_context_around_topic", asked),
        "rest": lambda at: at.rest("GET", "topic", asked),
    }


def topic_in_words(topic: str, **values: Any) -> Asks:
    asked = {"topic": topic, "max_tokens": 2500, **values}
    return {
        "tool": lambda at: at.tool("get_context_around_topic", asked, as_text=True),
        "prompt": lambda at: at.prompt("recall_topic", {"topic": topic, **values}),
    }


def sessions(**values: Any) -> Asks:
    return {
        "tool": lambda at: at.tool("list_sessions", values),
        "rest": lambda at: at.rest("GET", "sessions", values),
        "command": lambda at: at.command("sessions", "--json", *flags(values)),
    }


def context(session_id: str, mode: str | None = None, **values: Any) -> Asks:
    strategy = {"strategy": {"mode": mode}} if mode else {}
    return {
        "tool": lambda at: at.tool("get_session_context", {"session_id": session_id, **strategy, **values}),
        "rest": lambda at: at.rest(
            "GET", f"sessions/{session_id}/context", {**values, **({"mode": mode} if mode else {})}
        ),
    }


def context_resource(session_id: str) -> Asks:
    address = f"memory://sessions/{session_id}/context"
    return {**context(session_id), "resource": lambda at: at.resource(address)}


def begun(**values: str) -> Asks:
    return {
        "tool": lambda at: at.tool("get_session_context", values, as_text=True),
        "prompt": lambda at: at.prompt("start_with_memory", values),
    }


def read(path: str, uri: str) -> Asks:
    return {"rest": lambda at: at.rest("GET", path), "resource": lambda at: at.resource(f"memory://{uri}")}


def user_context(**values: Any) -> Asks:
    return {
        "tool": lambda at: at.tool("get_user_context", values),
        "rest": lambda at: at.rest("GET", "user/context", values),
    }


def only(asks: Asks, *doors: str) -> Asks:
    return {door: asks[door] for door in doors}


def transcript(name: str) -> Asks:
    def rows(messages: Any) -> Any:
        return [
            (m["session_id"], m["message_id"], m["seq"], m["role"], m["content"], m["occurred_at"]) for m in messages
        ]

    async def exported(at: Any) -> Any:
        lines = await at.command("export", "--format", "jsonl", lines=True)
        return rows(m for m in lines if m["type"] == "message" and m["session_id"] == at.sessions[name])

    async def shown(answer: Awaitable[Any]) -> Any:
        return rows((await answer)["messages"])

    return {
        "rest": lambda at: shown(at.rest("GET", f"sessions/{{{name}}}/messages", {"limit": 1000})),
        "resource": lambda at: shown(at.resource(f"memory://sessions/{{{name}}}/messages")),
        "command": exported,
    }


LATER = {"since": "2026-06-10", "until": "2026-06-01"}
FOUND: Mapping[str, Asks] = {
    "words": search("boat"),
    "several words and a limit": search("boat paint leak", limit=3),
    "the largest limit": search("boat", limit=100),
    "yesterday": search("what did I say about the boat yesterday"),
    "today": search("boat today"),
    "last week": search("the boat last week"),
    "in May": search("the boat in May"),
    "since a bare date": search("boat", since="2026-06-09"),
    "until a bare date": search("boat", until="2026-06-09"),
    "until midnight said out": search("boat", until="2026-06-09T00:00"),
    "until midnight in UTC": search("boat", until="2026-06-09T00:00:00Z"),
    "between offsets": search("boat", since="2026-06-08T14:00:00+14:00", until="2026-06-09T12:00:00+02:00"),
    "with fractions of a second": search("boat", since="2026-06-08T00:00:00.500Z"),
    "a role in capitals": only(search("boat", role="ASSISTANT"), "tool", "rest"),
    "since seconds": search("boat", since=1780963200),
    "since a time in small letters": search("boat", since="2026-06-09t00:00:00z"),
    "a plus that arrives as a blank": search("boat", since="2026-06-09T00:00:00 02:00"),
    "days back": search("boat", days_back=3),
    "half a day back": search("boat", days_back=0.5),
    "of one session": search("boat", session_id="{talk}"),
    "of one role": search("boat", role="assistant"),
    "of one channel": search("boat", channel="voice"),
    "of one project": search("boat", project_id="flat"),
    "outside projects": search("boat", scope="global"),
    "with rewordings": only(search("vessel", queries=["boat", "sailing ship"]), "tool", "rest"),
    "words with blanks around": search("  boat  "),
    "a topic": topic("boat"),
    "a topic, yesterday": topic("the boat yesterday", max_tokens=300),
    "a topic in one session": topic("boat", session_id="{talk}", window=1),
    "a topic until a bare date": topic("boat", until="2026-06-09"),
    "a topic in words": topic_in_words("boat"),
    "a topic in words, yesterday": topic_in_words("what was said about the boat yesterday"),
    "a topic in words, of one project": topic_in_words("boat", project_id="flat"),
    "all sessions": {**sessions(limit=100), "resource": lambda at: at.resource("memory://sessions")},
    "the first sessions": sessions(limit=2),
    "sessions of a project": sessions(project_id="flat"),
    "archived sessions": sessions(archived=True),
    "open sessions": sessions(archived=False),
    "sessions by title": sessions(title="boat"),
    "sessions of a channel": only(sessions(channel="voice"), "tool", "rest"),
    "sessions outside projects": only(sessions(scope="global"), "tool", "rest"),
    "a session by its outside name": only(sessions(external_id="talk"), "tool", "rest"),
    "sessions from a cursor on": sessions(cursor="{next page}", limit=2),
    "a session": read("sessions/{talk}", "sessions/{talk}"),
    "its messages": transcript("talk"),
    "its summary": read("sessions/{flat}/summary", "sessions/{flat}/summary"),
    "no summary yet": read("sessions/{talk}/summary", "sessions/{talk}/summary"),
    "session context": context_resource("{talk}"),
    "session context with a query": context("{flat}", query="boat yesterday"),
    "session context, trimmed": context("{talk}", mode="trim", max_tokens=300),
    "session context for a call": context("{talk}", purpose="voice", query="boat"),
    "the beginning of a session": begun(),
    "the beginning, about something": begun(query="what about the boat yesterday"),
    "the beginning, in a project": begun(project_id="flat"),
    "user context": {**user_context(), "resource": lambda at: at.resource("memory://user/context")},
    "user context by key": user_context(keys=["city"]),
    "user context of a project": user_context(project_id="flat"),
    "user context with its history": user_context(include_history=True),
    "the preamble": read("user/preamble", "user/preamble"),
    "the profile": read("user/profile", "user/profile"),
}
NOTHING: Mapping[str, Asks] = {
    "words nobody said": search("xylophone"),
    "a time before everything": search("boat", until="1999-01-01"),
    "a time that ends before days_back begins": search("boat", days_back=1, until="2026-06-01"),
    "a project that is not": search("boat", project_id="nowhere"),
    "a topic nobody spoke of": topic("xylophone"),
    "sessions of a project that is not": sessions(project_id="nowhere"),
    "a key that is not": user_context(keys=["nothing"]),
}
REFUSED: Mapping[str, Asks] = {
    "an empty range": search("boat", **LATER),
    "an empty range of one moment": search("boat", since="2026-06-09T10:00:00Z", until="2026-06-09T10:00:00Z"),
    "a topic in an empty range": topic("boat", **LATER),
    "search in an unknown session": search("boat", session_id="ses_unknown"),
    "search in another's session": search("boat", session_id="{theirs}"),
    "a topic in another's session": topic("boat", session_id="{theirs}"),
    "an unknown session": read("sessions/ses_unknown", "sessions/ses_unknown"),
    "another's session": read("sessions/{theirs}", "sessions/{theirs}"),
    "messages of another's session": read("sessions/{theirs}/messages", "sessions/{theirs}/messages"),
    "summary of another's session": read("sessions/{theirs}/summary", "sessions/{theirs}/summary"),
    "context of an unknown session": context_resource("ses_unknown"),
    "context of another's session": context_resource("{theirs}"),
    "a cursor that is none": sessions(cursor="nonsense"),
    "another user": only(sessions(user="somebody"), "tool", "rest"),
}
# What is wrong with the form of a value each door says in its own way; so much is in each sentence.
IN_OWN_WORDS: Mapping[str, tuple[Asks, tuple[str, ...]]] = {
    "limit 0": (search("boat", limit=0), ("limit", "1")),
    "limit 101": (search("boat", limit=101), ("limit", "100")),
    "no sessions": (sessions(limit=0), ("limit", "1")),
    "too many sessions": (only(sessions(limit=101), "tool", "rest"), ("limit", "100")),
    "days back that are none": (
        search("boat", days_back=-1),
        (
            "days",
            "back",
        ),
    ),
    "a role that is none": (search("boat", role="admin"), ("role", "user", "assistant", "system", "tool")),
    "a channel that is none": (search("boat", channel="fax"), ("channel", "chat", "voice", "sms", "email")),
    "a scope that is none": (search("boat", scope="mine"), ("scope", "all", "global", "project")),
    "a time that is none": (search("boat", since="yesterday"), ("since", "iso 8601")),
    "a day that is none": (search("boat", until="2026-02-30"), ("until", "iso 8601")),
    "the end of time": (search("boat", until="9999-12-31"), ("until",)),
    "an id with a control character": (search("boat", session_id="a\x07b"), ("session",)),
    "an id that is too long": (search("boat", session_id="x" * 201), ("session",)),
    "a blank query": (search("   "), ("query", "empty")),
    "a blank topic": (topic("   "), ("empty",)),
    "nine rewordings": (only(search("boat", queries=["x"] * 9), "tool", "rest"), ("queries", "8")),
    "a budget of one token": (context("{talk}", max_tokens=1), ("max_tokens", "50")),
    "a mode that is none": (context("{talk}", mode="shrink"), ("mode", "none", "trim", "summarize", "compact")),
}


def remember(memory: Any, owner: Owner) -> dict[str, str]:
    """Records what the questions are about; the ids of the sessions, by name."""
    store, clock = memory.store, memory.clock
    ids = {}
    for name, project, channel in (("old", None, None), ("talk", None, "chat"), ("flat", "flat", "voice")):
        said = [
            NewMessage(
                "user" if n % 2 else "assistant",
                f"The boat of {name} number {n} leaks, and the paint comes off again and again. " * 3,
                f"{name}-{n}",
                occurred_at=clock() - timedelta(hours=n * 5),
            )
            for n in range(40)
        ]
        target = Target(external_id=name, project_id=project, channel=channel)  # type: ignore[arg-type]  # a channel
        ids[name] = record(store, owner, said, target, clock).session.session_id
        with store.write(owner) as records:
            records.update_session(
                ids[name], title=f"About the {name} boat", last_activity_at=clock() - timedelta(minutes=len(ids))
            )
    archive(store, owner, ids["old"], clock)
    memory.summarizing.summarize(owner, ids["flat"])
    upsert(store, owner, {"city": "Porto", "pets": ["cat"]}, clock=clock)
    upsert(store, owner, {"city": "Faro"}, clock=clock)
    upsert(store, owner, {"tone": "brief"}, category="preference", project_id="flat", clock=clock)
    return ids


@pytest.fixture(scope="module")
def history(still_memory: Any) -> tuple[Owner, dict[str, str]]:
    """A user with a history, and the ids of sessions by name; `theirs` is another user's."""
    owner, other, store, clock = (
        Owner("tests", "reader"),
        Owner("tests", "other"),
        still_memory.store,
        still_memory.clock,
    )
    ids = remember(still_memory, owner)
    ids["theirs"] = record(store, other, [NewMessage("user", "a boat")], Target(), clock).session.session_id
    ids["next page"] = list_page(store, owner, SessionFilter(), 2).next_cursor or ""
    return owner, ids


@pytest.fixture
def reader(doors_of: Callable[..., Any], history: tuple[Owner, dict[str, str]]) -> Any:
    return doors_of(*history)


async def answers(asks: Asks, at: Any) -> dict[str, Any]:
    return {door: await ask(at) for door, ask in asks.items()}


@pytest.mark.parametrize("name", FOUND)
async def test_doors_find_the_same(reader: Any, agree: Any, name: str) -> None:
    found = agree(await answers(FOUND[name], reader))
    assert "refused" not in found
    assert any(found.values()) if isinstance(found, dict) else found


@pytest.mark.parametrize("name", NOTHING)
async def test_doors_find_nothing_alike(reader: Any, agree: Any, name: str) -> None:
    found = agree(await answers(NOTHING[name], reader))
    assert [value for value in found.values() if isinstance(value, list)] == [[]]


@pytest.mark.parametrize("name", REFUSED)
async def test_doors_refuse_alike(reader: Any, agree: Any, name: str) -> None:
    assert agree(await answers(REFUSED[name], reader)).keys() == {"refused"}


@pytest.mark.parametrize("name", IN_OWN_WORDS)
async def test_doors_refuse_in_their_own_words(reader: Any, name: str) -> None:
    asks, words = IN_OWN_WORDS[name]
    for door, answer in (await answers(asks, reader)).items():
        assert answer.keys() == {"refused"}, f"{door} accepts it"
        missing = [word for word in words if word not in answer["refused"].lower()]
        assert not missing, f"{door} says: {answer['refused']}"

"""The same name is the same thing, however written; what was kept in other forms before has the one form now."""

import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from memory.context.strategies import in_force, set_strategy
from memory.errors import Invalid
from memory.model import MessageFilter, NewMessage, Owner, SessionFilter, digest_of
from memory.names import named, project_named
from memory.ports import Clock
from memory.record import user_context
from memory.record.recording import record
from memory.record.sessions import Target, existing
from storage.sql import SqlRecordStore, open_store, sqlite_url
from storage.sql.audit import audit_sessions
from storage.sql.digests import add_digest
from storage.sql.migrating import VERSION_TABLE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROJECT, THREAD, KEY = "/Users/x/Büro", "Gespräch-7", "Lieblingscafé"


def nfd(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def odd(name: str) -> str:
    return f" \u202a{nfd(name)[:3]}\u200b{nfd(name)[3:]}\u00ad\u00a0"


@pytest.mark.parametrize("form", [nfd, odd, str.strip, lambda name: name + "\ufeff "])
def test_a_name_has_one_form(form: object) -> None:
    assert callable(form)
    assert {named(form(name)) for name in (PROJECT, THREAD, KEY)} == {PROJECT, THREAD, KEY}


@pytest.mark.parametrize(
    ("project", "form"),
    [("/x/", "/x"), ("/x// ", "/x"), ("C:\\work\\", "C:\\work"), ("/", "/"), ("a/b", "a/b"), ("\u200b", ""), (" ", "")],
)
def test_a_project_ends_without_slashes(project: str, form: str) -> None:
    assert project_named(project) == form


def test_every_name_of_a_record_is_found_in_another_form(store: SqlRecordStore, owner: Owner, clock: Clock) -> None:
    say = [NewMessage("user", "So\u00adft", speaker=odd("Zoë"), tool_name=None)]
    target = Target(external_id=odd(THREAD), project_id=nfd(PROJECT) + "/", agent=odd("Büro-Bot"), title=odd("Café"))
    first = record(store, owner, say, target, clock).session
    again = record(store, owner, say, Target(external_id=THREAD, project_id=PROJECT), clock).session
    assert again.session_id == first.session_id
    assert (first.project_id, first.external_id, first.agent, first.title) == (PROJECT, THREAD, "Büro-Bot", "Café")
    with store.read(owner) as records:
        message = records.transcript(first.session_id)[0]
        assert (message.speaker, message.content) == ("Zoë", "So\u00adft")
        assert MessageFilter(project_id=odd(PROJECT), session_id=f"{first.session_id} ").admits(message)
        for where in (
            SessionFilter(project_id=odd(PROJECT)),
            SessionFilter(external_id=odd(THREAD)),
            SessionFilter(title=nfd("café")),
        ):
            assert [s.session_id for s in records.sessions(where, 5)] == [first.session_id]
        assert existing(records, f" {first.session_id}\u200b").session_id == first.session_id


def test_keys_and_agents_are_found_in_another_form(store: SqlRecordStore, owner: Owner, clock: Clock) -> None:
    user_context.upsert(store, owner, {odd(KEY): "Zimt"}, project_id=odd(PROJECT), clock=clock)
    (entry,) = user_context.get(store, owner, [nfd(KEY)], nfd(PROJECT) + "/", clock=clock)
    assert (entry.key, entry.value, entry.project_id) == (KEY, "Zimt", PROJECT)
    user_context.upsert(
        store, owner, {KEY: "Anis"}, project_id=PROJECT, expected_versions={nfd(KEY): entry.version}, clock=clock
    )
    with pytest.raises(Invalid, match="twice"):
        user_context.upsert(store, owner, {KEY: 1, nfd(KEY): 2}, clock=clock)
    with pytest.raises(Invalid, match="project_id is empty"):
        user_context.upsert(store, owner, {KEY: 1}, project_id=" \u200b", clock=clock)
    set_strategy(store, owner, "agent", nfd("Büro"), {"mode": "trim"})
    with store.read(owner) as records:
        assert in_force(records, None, "Büro ").mode == "trim"


def test_names_kept_in_other_forms_before_are_found_after_the_migration(
    tmp_path: Path, owner: Owner, clock: Clock
) -> None:
    url = sqlite_url(tmp_path / "old.db")
    with_old_names(url, owner, clock)
    store = open_store(url)
    try:
        with store.read(owner) as records:
            session = records.session_by_external_id(THREAD)
            assert session is not None
            assert (session.project_id, session.agent) == (PROJECT, "Büro-Bot")
            assert [m.project_id for m in records.transcript(session.session_id)] == [PROJECT, PROJECT]
            assert [e.value for e in records.user_context(PROJECT, [KEY])] == ["Zimt"]
            assert [e.value for e in records.user_context_history(PROJECT, [KEY])] == ["Anis", "Zimt"]
            assert in_force(records, None, "Büro-Bot").mode == "trim"
        with store.database.reading() as db:
            assert audit_sessions(db) == []
    finally:
        store.close()


def with_old_names(url: str, owner: Owner, clock: Clock) -> None:
    """A database of version 3, which kept names as they came."""
    store = open_store(url)
    turns = [NewMessage("user", "One", tool_arguments=None, metadata={"a": 1}), NewMessage("assistant", "Two")]
    target = Target(external_id=THREAD, project_id=PROJECT, agent="Büro-Bot")
    session = record(store, owner, turns, target, clock).session
    record(store, owner, turns, Target(external_id="other", project_id=PROJECT), clock)
    for value in ("Anis", "Zimt"):
        user_context.upsert(store, owner, {KEY: value}, project_id=PROJECT, clock=clock)
    set_strategy(store, owner, "agent", "Büro-Bot", {"mode": "trim"})
    old = {"project": nfd(PROJECT) + "/", "thread": nfd(THREAD), "key": nfd(KEY), "agent": nfd("Büro-Bot")}
    with store.read(owner) as records:
        told = records.transcript(session.session_id)
    with store.database.writing() as db:
        total = ""
        for message in told:
            object.__setattr__(message, "project_id", old["project"])
            digest = digest_of(message)
            total = add_digest(total, [digest])
            change = text("UPDATE messages SET project_id = :project, digest = :digest WHERE message_id = :id")
            db.execute(change, {"project": old["project"], "digest": digest, "id": message.message_id})
        for statement in (
            "UPDATE sessions SET project_id = :project, external_id = :thread, agent = :agent, message_digest = :total"
            " WHERE session_id = :id",
            "UPDATE user_context SET project_key = :project, key = :key",
            "UPDATE user_context_history SET project_key = :project, key = :key",
            "UPDATE memory_strategies SET name = :agent",
            f"UPDATE {VERSION_TABLE} SET version_num = '0003'",
        ):
            names = {name for name in (*old, "id", "total") if f":{name}" in statement}
            values = {**old, "id": session.session_id, "total": total}
            db.execute(text(statement), {name: values[name] for name in names})
    store.close()

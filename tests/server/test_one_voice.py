"""The same thing reads the same at every door."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.server.conftest import Connect

pytestmark = pytest.mark.anyio

OWN = {
    "text": "They spoke about the flat.",
    "decisions": ["Take the blue tiles"],
    "commitments": [{"what": "send the plan", "who": "agent", "by_when": "by Friday"}, "call the bank"],
    "open_questions": ["Who pays the deposit?"],
    "facts": ["The balcony faces south"],
}
LISTS = """\
Commitments:
- call the bank
- Agent: send the plan, by Friday
Open questions:
- Who pays the deposit?
Decisions:
- Take the blue tiles
Facts:
- The balcony faces south"""


async def test_a_summary_with_its_commitments_reads_alike_wherever_it_stands(connect: "Connect") -> None:
    async with connect() as call:
        await call("record_messages", messages=[{"role": "user", "content": "About the flat."}])
        quoted = "\n".join(f"| {line}" for line in ["They spoke about the flat.", *LISTS.splitlines()])
        assert quoted in await call.text("summarize_session", summary=OWN)
        assert quoted in await call.text("get_session_context")
        await call("archive_session")
        archived = (await call.read("memory://archive/latest"))[1]
        assert quoted in archived
        preamble = (await call.read("memory://user/preamble"))[1]
        assert "\n- call the bank (said " in preamble
        assert "\n- Agent: send the plan, by Friday (said " in preamble


async def test_an_entry_reads_alike_wherever_it_stands(connect: "Connect") -> None:
    async with connect() as call:
        await call("record_messages", messages=[{"role": "user", "content": "Hello."}])
        values = {"values": {"mood": "hurried"}, "category": "state", "source": "inferred", "confidence": 0.6}
        stored = await call.text("upsert_user_context", expires_in_days=900, **values)
        at = (await call("get_user_context"))["entries"][0]["expires_at"]
        line = f"- mood: hurried (inferred, confidence 0.60, not confirmed; until {int(at[8:10])} "
        assert line in await call.text("get_session_context")
        for text in (stored, await call.text("get_user_context")):
            assert line in text
            assert text.endswith("; state, version 1)")


async def test_a_long_message_is_cut_with_one_mark(connect: "Connect") -> None:
    async with connect() as call:
        long = {"hut": "x" * 5_000}
        said = {"role": "assistant", "content": "word " * 1_000, "tool_name": "book", "tool_arguments": long}
        await call("record_messages", messages=[said])
        text = await call.text("search_conversation_history", query="word")
        assert text.count("more characters: memory://sessions/") == 1
        await call("record_messages", messages=[{**said, "content": "", "tool_arguments": {"zebra": "x" * 5_000}}])
        assert '| arguments {"zebra":"xxx' in await call.text("search_conversation_history", query="zebra")

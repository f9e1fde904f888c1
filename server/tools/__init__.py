"""The tools, one file each, and the sets in which they are offered."""

from collections.abc import Iterable, Mapping

from server.calling import Calls
from server.identity import Right
from server.settings import ToolSet
from server.tools.archive_session import archive_session
from server.tools.get_context_around_topic import get_context_around_topic
from server.tools.get_session_context import get_session_context
from server.tools.get_user_context import get_user_context
from server.tools.identify_user import identify_user
from server.tools.list_sessions import list_sessions
from server.tools.record_messages import record_messages
from server.tools.search_conversation_history import search_conversation_history
from server.tools.set_memory_strategy import set_memory_strategy
from server.tools.start_session import start_session
from server.tools.summarize_session import summarize_session
from server.tools.toolbox import MemoryTool, Spec
from server.tools.upsert_user_context import upsert_user_context

RECALL = (search_conversation_history, get_context_around_topic, get_user_context, get_session_context)
AGENT = (
    *RECALL,
    record_messages,
    upsert_user_context,
    summarize_session,
    list_sessions,
    start_session,
    archive_session,
)
FULL = (*AGENT, set_memory_strategy, identify_user)

TOOL_SETS: Mapping[ToolSet, tuple[Spec, ...]] = {"recall": RECALL, "agent": AGENT, "full": FULL}
FOR_BRIDGES: Mapping[ToolSet, tuple[Spec, ...]] = {"recall": (), "agent": (identify_user,), "full": ()}
"""What those who act for others are given beside a set, and nobody else is shown."""


def needed_rights(tool_set: ToolSet) -> Mapping[str, frozenset[Right]]:
    """By name, the rights without which a tool is not shown: the one that calling it asks for, and a bridge's."""
    own: dict[str, frozenset[Right]] = {spec.name: frozenset({spec.right}) for spec in TOOL_SETS[tool_set]}
    return own | {spec.name: frozenset({spec.right, "act-as"}) for spec in FOR_BRIDGES[tool_set]}


def bound(tool_set: ToolSet, calls: Calls, also: Iterable[Spec] = ()) -> list[MemoryTool]:
    """The tools of a set, and `also` these, ready to be served."""
    return [MemoryTool.bound(spec, calls) for spec in (*TOOL_SETS[tool_set], *also)]

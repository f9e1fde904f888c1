"""Prompts that a person picks in a host: memory without the model having to ask for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp.types import Prompt, PromptArgument

from memory.context.session_context import ContextRequest
from memory.errors import Invalid, shown
from memory.model import QUERY_LENGTH, MessageFilter
from memory.text.quoting import cut
from server.calling import Call
from server.wire import answers

TOPIC_TOKENS = 2_500


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """A prompt: what it asks for (`arguments`: name to description, the `required` ones first), and what it says."""

    name: str
    title: str
    description: str
    arguments: Mapping[str, str]
    required: frozenset[str]
    render: Callable[..., str]

    def listed(self) -> Prompt:
        """How the list of prompts shows it."""
        wanted = [
            PromptArgument(name=name, description=text, required=name in self.required)
            for name, text in self.arguments.items()
        ]
        return Prompt(name=self.name, title=self.title, description=self.description, arguments=wanted)

    def checked(self, given: Mapping[str, Any]) -> dict[str, str]:
        """The arguments that are there. Errors: Invalid for a missing or unknown one."""
        values = {name: str(value).strip() for name, value in given.items() if value is not None and str(value).strip()}
        for name in self.required - values.keys():
            raise Invalid(name, "is missing", f"the prompt {self.name} needs it")
        for name in values.keys() - self.arguments.keys():
            raise Invalid(f"The prompt {self.name}", f"has no {shown(name)}", f"it takes {', '.join(self.arguments)}")
        return values


def _echoed(text: str) -> str:
    """What a prompt repeats of what it was asked for."""
    return cut(text, QUERY_LENGTH)


def _recall_topic(call: Call, topic: str, project_id: str | None = None) -> str:
    from memory.recall import TopicRequest

    wanted = TopicRequest(topic, MessageFilter(project_id=project_id), max_tokens=TOPIC_TOKENS)
    found = answers.topic(call.memory.recall.topic(call.owner, wanted), call.memory.counter)
    return (
        f"Recall what we said about {_echoed(topic)}. This is what the memory holds:\n\n{found.text}\n\n"
        "Sum up what matters, say when and by whom it was said, and name what is still open."
    )


def _start_with_memory(call: Call, query: str | None = None, project_id: str | None = None) -> str:
    wanted = ContextRequest(project_id=project_id, query=query, display_name=call.caller.display_name)
    given = answers.session_context(call.memory.session_contexts.get(call.owner, wanted), call.memory.counter)
    wish = f"I would like to talk about: {_echoed(query)}" if query else "Greet me, and take up where we left off."
    return f"This is what you know from our earlier conversations:\n\n{given.text}\n\n{wish}"


_PROJECT = "Only this project's memory"
PROMPTS: Mapping[str, PromptSpec] = {
    spec.name: spec
    for spec in (
        PromptSpec(
            "recall_topic",
            "Recall a topic",
            "What was said about a topic in earlier conversations, put before the model",
            {"topic": "What to recall", "project_id": _PROJECT},
            frozenset({"topic"}),
            _recall_topic,
        ),
        PromptSpec(
            "start_with_memory",
            "Start with memory",
            "Begin a conversation with what is known: user context, summary, last turns",
            {"query": "What it is about", "project_id": _PROJECT},
            frozenset(),
            _start_with_memory,
        ),
    )
}

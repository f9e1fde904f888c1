"""Asking the client's own model, in both protocol eras. Never the first choice: the client may decline, or be slow."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
)

from inference.summarizers.prompting import Prompt
from memory.errors import Unavailable

KEY = "model"
SECONDS = 120.0
HANDSHAKE_ERA_ENDS = "2026-07-28"


@dataclass(frozen=True, slots=True)
class Question:
    """What the client's model is asked about a session's messages up to `to_seq`."""

    prompt: Prompt
    to_seq: int

    def mark(self) -> str:
        """Travels with the client's repeated call, which may come after more was said: which question it answers."""
        return f"{self.to_seq} {sha256(self.prompt.text.encode()).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What the client's model was asked, and its words, or why there are none."""

    question: Question
    words: str | Unavailable


def asked_up_to(context: Context[Any, Any]) -> int | None:
    """The `to_seq` of the question that this call answers; None for a call that answers none."""
    mark = context.request_state
    return int(mark.partition(" ")[0]) if mark else None


def can_sample(context: Context[Any, Any]) -> bool:
    """Whether the client offers its model, and can be asked: who takes JSON alone hears nothing before the answer."""
    offered = context.client_capabilities
    if offered is None or offered.sampling is None:
        return False
    http = context.request_context.request
    modern = (context.protocol_version or "") >= HANDSHAKE_ERA_ENDS
    return modern or http is None or not http.scope.get("backstory.json_alone", False)


async def ask_model(context: Context[Any, Any], question: Question) -> ModelAnswer | InputRequiredResult:
    """The answer; or, in the 2026 era, first the question, which the client answers by repeating its call."""
    request = CreateMessageRequest(
        params=CreateMessageRequestParams(
            messages=[SamplingMessage(role="user", content=TextContent(type="text", text=question.prompt.text))],
            system_prompt=question.prompt.system,
            max_tokens=question.prompt.answer_tokens,
        )
    )
    result: Any
    if (context.protocol_version or "") >= HANDSHAKE_ERA_ENDS:
        result = (context.input_responses or {}).get(KEY)
        if result is None:
            return InputRequiredResult(input_requests={KEY: request}, request_state=question.mark())
        if context.request_state != question.mark():
            return ModelAnswer(question, Unavailable("the conversation was summarized or erased in the meantime"))
    else:
        try:
            result = await context.session.send_request(
                request,
                CreateMessageResult,
                request_read_timeout_seconds=SECONDS,
                metadata=ServerMessageMetadata(related_request_id=context.request_id),
            )
        except MCPError as error:
            return ModelAnswer(question, Unavailable(f"the client's model did not answer (code {error.error.code})"))
    content = getattr(result, "content", None)
    if not isinstance(content, TextContent):
        return ModelAnswer(question, Unavailable("the client's model did not answer in text"))
    return ModelAnswer(question, content.text)

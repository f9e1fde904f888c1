"""How a plain function becomes a tool: its arguments checked, its caller known, its answer rendered."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata
from mcp.types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import Field, PrivateAttr, ValidationError, create_model

from memory.errors import BackstoryError
from server.calling import Call, Calls, in_thread
from server.errors import argument_error, tool_error
from server.identity import Right
from server.protocol.json_schema import input_schema, output_schema
from server.protocol.sampling import Question, ask_model, asked_up_to, can_sample
from server.wire.answers import Answer
from server.wire.normalising import normalised
from server.wire.values import Arguments, Id, Outgoing

Handler = Callable[..., Answer[Outgoing]]
Asks = Callable[[Call, Mapping[str, Any], int | None], Question | None]
User = Annotated[Id | None, Field(description="Only if you act for several users")]


@dataclass(frozen=True, slots=True, eq=False)
class Spec:
    """A tool as described to a model, before it is bound to a memory."""

    handler: Handler
    title: str
    right: Right
    annotations: ToolAnnotations
    asks: Asks | None = None

    @property
    def name(self) -> str:
        return self.handler.__name__

    @property
    def arguments(self) -> type[Arguments]:
        """What the tool takes."""
        return _arguments(self.handler)

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The handler's values, and `user`. Errors: ValidationError."""
        model = self.arguments
        return model.model_validate(normalised(model, arguments)).model_dump_one_level()


def reads(title: str) -> Callable[[Handler], Spec]:
    """Describes a tool that changes nothing."""
    hints = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    return lambda handler: Spec(handler, title, "read", hints)


def writes(
    title: str, *, idempotent: bool, destructive: bool = False, right: Right = "write", asks: Asks | None = None
) -> Callable[[Handler], Spec]:
    """Describes a tool that changes the record.

    `asks` says what the client's model is to answer first, if anything, given the call, its arguments, and up to which
    message it was asked before, where the call brings the answer.
    """
    hints = ToolAnnotations(
        read_only_hint=False, destructive_hint=destructive, idempotent_hint=idempotent, open_world_hint=False
    )
    return lambda handler: Spec(handler, title, right, hints, asks)


class MemoryTool(Tool):
    """A tool whose handler is a synchronous function of a `Call`; every failure is one sentence."""

    _spec: Spec = PrivateAttr()
    _calls: Calls = PrivateAttr()

    @classmethod
    def bound(cls, spec: Spec, calls: Calls) -> "MemoryTool":
        answer = get_args(get_type_hints(spec.handler, include_extras=True)["return"])[0]
        tool = cls(
            fn=spec.handler,
            name=spec.name,
            title=spec.title,
            description=inspect.cleandoc(spec.handler.__doc__ or "").replace("\n", " "),
            parameters=input_schema(spec.arguments),
            fn_metadata=FuncMetadata(arg_model=spec.arguments, output_schema=output_schema(answer)),
            is_async=False,
            annotations=spec.annotations,
        )
        tool._spec, tool._calls = spec, calls
        return tool

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Errors: ToolError with one sentence; UnexpectedToolError for what nobody foresaw (logged by the SDK)."""
        values = self._checked(arguments)
        try:
            done = await self._answered(context, values.pop("user"), values)
        except BackstoryError as error:
            raise tool_error(error) from error
        except Exception as error:
            raise UnexpectedToolError(f"{self.name} failed inside the server; its log says why.") from error
        if isinstance(done, InputRequiredResult):
            return done
        call, answer = done
        await self._calls.done(call)
        if not convert_result:
            return answer.data
        return CallToolResult(
            content=[TextContent(type="text", text=answer.text)], structured_content=answer.data.model_dump(mode="json")
        )

    async def _answered(
        self, context: Context[Any, Any], user: str | None, values: dict[str, Any]
    ) -> tuple[Call, Answer[Outgoing]] | InputRequiredResult:
        asks, handler = self._spec.asks, self._spec.handler

        def opened() -> Call:
            return self._calls.open(context.request_context, user, self._spec.right)

        def answered() -> tuple[Call, Answer[Outgoing]]:
            call = opened()
            return call, handler(call, **values)

        if asks is None or not can_sample(context):
            return await in_thread(answered)
        call = await in_thread(opened)
        question = await in_thread(asks, call, values, asked_up_to(context))
        asked = await ask_model(context, question) if question is not None else None
        if isinstance(asked, InputRequiredResult):
            return asked
        call.model_answer = asked
        return call, await in_thread(handler, call, **values)

    def _checked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._spec.checked(arguments)
        except ValidationError as error:
            raise argument_error(self.name, error, self._spec.arguments.model_fields) from None


@cache
def _arguments(handler: Handler) -> type[Arguments]:
    hints = get_type_hints(handler, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(handler).parameters.items()
        if name != "call"
    }
    fields["user"] = (User, None)
    return create_model(handler.__name__, __base__=Arguments, **fields)

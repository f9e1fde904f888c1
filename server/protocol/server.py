"""The MCP server: the SDK's, with the resources and subscriptions of a memory that belongs to somebody."""

from collections.abc import Iterable, Mapping
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, UnexpectedResourceError
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmptyResult,
    GetPromptResult,
    InputRequiredResult,
    Prompt,
    PromptMessage,
    Resource,
    ResourceTemplate,
    SubscribeRequestParams,
    TextContent,
    UnsubscribeRequestParams,
)
from pydantic.networks import AnyUrl

from memory.errors import BackstoryError, shown
from memory.model import Owner
from memory.record.sessions import existing
from server.calling import Call, Calls, in_thread
from server.errors import resource_error
from server.opening import LazyMemory
from server.protocol.completions import MOST, suggestions
from server.protocol.prompts import PROMPTS
from server.protocol.sdk_privates import lowlevel_of
from server.protocol.updates import Listening, listening
from server.resources import RESOURCES, family_of
from server.wire.fitting import beginning

Request = ServerRequestContext[Any, Any]


class MemoryServer(MCPServer[LazyMemory]):
    """An MCPServer over `Calls`. Others may still add tools, resources and prompts of their own."""

    def __init__(self, calls: Calls, **options: Any) -> None:
        super().__init__(subscriptions=calls.updates, **options)
        self.calls = calls
        self.middleware.append(self._hear_own)
        add = lowlevel_of(self).add_request_handler
        add("resources/subscribe", SubscribeRequestParams, self._subscribe)
        add("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)
        add("completion/complete", CompleteRequestParams, self._complete)

    async def list_resources(self) -> list[Resource]:
        """Ours, then what others added."""
        return [family.listed() for family in RESOURCES if not family.is_template] + await super().list_resources()

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """Ours, then what others added."""
        ours = [family.listed_template() for family in RESOURCES if family.is_template]
        return ours + await super().list_resource_templates()

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[LazyMemory, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Reads one resource. Errors: ResourceNotFoundError, ResourceError, both with one sentence."""
        address = str(uri)
        if not address.startswith("memory://"):
            return await super().read_resource(uri, context)
        if (matched := family_of(address)) is None:
            raise ResourceNotFoundError(f"No resource {shown(address)} was found; list the resources and templates.")
        family, parts = matched
        try:
            return (await in_thread(lambda: family.read(self._opened(context), **parts))).contents()
        except BackstoryError as error:
            raise resource_error(error) from error
        except Exception as error:
            raise UnexpectedResourceError(f"Reading {address} failed inside the server; its log says why.") from error

    async def list_prompts(self) -> list[Prompt]:
        """Ours, then what others added."""
        return [prompt.listed() for prompt in PROMPTS.values()] + await super().list_prompts()

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[LazyMemory, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """Renders a prompt. Errors: MCPError with one sentence."""
        prompt = PROMPTS.get(name)
        if prompt is None:
            if name in {other.name for other in await super().list_prompts()}:
                return await super().get_prompt(name, arguments, context)
            raise MCPError(INVALID_PARAMS, f"No prompt {shown(name)} was found; there are {', '.join(PROMPTS)}.")
        try:
            given = prompt.checked(arguments or {})
            text = await in_thread(lambda: prompt.render(self._opened(context), **given))
        except BackstoryError as error:
            raise MCPError(INVALID_PARAMS, str(error)) from error
        message = PromptMessage(role="user", content=TextContent(type="text", text=text))
        return GetPromptResult(description=prompt.description, messages=[message])

    def _opened(self, context: Context[LazyMemory, Any] | None) -> Call:
        return self.calls.open(context.request_context if context is not None else None, None, "read")

    async def _complete(self, ctx: Request, params: CompleteRequestParams) -> CompleteResult:
        def suggest() -> list[str]:
            return suggestions(
                self.calls.open(ctx, None, "read"), params.ref, params.argument.name, params.argument.value
            )

        try:
            values = await in_thread(suggest)
        except BackstoryError as error:
            raise MCPError(INVALID_PARAMS, str(error)) from error
        shown = values[: min(MOST, beginning(values, lambda value: len(value.encode()) + 3))]
        return CompleteResult(completion=Completion(values=shown, total=None, has_more=len(values) > len(shown)))

    async def _hear_own(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """A listening stream hears of its own caller's changes; another's session is not found."""
        if ctx.method != "subscriptions/listen":
            return await call_next(ctx)
        uris = _asked_for(ctx.params)
        token = listening.set(Listening(await self._subscribing(ctx, uris), frozenset(uris)))
        try:
            return await call_next(ctx)
        finally:
            listening.reset(token)

    async def _subscribe(self, ctx: Request, params: SubscribeRequestParams) -> EmptyResult:
        uri = str(params.uri)
        self.calls.updates.add(await self._subscribing(ctx, [uri]), ctx.session, uri)
        return EmptyResult()

    async def _unsubscribe(self, ctx: Request, params: UnsubscribeRequestParams) -> EmptyResult:
        self.calls.updates.remove(ctx.session, str(params.uri))
        return EmptyResult()

    async def _subscribing(self, ctx: Request, uris: list[str]) -> Owner:
        """Whose changes may be heard. Errors: MCPError for an address of which nothing is there for this caller."""
        sessions = [parts["session_id"] for uri in uris for _, parts in [family_of(uri) or (None, {})] if parts]

        def check() -> Owner:
            caller = self.calls.caller(ctx, None, "read")
            if sessions:
                with self.calls.memory.wait().store.read(caller.owner) as records:
                    for session_id in sessions:
                        existing(records, session_id)
            return caller.owner

        try:
            return await in_thread(check)
        except BackstoryError as error:
            raise MCPError(INVALID_PARAMS, str(error)) from error


def _asked_for(params: Mapping[str, Any] | None) -> list[str]:
    wanted = (params or {}).get("notifications")
    uris = wanted.get("resourceSubscriptions") if isinstance(wanted, Mapping) else None
    return [uri for uri in uris if isinstance(uri, str)] if isinstance(uris, list) else []

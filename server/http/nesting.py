"""Says of a body that was refused because its JSON is nested too deeply that it is that."""

import json

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.http.problems import problem_response
from server.protocol.nesting import TOO_DEEP, outline, too_deep

INVALID_REQUEST = -32600
_REFUSED = frozenset({400, 422})
_MCP = frozenset({"/mcp", "/messages"})


class SayNesting:
    """ASGI middleware: where readers of JSON give up without saying why, and that is why, the answer is another.

    Bodies come whole, in one message.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        body, replaced = b"", False

        async def heard() -> Message:
            nonlocal body
            message = await receive()
            body = message.get("body", b"") or body
            return message

        async def told(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] in _REFUSED:
                text = body.decode("utf-8", "replace")
                if replaced := too_deep(text):
                    await _refusal(scope["path"], text)(scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(scope, heard, told)


def _refusal(path: str, text: str) -> Response:
    if path not in _MCP:
        return problem_response(400, TOO_DEEP)
    error = {"code": INVALID_REQUEST, "message": TOO_DEEP}
    answer = {"jsonrpc": "2.0", "id": _id_in(text), "error": error}
    return Response(json.dumps(answer), 400, media_type="application/json")


def _id_in(text: str) -> str | int | None:
    try:
        message = outline(text)
    except ValueError:
        return None
    found = message.get("id") if isinstance(message, dict) else None
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None

"""All that is taken from behind the protocol SDK's public names, and why: what to look at when the SDK changes."""

from collections.abc import Hashable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.server.mcpserver import MCPServer
    from mcp.server.session import ServerSession
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.types import Receive, Scope, Send


class Connection(Hashable, Protocol):
    """What a session's requests travel on; its exit stack is run when it ends."""

    exit_stack: AsyncExitStack


def lowlevel_of(server: "MCPServer[Any]") -> "Server[Any]":
    """The server below, which alone takes handlers of the handshake era's methods, streams of our own, and a manager of
    HTTP sessions."""
    return server._lowlevel_server


def has_tool(server: "MCPServer[Any]", name: str) -> bool:
    """Whether a tool of this name is registered; the public list is made anew, schemas and all, for each question."""
    return server._tool_manager.get_tool(name) is not None


def connection_of(session: "ServerSession") -> Connection:
    """What outlives the request that `session` stands for, and is the same for all requests of a client."""
    return session._connection


def lifespan_state_of(manager: "StreamableHTTPSessionManager") -> Any:
    """What the running server's lifespan gave, for a transport beside the manager: running the server for it would
    enter the lifespan once more for each connection."""
    return manager._lifespan_state


def serves_session(manager: "StreamableHTTPSessionManager", session_id: str) -> bool:
    """Whether the manager knows this session of the handshake era; it says so in its refusals alone."""
    return session_id in manager._server_instances


async def serve_without_session(
    manager: "StreamableHTTPSessionManager", version: str | None, scope: "Scope", receive: "Receive", send: "Send"
) -> None:
    """Answers one request as a stateless server would; a manager is publicly either stateless or not."""
    await manager._handle_stateless_request(version, scope, receive, send)

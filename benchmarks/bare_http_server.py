"""The floor under load: an MCP server with one tool that does nothing, over Streamable HTTP and SSE. Argument: PORT."""

import sys
import warnings

import uvicorn
from mcp.server.mcpserver import MCPServer

warnings.simplefilter("ignore")
mcp = MCPServer("bare", log_level="ERROR")


@mcp.tool()
def nothing(text: str) -> str:
    """Does nothing."""
    return text


if __name__ == "__main__":
    app = mcp.streamable_http_app()
    known = {getattr(route, "path", "") for route in app.routes}
    app.router.routes.extend(r for r in mcp.sse_app().routes if getattr(r, "path", "") not in known)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", timeout_keep_alive=30)

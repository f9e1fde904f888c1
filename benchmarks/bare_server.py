"""The floor for start-up: an MCP server with one tool that does nothing."""

from mcp.server.mcpserver import MCPServer

mcp = MCPServer("bare")


@mcp.tool()
def nothing(text: str) -> str:
    """Returns its argument."""
    return text


if __name__ == "__main__":
    mcp.run("stdio")

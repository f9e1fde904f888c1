"""Google's own SDK, which takes an MCP session as a tool."""

from google.genai import _mcp_utils, types
from google.genai._adapters import McpToGenAiToolAdapter
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from trial import Trial, main


async def run(trial: Trial) -> None:
    server = StdioServerParameters(command=trial.command, args=trial.args, env=trial.env)
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        listed = await session.list_tools()
        trial.listed = [tool.name for tool in listed.tools]
        for tool in listed.tools:
            with trial.converting("gemini", tool.name):
                _mcp_utils.mcp_to_gemini_tool(tool)
            with trial.converting("agent platform", tool.name):
                _mcp_utils.agent_platform_to_gemini_tool(tool)
        adapter = McpToGenAiToolAdapter(session, listed)

        async def call(name: str, arguments: dict) -> str:
            result = await adapter.call_tool(types.FunctionCall(name=name, args=arguments))
            assert not result.is_error, result.content[0].text
            return result.content[0].text

        await trial.call_all(call)


main(run, "google-genai", "mcp")

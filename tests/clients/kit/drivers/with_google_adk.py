"""Google's Agent Development Kit: its own declarations, and its conversion to Gemini's schema."""

from google.adk.tools._gemini_schema_util import _to_gemini_schema
from google.adk.tools.mcp_tool import McpToolset, StdioConnectionParams
from mcp import StdioServerParameters
from trial import Trial, main


async def run(trial: Trial) -> None:
    server = StdioServerParameters(command=trial.command, args=trial.args, env=trial.env)
    toolset = McpToolset(connection_params=StdioConnectionParams(server_params=server, timeout=60))
    try:
        tools = {tool.name: tool for tool in await toolset.get_tools()}
        trial.listed = list(tools)
        for name, tool in tools.items():
            with trial.converting("declaration", name):
                assert tool._get_declaration()
            with trial.converting("gemini", name):
                raw = tool.raw_mcp_tool
                _to_gemini_schema(raw.model_dump(by_alias=True)["inputSchema"])

        async def call(name: str, arguments: dict) -> str:
            result = await tools[name]._run_async_impl(args=arguments, tool_context=None, credential=None)
            assert not result.get("isError"), result
            return result["content"][0]["text"]

        await trial.call_all(call)
    finally:
        await toolset.close()


main(run, "google-adk")

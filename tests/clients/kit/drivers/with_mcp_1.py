"""The SDK's client, version 1: it checks results against their schemas."""

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from trial import Trial, main


async def run(trial: Trial) -> None:
    server = StdioServerParameters(command=trial.command, args=trial.args, env=trial.env)
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        trial.listed = [tool.name for tool in (await session.list_tools()).tools]

        async def call(tool: str, arguments: dict) -> str:
            result = await session.call_tool(tool, arguments)
            assert not result.isError, result.content[0].text
            assert result.structuredContent is not None
            return result.content[0].text

        await trial.call_all(call)


main(run, "mcp")

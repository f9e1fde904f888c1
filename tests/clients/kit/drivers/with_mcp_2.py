"""The SDK's client, version 2: it checks results against their schemas."""

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from trial import Trial, main


async def run(trial: Trial) -> None:
    server = StdioServerParameters(command=trial.command, args=trial.args, env=trial.env)
    async with Client(stdio_client(server)) as client:
        trial.listed = [tool.name for tool in (await client.list_tools()).tools]

        async def call(tool: str, arguments: dict) -> str:
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result.content[0].text
            assert result.structured_content is not None
            return result.content[0].text

        await trial.call_all(call)


main(run, "mcp")

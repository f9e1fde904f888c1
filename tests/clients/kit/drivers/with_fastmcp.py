"""FastMCP's client, which makes `.data` of the schema of the result."""

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from trial import Trial, main


async def run(trial: Trial) -> None:
    transport = StdioTransport(command=trial.command, args=trial.args, env=trial.env)
    async with Client(transport, timeout=60) as client:
        trial.listed = [tool.name for tool in await client.list_tools()]

        async def call(tool: str, arguments: dict) -> str:
            result = await client.call_tool(tool, arguments)
            assert result.data is not None
            return result.content[0].text

        await trial.call_all(call)


main(run, "fastmcp")

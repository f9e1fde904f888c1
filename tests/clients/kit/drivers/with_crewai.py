"""CrewAI, by its tools' adapter: a Pydantic model is made of each schema, and of that a schema for OpenAI."""

import asyncio

from crewai.utilities.agent_utils import convert_tools_to_openai_schema
from crewai_tools import MCPServerAdapter
from mcp import StdioServerParameters
from trial import Trial, main


async def run(trial: Trial) -> None:
    server = StdioServerParameters(command=trial.command, args=trial.args, env=trial.env)
    with MCPServerAdapter(server, connect_timeout=60) as found:
        tools = {tool.name: tool for tool in found}
        trial.listed = list(tools)
        for name, tool in tools.items():
            with trial.converting("openai", name):
                (converted,), _, _ = convert_tools_to_openai_schema([tool])
                assert converted["function"]["parameters"]["properties"]

        async def call(name: str, arguments: dict) -> str:
            return await asyncio.to_thread(tools[name].run, **arguments)

        await trial.call_all(call)


main(run, "crewai", "crewai-tools", "mcp")

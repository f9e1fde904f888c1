"""AutoGen: a Pydantic model is made of each schema, and a process started for each call."""

from autogen_core import CancellationToken
from autogen_ext.models.openai._openai_client import convert_tools
from autogen_ext.tools.mcp import StdioServerParams, mcp_server_tools
from trial import Trial, main


async def run(trial: Trial) -> None:
    params = StdioServerParams(command=trial.command, args=trial.args, env=trial.env, read_timeout_seconds=60)
    tools = {tool.name: tool for tool in await mcp_server_tools(params)}
    trial.listed = list(tools)
    for name, tool in tools.items():
        with trial.converting("openai", name):
            convert_tools([tool])

    async def call(name: str, arguments: dict) -> str:
        return tools[name].return_value_as_string(await tools[name].run_json(arguments, CancellationToken()))

    await trial.call_all(call)


main(run, "autogen-ext", "mcp")

"""LlamaIndex: a Pydantic model is made of each schema, and a process started for each call."""

from llama_index.tools.mcp import BasicMCPClient, McpToolSpec
from trial import Trial, main


async def run(trial: Trial) -> None:
    client = BasicMCPClient(trial.command, args=trial.args, env=trial.env, timeout=60)
    tools = {tool.metadata.name: tool for tool in await McpToolSpec(client).to_tool_list_async()}
    trial.listed = list(tools)
    for name, tool in tools.items():
        with trial.converting("openai", name):
            assert tool.metadata.to_openai_tool()["function"]["parameters"]["properties"]

    async def call(name: str, arguments: dict) -> str:
        output = await tools[name].acall(**arguments)
        assert not output.is_error, output.content
        return output.content

    await trial.call_all(call)


main(run, "llama-index-tools-mcp", "mcp")

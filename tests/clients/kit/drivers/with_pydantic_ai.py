"""Pydantic AI: the schemas rewritten for Google, and for OpenAI loosely and strictly."""

from fastmcp.client.transports import StdioTransport
from pydantic_ai import RunContext, RunUsage
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.test import TestModel
from pydantic_ai.profiles.google import GoogleJsonSchemaTransformer
from pydantic_ai.profiles.openai import OpenAIJsonSchemaTransformer
from trial import Trial, main


async def run(trial: Trial) -> None:
    transport = StdioTransport(command=trial.command, args=trial.args, env=trial.env)
    async with MCPToolset(transport, include_return_schema=True) as toolset:
        context = RunContext(deps=None, model=TestModel(), usage=RunUsage())
        tools = await toolset.get_tools(context)
        trial.listed = list(tools)
        for name, tool in tools.items():
            schema = tool.tool_def.parameters_json_schema
            with trial.converting("google", name):
                GoogleJsonSchemaTransformer(schema).walk()
            for strict in (None, True):
                with trial.converting("openai strict" if strict else "openai", name):
                    OpenAIJsonSchemaTransformer(schema, strict=strict).walk()

        async def call(name: str, arguments: dict) -> object:
            checked = tools[name].args_validator.validate_python(arguments)
            return await toolset.call_tool(name, checked, context, tools[name])

        await trial.call_all(call)


main(run, "pydantic-ai-slim")

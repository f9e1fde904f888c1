"""The OpenAI Agents SDK: converted loosely and strictly, for both of OpenAI's interfaces; called as its runner does.

Asked to be strict, it leaves a tool loose that takes an object of any keys, and says so in its log.
"""

import json

from agents import Agent, RunContextWrapper
from agents.mcp import MCPServerStdio, MCPUtil
from agents.models.chatcmpl_converter import Converter as ChatConverter
from agents.models.openai_responses import Converter as ResponsesConverter
from agents.strict_schema import ensure_strict_json_schema
from agents.tool_context import ToolContext
from trial import Trial, main

TAKE_ANY_KEYS = ("record_messages", "get_session_context", "upsert_user_context")


async def run(trial: Trial) -> None:
    params = {"command": trial.command, "args": trial.args, "env": trial.env}
    async with MCPServerStdio(params, client_session_timeout_seconds=60) as server:
        agent = Agent("tests")
        context = RunContextWrapper(context=None)
        trial.listed = [tool.name for tool in await server.list_tools()]
        for strict in (False, True):
            converter = "strict" if strict else "loose"
            tools = await MCPUtil.get_function_tools(server, strict, context, agent)
            for tool in tools:
                with trial.converting(converter, tool.name):
                    ResponsesConverter.convert_tools([tool], [])
                    ChatConverter.tool_to_openai(tool)
                    if strict:
                        assert tool.strict_json_schema or tool.name in TAKE_ANY_KEYS
                        ensure_strict_json_schema(tool.params_json_schema)
            by_name = {tool.name: tool for tool in tools}

        async def call(name: str, arguments: dict) -> str:
            text = json.dumps(arguments)
            told = ToolContext(context=None, tool_name=name, tool_call_id="1", tool_arguments=text)
            return str(await by_name[name].on_invoke_tool(told, text))

        await trial.call_all(call)


main(run, "openai-agents", "mcp")

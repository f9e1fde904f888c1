"""LangChain's MCP adapters, with the converters for Google and for OpenAI (loosely and strictly)."""

from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_google_genai._function_utils import convert_to_genai_function_declarations
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI
from trial import Trial, main


async def run(trial: Trial) -> None:
    connection = {"transport": "stdio", "command": trial.command, "args": trial.args, "env": trial.env}
    google = ChatGoogleGenerativeAI(model="gemini-2.5-flash", api_key="none")
    openai = ChatOpenAI(model="gpt-5", api_key="none")
    async with MultiServerMCPClient({"backstory": connection}).session("backstory") as session:
        tools = await load_mcp_tools(session)
        trial.listed = [tool.name for tool in tools]
        for tool in tools:
            with trial.converting("google", tool.name):
                convert_to_genai_function_declarations([tool])
                google.bind_tools([tool])
            for strict in (None, True):
                with trial.converting("openai strict" if strict else "openai", tool.name):
                    convert_to_openai_tool(tool, strict=strict)
                    openai.bind_tools([tool], strict=strict)
        by_name = {tool.name: tool for tool in tools}
        await trial.call_all(lambda name, arguments: by_name[name].ainvoke(arguments))


main(run, "langchain-mcp-adapters", "langchain-google-genai", "langchain-openai")

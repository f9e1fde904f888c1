"""Our HTTP server with the fixtures that the conformance suite asks for by name. Arguments: PORT DATA_DIR."""

import base64
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import anyio
import mcp.types as t
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import UserMessage

from server.app import build_memory
from server.http.serving import Server, build_application, listen
from server.protocol.sdk_privates import lowlevel_of
from server.settings import HttpSettings, Settings

warnings.simplefilter("ignore")  # the suite tests what the protocol has deprecated, too
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
SOUND = base64.b64encode(b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0@\x1f\0\0\1\0\x08\0data\0\0\0\0").decode()
Ctx = Context[Any, Any]


def embedded(uri: str, mime_type: str, text: str) -> t.EmbeddedResource:
    return t.EmbeddedResource(type="resource", resource=t.TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def simple_text() -> t.TextContent:
    return t.TextContent(type="text", text="This is a simple text response for testing.")


def image_content() -> t.ImageContent:
    return t.ImageContent(type="image", data=PIXEL, mime_type="image/png")


def audio_content() -> t.AudioContent:
    return t.AudioContent(type="audio", data=SOUND, mime_type="audio/wav")


def embedded_resource() -> t.EmbeddedResource:
    return embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")


def multiple_content_types() -> list[t.TextContent | t.ImageContent | t.EmbeddedResource]:
    mixed = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    return [t.TextContent(type="text", text="Multiple content types test:"), image_content(), mixed]


async def tool_with_logging(ctx: Ctx) -> str:
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(line)
        await anyio.sleep(0.05)
    return "done"


def error_handling() -> str:
    raise ToolError("This tool intentionally returns an error for testing")


async def tool_with_progress(ctx: Ctx) -> str:
    for progress in (0, 50, 100):
        await ctx.report_progress(progress, 100)
        await anyio.sleep(0.05)
    return "done"


async def sampling(prompt: str, ctx: Ctx) -> str:
    asked = [t.SamplingMessage(role="user", content=t.TextContent(type="text", text=prompt))]
    answer = await ctx.session.create_message(asked, max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {answer.content.text}"


async def elicited(ctx: Ctx, message: str, properties: dict[str, Any], required: list[str]) -> str:
    schema = {"type": "object", "properties": properties, "required": required}
    answer = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}"


async def elicitation(message: str, ctx: Ctx) -> str:
    properties = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    return await elicited(ctx, message, properties, ["username", "email"])


async def elicitation_defaults(ctx: Ctx) -> str:
    properties = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await elicited(ctx, "defaults", properties, [])


async def elicitation_enums(ctx: Ctx) -> str:
    plain = ["option1", "option2", "option3"]

    def titled(what: str) -> list[dict[str, str]]:
        return [
            {"const": f"value{n}", "title": f"{word} {what}"} for n, word in enumerate(("First", "Second", "Third"), 1)
        ]

    names = ["Option One", "Option Two", "Option Three"]
    properties = {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled("Option")},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": names},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled("Choice")}},
    }
    return await elicited(ctx, "enums", properties, [])


def add_tools(mcp: MCPServer[Any]) -> None:
    for name, function in (
        ("test_simple_text", simple_text),
        ("test_image_content", image_content),
        ("test_audio_content", audio_content),
        ("test_embedded_resource", embedded_resource),
        ("test_multiple_content_types", multiple_content_types),
        ("test_tool_with_logging", tool_with_logging),
        ("test_error_handling", error_handling),
        ("test_tool_with_progress", tool_with_progress),
        ("test_sampling", sampling),
        ("test_elicitation", elicitation),
        ("test_elicitation_sep1034_defaults", elicitation_defaults),
        ("test_elicitation_sep1330_enums", elicitation_enums),
    ):
        mcp.tool(name=name, description="A fixture.")(function)


def add_resources(mcp: MCPServer[Any]) -> None:
    @mcp.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @mcp.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        return base64.b64decode(PIXEL)

    @mcp.resource("test://watched-resource")
    def watched() -> str:
        return "watched"

    @mcp.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def add_prompts(mcp: MCPServer[Any]) -> None:
    @mcp.prompt(description="A fixture.")
    def test_simple_prompt() -> str:
        return "This is a simple prompt for testing."

    @mcp.prompt(description="A fixture.")
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @mcp.prompt(description="A fixture.")
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 the suite's own name
        part = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [UserMessage(part), UserMessage("Please process the embedded resource above.")]

    @mcp.prompt(description="A fixture.")
    def test_prompt_with_image() -> list[UserMessage]:
        return [UserMessage(image_content()), UserMessage("Please analyze the image above.")]


async def set_level(_: Any, __: t.SetLevelRequestParams) -> t.EmptyResult:
    return t.EmptyResult()


def main() -> None:
    port, data_dir = int(sys.argv[1]), Path(sys.argv[2])
    settings = Settings(data_dir=data_dir, embedder="none", port=port, http=HttpSettings(auth="none"))
    with build_memory(settings) as memory:
        application = build_application(settings, memory)
        mcp = application.site.server
        for add in (add_tools, add_resources, add_prompts):
            add(mcp)
        lowlevel_of(mcp).add_request_handler("logging/setLevel", t.SetLevelRequestParams, set_level)
        listening = listen(settings.host, port)
        Server(application, settings, listening).run(sockets=[listening])


if __name__ == "__main__":
    main()

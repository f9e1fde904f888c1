"""The `backstory` command: a table of subcommands that are imported when they are run, and how failures are shown.

Exit codes: 0 done, 1 failed, 2 wrong usage. A failure is one sentence on standard error.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Mapping, Sequence
from typing import ClassVar, NoReturn

import click

from memory.errors import BackstoryError
from server import __version__
from server.commands.lazy import LazyGroup


class Commands(LazyGroup):
    table: ClassVar[Mapping[str, tuple[str, str]]] = {
        "serve": ("server.commands.serve:serve", "Run the MCP server (stdio by default)."),
        "demo": ("server.commands.demo:demo", "See it remember across a killed server, in seconds."),
        "search": ("server.commands.search:search", "Search the conversation history."),
        "sessions": ("server.commands.sessions:sessions", "List sessions, newest first."),
        "import": ("server.commands.importing:import_", "Import conversations from files."),
        "export": ("server.commands.export:export", "Export everything that is remembered."),
        "connect": ("server.commands.connect:connect", "Connect an MCP host to this server."),
        "reindex": ("server.commands.reindex:reindex", "Rebuild the search index, or wait for it."),
        "migrate": ("server.commands.migrate:migrate", "Bring the database to this version's schema."),
        "doctor": ("server.commands.doctor:doctor", "Check that everything is in order."),
        "token": ("server.commands.token:token", "Access tokens for the HTTP server."),
        "user": ("server.commands.user:user", "Users, and what they are recognised by."),
        "bench": ("server.commands.bench:bench", "Measure recall and latency."),
    }


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `backstory demo`, then `backstory connect claude-desktop --write`.",
)
@click.version_option(__version__, "-V", "--version", prog_name="backstory", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def cli(debug: bool) -> None:
    """Backstory: durable memory for any agent that speaks the Model Context Protocol."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and ends the process with its exit code."""
    arguments = list(sys.argv[1:] if args is None else args)
    _prepare_streams()
    code = run(arguments)
    leave(_close_output(code))


def leave(code: int) -> NoReturn:
    """Ends the process. Where models or the index were at work, at once: their threads cannot be ended one by one."""
    if any(name in sys.modules for name in ("onnxruntime", "lancedb")):
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit code."""
    try:
        result = cli.main(args=arguments, prog_name="backstory", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return 2
    except click.ClickException as error:
        return failed(error.format_message())
    except (KeyboardInterrupt, click.Abort):
        return failed("Interrupted; what was finished before is kept.")
    except BrokenPipeError:
        return _silenced()
    except BackstoryError as error:
        if "--debug" in arguments:
            raise
        return failed(str(error))
    except Exception as error:
        if "--debug" in arguments:
            raise
        return _silenced() if _is_closed_pipe(error) else failed(described(error))
    return result if isinstance(result, int) else 0


def failed(sentence: str) -> int:
    """Says on standard error what went wrong; returns the exit code for it."""
    click.echo(f"Error: {sentence}", err=True)
    return 1


def described(error: Exception) -> str:
    """An error nobody foresaw, as one line."""
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}."
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]} (`backstory --debug …` shows where)".replace(":  ", " ")


def _is_closed_pipe(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _prepare_streams() -> None:
    """Output never fails for its encoding or for being absent: what cannot be written is escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 lives as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _close_output(code: int) -> int:
    """Flushes standard output while an error can still be reported; returns the exit code."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _silenced()
    except OSError as error:
        _silenced()
        return failed(f"The output could not be written: {error.strerror}.")
    return code


def _silenced() -> int:
    """Whoever read our output has gone: nothing more can be said to them, not even at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1

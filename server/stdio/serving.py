"""Serving over stdio: the wire is taken aside before anything else can write to it, and its end is the process's end.

File descriptors 0 and 1 point at the null device and at stderr from the first moment on, for this process and all that
it starts. The protocol alone has the real ones.
"""

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import anyio

from server.log_lines import PlainLines, log_failures
from server.protocol.sdk_privates import lowlevel_of
from server.settings import Settings
from server.stdio.pipe import hung_up, open_wire, take_wire

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

    from server.protocol.pacing import Pacing

log = logging.getLogger("backstory.stdio")
ANSWER_SECONDS = 0.8
EXIT_SECONDS = 1.5
SWITCH_SECONDS = 0.0005
"""How long a thread that indexes or loads behind may keep the interpreter from a call, a tenth of the usual."""


def serve(settings: Settings) -> NoReturn:
    """Serves the memory that `settings` describe until stdin closes, or the process is told to end. Does not return."""
    stdin, stdout = take_wire()
    configure_logging(settings.log_level)
    ending = Ending()
    code = 1
    try:
        code = _run(settings, ending, stdin, stdout)
    except BaseException as error:
        if _is_broken_pipe(error):
            log.warning("Nobody reads the answers any more")
        else:
            log.exception("The server failed")
    finally:
        ending.exit(code)


def configure_logging(level: str) -> None:
    """Plain lines on stderr: ours from `level` on, other libraries' warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("backstory").setLevel(level)
    logging.captureWarnings(True)
    log_failures()


class Ending:
    """The end of the process: on time, whatever still runs. Helpers end when their standard input does."""

    def __init__(self) -> None:
        self._begun = threading.Lock()
        self._exiting = threading.Lock()
        self._answering = 0
        self._quiet_since = time.monotonic()
        self._count = threading.Lock()
        self.close: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """From now on the process has EXIT_SECONDS left."""
        if self._begun.acquire(blocking=False):
            threading.Thread(target=self._at_the_latest, name="backstory-ending", daemon=True).start()

    def exit(self, code: int) -> NoReturn:
        """Closes the memory and ends the process, threads that still run included."""
        self.begin()
        self._exiting.acquire()  # whoever comes second waits for the end that the first one makes
        try:
            self.close()
        except Exception:
            log.exception("The memory did not close")
        _leave(code)

    def exit_aside(self, code: int) -> None:
        """The same from a thread, for callers that must return."""
        threading.Thread(target=self.exit, args=(code,), daemon=True).start()

    async def middleware(self, ctx: "ServerRequestContext[Any, Any]", call_next: "CallNext") -> "HandlerResult":
        """Counts the requests that are being answered, so that a closed stdin does not cut off an answer."""
        if ctx.request_id is None or ctx.method == "subscriptions/listen":
            return await call_next(ctx)
        self._counted(1)
        try:
            return await call_next(ctx)
        finally:
            self._counted(-1)

    def input_ended(self) -> None:
        """Begins the end; blocks until nothing has been waiting for its answer for a moment, ANSWER_SECONDS at most."""
        self.begin()
        latest = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < latest:
            with self._count:
                if not self._answering and time.monotonic() - self._quiet_since > 0.05:
                    return
            time.sleep(0.01)

    def _counted(self, step: int) -> None:
        with self._count:
            self._answering += step
            self._quiet_since = time.monotonic()

    def _at_the_latest(self) -> None:
        time.sleep(EXIT_SECONDS)
        log.info("Not everything stopped in time; the process ends now")
        _leave(0)


class Watch:
    """Looks for the end of the input while nothing is read from it, since answers are not read: a host that has closed
    it and reads nothing has gone."""

    def __init__(self, wire_in: int, pacing: "Pacing", ending: Ending) -> None:
        self._wire_in = wire_in
        self._pacing = pacing
        self._ending = ending
        self._sent = -1
        self._since = 0.0

    async def __call__(self) -> None:
        moved = self._pacing.sent != self._sent or not self._pacing.unread
        if moved or not hung_up(self._wire_in):
            self._sent, self._since = self._pacing.sent, time.monotonic()
        elif time.monotonic() - self._since > ANSWER_SECONDS:
            self._ending.exit_aside(0)


def _leave(code: int) -> NoReturn:
    logging.shutdown()
    os._exit(code)


def _is_broken_pipe(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_broken_pipe, error.exceptions))
    return isinstance(error, BrokenPipeError)


def _run(settings: Settings, ending: Ending, wire_in: int, wire_out: int) -> int:
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.disable()  # what is made before the first answer stays: looking through it for garbage took a tenth of the time
    from mcp.server.stdio import stdio_server

    from server.app import build_memory, build_server
    from server.protocol.pacing import Pacing

    memory = build_memory(settings)
    ending.close = memory.close
    server = build_server(memory, tools=settings.tools)
    gc.freeze()
    gc.enable()
    server.middleware.append(ending.middleware)
    signal.signal(signal.SIGTERM, lambda *_: ending.exit_aside(0))
    signal.signal(signal.SIGINT, lambda *_: ending.exit_aside(130))
    stdin, stdout = open_wire(wire_in, wire_out, ended=ending.input_ended, broken=lambda: ending.exit_aside(0))

    async def run() -> None:
        async with stdio_server(anyio.wrap_file(stdin), anyio.wrap_file(stdout)) as (read_stream, write_stream):
            pacing = Pacing()
            pacing.while_full = Watch(wire_in, pacing, ending)
            read_stream, write_stream = pacing.over(read_stream, write_stream)
            protocol = lowlevel_of(server)  # the SDK's own run_stdio_async takes no streams
            await protocol.run(read_stream, write_stream, protocol.create_initialization_options())

    anyio.run(run)
    return 0

"""One LanceDB connection for synchronous callers in any thread, and what its failures mean."""

import asyncio
import os
import re
from asyncio import CancelledError
from collections.abc import Coroutine
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import timedelta
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

T = TypeVar("T")
_INDEX_CACHE: Final = 512 << 20
_METADATA_CACHE: Final = 64 << 20
_ANSWER_SECONDS: Final = 60.0
_SURROUNDINGS: Final = frozenset({1, 5, 12, 13, 16, 19, 23, 24, 26, 27, 28, 30, 32, 112, 116, 122})
"""Error numbers that speak of the machine (disk full, read-only, too many files, …), not of the index."""
_OS_ERROR: Final = re.compile(r"os error (\d+)")
_PATH: Final = re.compile(r",? ?/[^ ,]*+")
_PLACE: Final = re.compile(r"\.rs:\d++:\d++")
_SCHEME: Final = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]++://")


class _Closed(Exception):
    """The connection was closed before the call was done."""


_OURS: Final = (TimeoutError, FutureTimeout, CancelledError, FutureCancelled, _Closed)


class LanceFailed(Exception):
    """A LanceDB call failed. `surroundings`: the machine's fault, the index may be whole. `conflict`: try again."""

    def __init__(self, error: BaseException) -> None:
        text = " ".join(str(error).split())
        self.reason = _readable(text) or type(error).__name__
        super().__init__(self.reason)
        numbers = {int(number) for number in _OS_ERROR.findall(text)}
        if isinstance(error, OSError) and error.errno is not None:
            numbers.add(error.errno)
        self.surroundings = bool(numbers & _SURROUNDINGS) or isinstance(error, _OURS)
        self.conflict = "conflict" in text.lower()


def _readable(text: str) -> str:
    """LanceDB's message without the places in its source code, cut to one short line."""

    def without_place(path: re.Match[str]) -> str:
        place = _PLACE.search(path.group())
        return path.group()[place.end() :] if place else path.group()

    return _PATH.sub(without_place, text).strip(" ,.")[:200]


def located(uri: str | Path) -> str:
    """An object store's URI as it is; a path made absolute, since LanceDB takes a relative one for its cloud."""
    text = str(uri)
    if text.startswith("file://"):
        text = url2pathname(urlsplit(text).path)
    return text if _SCHEME.match(text) else str(Path(text).expanduser().absolute())


class Connection:
    """Opened at first use. Calls run on an event loop in a thread of their own."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._db: Any = None
        self._closed = False

    def run(self, call: Coroutine[Any, Any, T], seconds: float | None = _ANSWER_SECONDS) -> T:
        """The call's result. Errors: LanceFailed."""
        try:
            future = asyncio.run_coroutine_threadsafe(call, self._running())
        except (_Closed, RuntimeError) as error:
            call.close()
            raise LanceFailed(_Closed(error)) from error
        try:
            return future.result(seconds)
        except (KeyboardInterrupt, SystemExit):
            future.cancel()
            raise
        except (Exception, FutureCancelled) as error:
            future.cancel()
            raise LanceFailed(error) from error
        except BaseException as error:
            # A panic inside LanceDB, on a file it did not expect, is no Exception.
            raise LanceFailed(error) from error

    def open_table(self, name: str) -> Any:
        """Errors: LanceFailed."""
        return self.run(self._open_table(name))

    def table_names(self) -> list[str]:
        """Errors: LanceFailed."""
        return self.run(self._table_names())

    def drop_table(self, name: str) -> None:
        """Errors: LanceFailed."""
        self.run(self._drop_table(name))

    async def db(self) -> Any:
        """The asynchronous connection, for calls made through `run`."""
        if self._db is None:
            os.environ.setdefault("LANCEDB_LOG", "error")
            import lancedb

            session = lancedb.Session(index_cache_size_bytes=_INDEX_CACHE, metadata_cache_size_bytes=_METADATA_CACHE)
            self._db = await lancedb.connect_async(self.uri, session=session, read_consistency_interval=timedelta(0))
        return self._db

    def close(self) -> None:
        """Ends the thread. Later calls fail."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = self._db = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_calls(), loop).add_done_callback(
            lambda _: loop.call_soon_threadsafe(loop.stop)
        )
        thread.join(5)
        if not thread.is_alive():
            loop.close()

    async def _open_table(self, name: str) -> Any:
        return await (await self.db()).open_table(name)

    async def _table_names(self) -> list[str]:
        return list((await (await self.db()).list_tables()).tables)

    async def _drop_table(self, name: str) -> None:
        await (await self.db()).drop_table(name, ignore_missing=True)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise _Closed("the index is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = Thread(target=self._loop.run_forever, name="backstory-lance", daemon=True)
                self._thread.start()
            return self._loop


async def _cancel_calls() -> None:
    """Fails the calls that are still waiting, so that nobody waits for them in vain."""
    calls = asyncio.all_tasks() - {asyncio.current_task()}
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

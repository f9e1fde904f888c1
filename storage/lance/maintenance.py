"""`python -m storage.lance.maintenance URI TABLE SECONDS`: optimizes one table, with low priority, and ends.

It ends, too, when its standard input is closed, which is how it notices that its parent is gone, and when its time is
up. Either way the table stays whole. Exit codes: 0 done, 1 failed, 3 out of time, 4 left alone. It prints nothing on
standard output.
"""

import os
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

_KEEP_VERSIONS: Final = timedelta(seconds=90)
"""Older versions of a table are removed; readers in other processes may still be looking at younger ones."""
_NICENESS: Final = 10
_FAILED, _OUT_OF_TIME, _LEFT_ALONE = 1, 3, 4


def main(arguments: list[str]) -> int:
    """Errors: none; the exit code says."""
    uri, table, seconds = arguments
    _watch(_until_input_ends, _LEFT_ALONE)
    _watch(lambda: threading.Event().wait(float(seconds)), _OUT_OF_TIME)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    os.environ.setdefault("LANCEDB_LOG", "error")
    os.environ.setdefault("LANCE_CPU_THREADS", "1")
    import lancedb

    try:
        lancedb.connect(uri).open_table(table).optimize(cleanup_older_than=_KEEP_VERSIONS)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - the parent reads it
        return _FAILED
    return 0


def _until_input_ends() -> None:
    while os.read(0, 1024):
        pass


def _watch(until: Callable[[], object], code: int) -> None:
    def wait() -> None:
        until()
        # Nothing here needs an orderly end, and a native call could hold one up.
        os._exit(code)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    sys.stderr.flush()
    # The watching threads are daemons in the middle of a call: an orderly end would trip over them.
    os._exit(exit_code)

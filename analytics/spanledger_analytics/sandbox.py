"""A thread that can't write a file or open a connection, for SQL that somebody typed.

DuckDB's own locks leave a hole: `copy ... to <live file> (use_tmp_file false)` overwrites a data file that it may
read, and mode 0444 doesn't stop root. Landlock does, for anyone, on Linux from 5.13; elsewhere 0444 is what there
is, and root is refused. A thread hands its ban on to those it starts, so DuckDB is opened inside of it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from .errors import UnprotectedError
from .landlock import forbid_writes

T = TypeVar("T")

_LOOK_S: Final = 0.1
_STOP_S: Final = 5.0


def read_only(task: Callable[[], T], stop: Callable[[], None] = lambda: None, *, tcp: bool = False) -> T:
    """Run `task` in a thread that is banned from writing, and return its result or raise its exception.

    With `tcp` it may open connections, which whoever reads a store has to.

    `stop` is called on Ctrl-C, and must make the task end soon: a process that ends under it may crash.

    Raises:
        UnprotectedError: nothing would keep the task from writing.
    """
    outcome: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()

    def body() -> None:
        try:
            if not forbid_writes(tcp=tcp) and is_root():
                raise UnprotectedError
            outcome.put(task())
        except BaseException as error:
            outcome.put(error)

    threading.Thread(target=body, name="read-only", daemon=True).start()
    try:
        result = _await(outcome)
    except KeyboardInterrupt:
        stop()
        with contextlib.suppress(queue.Empty):
            outcome.get(timeout=_STOP_S)
        raise
    if isinstance(result, BaseException):
        raise result
    return result


def _await(outcome: queue.SimpleQueue[T]) -> T:
    # Not one long wait: with polars imported, Ctrl-C doesn't end a wait, and is only seen after it.
    while True:
        with contextlib.suppress(queue.Empty):
            return outcome.get(timeout=_LOOK_S)


def is_root() -> bool:
    """Say whether file modes don't bind this process."""
    return sys.platform != "win32" and os.geteuid() == 0

"""How a process may end without Python's own end: what there is to hook, and where only haste helps.

No signal handler is ever installed: signals are the application's. Where it is known that a process will be frozen or
killed between two calls, each call is sent before the application goes on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

from .settings import Settings

_POOLS: Final = ("multiprocessing", "billiard")
"""Packages with workers that leave by os._exit, past atexit, but run finalisers of their own; billiard is Celery's."""


def flushes_calls(settings: Settings) -> bool:
    """Say whether each outermost call waits until it is sent."""
    return settings.flush == "call" or (settings.flush == "auto" and (_is_lambda() or _is_killed_when_done()))


def at_end_of_pool_worker(step: Callable[[], None]) -> None:
    """Run `step` when this process ends, if it is a child of a process pool."""
    for package in _POOLS:
        util = sys.modules.get(f"{package}.util")
        if util is not None and _is_child(package):
            util.Finalize(None, step, exitpriority=0)


def _is_lambda() -> bool:
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ


def _is_killed_when_done() -> bool:
    """Whether this is a daemonic worker: `with multiprocessing.Pool()` kills its own as soon as the results are in."""
    return any(_is_child(package) and _current(package).daemon for package in _POOLS)


def _is_child(package: str) -> bool:
    process: Any = _current(package)
    # The name of the class is the same in both packages, and only the parent's process has it.
    return process is not None and type(process).__name__ != "_MainProcess"


def _current(package: str) -> Any:
    module: Any = sys.modules.get(f"{package}.process")
    return module.current_process() if module is not None else None

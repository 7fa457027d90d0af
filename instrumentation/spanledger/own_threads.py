"""Threads of our own for what may take a while, so that no event loop has to wait for it.

The loop's own pool is the application's: where each of its threads waits for a call, as those of synchronous tools do
that ask a model through the loop, that call would wait for one of them. A `ThreadPoolExecutor` takes nothing any more
once the interpreter begins to end, and its end waits for what is under way; these threads do neither.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_MOST: Final = min(32, (os.cpu_count() or 1) + 4)
"""As many as asyncio's own pool has."""


class OwnThreads:
    """A few threads, started as they are needed, that do what they are given in the context of who gives it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._start_anew()
        _all.add(self)

    def _start_anew(self) -> None:
        """Leave threads, and what waits for them, to the parent of this forked process."""
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = threading.Semaphore(0)
        self._count = 0

    async def run(self, step: Callable[[], _T]) -> _T:
        """Have a thread do something, and wait for it in a task of asyncio."""
        context = copy_context()
        future: Future[_T] = Future()
        if not self._has_thread():
            return step()  # the interpreter is about to end, and starts none
        self._waiting.put((future, lambda: context.run(step)))
        return await asyncio.wrap_future(future)

    def _has_thread(self) -> bool:
        """See to it that a thread is there for another piece of work; False where there is none."""
        with self._lock:
            if self._idle.acquire(blocking=False) or self._count >= _MOST:
                return True
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            try:
                Context().run(thread.start)  # it works for others, too, and keeps nothing of who came first
            except RuntimeError:
                return self._count > 0
            self._count += 1
            return True

    def _work(self) -> None:
        waiting, idle = self._waiting, self._idle
        while True:
            _do(*waiting.get())
            idle.release()


def _do(future: Future[Any], step: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(step())
    except BaseException as error:
        future.set_exception(error)
        del future  # its error's traceback has this frame


_all: Final[weakref.WeakSet[OwnThreads]] = weakref.WeakSet()


def _start_anew_in_child() -> None:
    for threads in list(_all):
        threads._start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew_in_child)

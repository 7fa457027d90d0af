"""One call for many that ask the same at the same time: the first is made, the others wait for its answer.

Threads and tasks wait for each other alike. Nobody waits for himself, which a thread would that has the same stream
open already, nor for longer than a rule allows; where the first one fails, the others are let go at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from .entry import Entry

Waker = Callable[[], None]


class Seeker(NamedTuple):
    """A thread, and the task that it runs."""

    thread: threading.Thread
    task: object


def seeker() -> Seeker:
    """Return who is asking."""
    return Seeker(threading.current_thread(), _task())


class Flight:
    """A call under way that others wait for."""

    __slots__ = ("_by", "_key", "_landed", "_wakers", "entry")

    def __init__(self, key: bytes, by: Seeker) -> None:
        self._key = key
        self.entry: Entry | None = None
        """The answer; None where there is none to share."""
        self._landed = False
        self._wakers: list[Waker] = []
        self._by = by

    def wait(self, limit_s: float) -> Entry | None:
        """Wait in a thread; None where the answer doesn't come, or not in time."""
        if self._by.thread is threading.current_thread():
            return None  # this very thread would have to go on for it to come
        done = threading.Event()
        if self._before_landing(done.set) and not done.wait(limit_s):
            self._leave_behind()
        return self.entry

    async def wait_async(self, limit_s: float) -> Entry | None:
        """Wait in a task; None where the answer doesn't come, or not in time."""
        if self._by.thread is threading.current_thread() and (self._by.task is None or self._by.task is _task()):
            return None
        try:
            loop, done = asyncio.get_running_loop(), asyncio.Event()
        except RuntimeError:
            return None  # another kind of loop, which nobody here can wake

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(done.set)

        if self._before_landing(wake):
            try:
                await asyncio.wait_for(done.wait(), limit_s)
            except TimeoutError:
                self._leave_behind()
        return self.entry

    def _before_landing(self, waker: Waker) -> bool:
        with _lock:
            if not self._landed:
                self._wakers.append(waker)
            return not self._landed

    def _leave_behind(self) -> None:
        """Have nobody else wait for what takes too long, as a stream does that is held and not read."""
        with _lock:
            if _under_way.get(self._key) is self:
                del _under_way[self._key]

    def land(self, entry: Entry | None) -> None:
        """Give the answer to all who wait, or let them go; later calls do nothing."""
        with _lock:
            if self._landed:
                return
            self._landed, self.entry = True, entry
            self._leave_behind()
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()


def board(key: bytes, by: Seeker | None = None) -> tuple[Flight, bool]:
    """Return the flight of a key, and whether who asks, by default the caller, is the one who has to make the call."""
    with _lock:
        flight = _under_way.get(key)
        if flight is not None:
            return flight, False
        flight = _under_way[key] = Flight(key, by or seeker())
        return flight, True


def _task() -> object:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


_lock = threading.RLock()  # a finaliser, which may end a call, can interrupt the thread that holds it
_under_way: Final[dict[bytes, Flight]] = {}


def _start_anew_in_child() -> None:
    """Forget what the parent's threads have under way."""
    global _lock
    _lock = threading.RLock()
    _under_way.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew_in_child)

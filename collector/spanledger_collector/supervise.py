"""Keeping child processes running: restarted with back-off when they die, stopped in order at the end.

A child gets a pipe as its standard input and must exit when that ends, because a parent that is killed with
SIGKILL has no other way to tell it. Children have a process group of their own, so that Ctrl-C in a terminal
reaches only the parent, which stops them when it is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)

_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 10.0
_HEALTHY_S: Final = 30.0
"""A child that ran this long is started again without a longer wait."""
_KEEPS_ENDING: Final = 3
"""So many short lives in a row are no accident."""


@dataclass(frozen=True, slots=True)
class ChildCommand:
    """One child: what to call it and how to start it."""

    name: str
    argv: tuple[str, ...]


class Child:
    """A child process that is kept running until `stop`."""

    def __init__(self, command: ChildCommand) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._short_lives = 0
        """How often in a row it ended soon after its start."""
        self._ended = ""
        self._started_at = time.monotonic()
        self._keeping = asyncio.create_task(self._keep())

    @property
    def pid(self) -> int | None:
        """The process now running, if one is."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def trouble(self) -> str:
        """That it keeps ending; empty while it doesn't."""
        if self._short_lives < _KEEPS_ENDING or time.monotonic() - self._started_at > _HEALTHY_S:
            return ""
        return f"{self._command.name} keeps ending ({self._ended}); the collector's log says why"

    async def stop(self, timeout_s: float) -> None:
        """Send SIGTERM and return when the child is gone; it is killed after `timeout_s`."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            await _end(self._process, self._command.name, timeout_s)
        await self._keeping

    async def _keep(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stopping.is_set():
            self._started_at = time.monotonic()
            self._ended = await self._run_once()
            if self._stopping.is_set():
                return
            if time.monotonic() - self._started_at > _HEALTHY_S:
                wait_s, self._short_lives = _FIRST_WAIT_S, 0
            self._short_lives += 1
            self._started_at = time.monotonic()
            log.warning("%s ended (%s); starting it again in %.1f s", self._command.name, self._ended, wait_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _run_once(self) -> str:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command.argv, stdin=asyncio.subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            return f"it could not be started: {error}"
        # `stop` may have come while the process was being made, and found none to end.
        if self._stopping.is_set():
            self._process.terminate()
        code = await self._process.wait()
        return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


async def stop_in_order(children: Sequence[Child], timeout_s: float) -> None:
    """Stop one after the other, so that each can finish what the one before it left; `timeout_s` is for all."""
    deadline = time.monotonic() + timeout_s
    for child in children:
        await child.stop(max(0.5, deadline - time.monotonic()))


async def _end(process: asyncio.subprocess.Process, name: str, timeout_s: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), timeout_s)
    except TimeoutError:
        log.warning("%s did not end within %.0f s and is killed; the next start goes on with its work", name, timeout_s)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

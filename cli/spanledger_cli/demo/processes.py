"""The demo's child processes: each in a process group of its own, with a log file, and none left behind.

Ctrl-C in a terminal therefore reaches the demo alone, which stops its children in reverse order, the collector
after those that send to it. Each has a pipe as its standard input, which tells it when the demo was killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import ProcessError

STOP_S: Final = 15.0
"""How long a child may take to stop before it is killed."""
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Child:
    """One running child."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise ProcessError if the child has ended."""
        code = self.process.poll()
        if code is not None:
            raise ProcessError(self.name, f"ended with exit code {code}", self.log)

    def wait_ready(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `is_ready`.

        Raises:
            ProcessError: the child ended, or took longer than `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise ProcessError(self.name, f"did not come up within {timeout_s:.0f} s", self.log)
            time.sleep(_POLL_S)

    def wait_done(self, timeout_s: float) -> None:
        """Wait until the child has ended by itself.

        Raises:
            ProcessError: it failed, or took longer than `timeout_s`.
        """
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProcessError(self.name, f"took longer than {timeout_s:.0f} s", self.log) from None
        if code:
            raise ProcessError(self.name, f"failed with exit code {code}", self.log)


class Children:
    """The children of one run; leaving the context stops them all."""

    def __init__(self, logs: Path, stop_s: float = STOP_S) -> None:
        self._logs = logs
        self._stop_s = stop_s
        self._running: list[Child] = []

    def __enter__(self) -> Children:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_exception: object) -> None:
        impatient = False
        for child in reversed(self._running):
            try:
                _stop(child, 0 if impatient else self._stop_s)
            except KeyboardInterrupt:
                # A second Ctrl-C: no more waiting, but still nothing left behind.
                impatient = True
                _stop(child, 0)
        self._running.clear()

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str], folder: Path) -> Child:
        """Start a child whose working directory is `folder`; what it prints goes to its log.

        A program that doesn't end with its standard input is started through `attached`.
        """
        log = self._logs / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own programs
                list(argv),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=folder,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._running.append(child)
        return child

    def check(self) -> None:
        """Raise ProcessError if any child has ended."""
        for child in self._running:
            child.check()

    def forget(self, child: Child) -> None:
        """Stop watching a child that is done."""
        self._running.remove(child)
        _close_input(child)


def _stop(child: Child, timeout_s: float) -> None:
    if child.process.poll() is None:
        _signal_group(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(timeout_s)
    if child.process.poll() is None:
        _signal_group(child, signal.SIGKILL)
        child.process.wait()
    _close_input(child)


def _close_input(child: Child) -> None:
    if child.process.stdin is not None:
        child.process.stdin.close()


def _signal_group(child: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, number)

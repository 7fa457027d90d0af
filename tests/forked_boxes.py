"""Boxes for tests that ask a great many questions: forks of one process that has done its imports.

Past its start each is what `spanledger_analytics.box` starts: the same pipes, the same bans, the same way to end.
"""

from __future__ import annotations

import os
import pickle
import selectors
import signal
import struct
import subprocess
import sys
import time
from types import TracebackType
from typing import BinaryIO, Final, Self

from spanledger_analytics.box_process import Request, import_paths

_HEAD: Final = struct.Struct(">II")
_PROGRAM: Final = "import sys; sys.path[:] = {paths!r}; from forked_boxes import serve; serve()"
_GRACE_S: Final = 2.0


class ForkedBoxes:
    """A process that forks for each question."""

    def __init__(self) -> None:
        program = _PROGRAM.format(paths=import_paths())
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def said(self, request: Request, user: int) -> bytes | None:
        """Return what a fork says, as `user`; None where its time was over before it said all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        data = pickle.dumps(request)
        self._process.stdin.write(_HEAD.pack(len(data), user) + data)
        self._process.stdin.flush()
        length, late = _HEAD.unpack(self._process.stdout.read(_HEAD.size))
        said = self._process.stdout.read(length)
        return None if late else said


def serve() -> None:
    """Fork for each request on standard input, until there is none."""
    import spanledger_analytics.box_process  # noqa: F401 - the forks have it

    while head := sys.stdin.buffer.read(_HEAD.size):
        length, user = _HEAD.unpack(head)
        data = sys.stdin.buffer.read(length)
        request: Request = pickle.loads(data)
        said, late = _forked(data, user, request.limits.seconds + _GRACE_S)
        sys.stdout.buffer.write(_HEAD.pack(len(said), late) + said)
        sys.stdout.buffer.flush()


def _forked(data: bytes, user: int, seconds: float) -> tuple[bytes, bool]:
    (request_source, request_target), (answer_source, answer_target) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _become_box(request_source, answer_target, user)
    os.close(request_source)
    os.close(answer_target)
    with os.fdopen(request_target, "wb") as target, os.fdopen(answer_source, "rb", buffering=0) as source:
        target.write(data)
        target.close()
        try:
            return _read(source, time.monotonic() + seconds)
        finally:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _read(source: BinaryIO, deadline: float) -> tuple[bytes, bool]:
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            piece = source.read(1 << 16)
            if not piece:
                return said, False
            said += piece
    return said, True


def _become_box(source: int, target: int, user: int) -> None:
    from spanledger_analytics.box_process import main

    os.setsid()
    os.dup2(source, 0)
    os.dup2(target, 1)
    os.closerange(3, 64)
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    main()

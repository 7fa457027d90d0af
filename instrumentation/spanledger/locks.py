"""Advisory locks on files, for what several processes of a user write together.

A lock belongs to the open file, which a forked child shares: it is let go by name and not by closing alone, and a child
closes what its parent held, or a worker that lives for days would hold its parent's lock for as long.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_held: set[int] = set()
"""Descriptors of the locks that this process holds or waits for."""


@contextlib.contextmanager
def hold(path: Path, patience_s: float) -> Iterator[bool]:
    """Hold the lock of the file `path`; False where it was not to be had within `patience_s` seconds.

    Raises:
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    _held.add(descriptor)
    owner, taken = os.getpid(), False
    try:
        deadline = time.monotonic() + patience_s
        while not (taken := _try_lock(descriptor)) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield taken
    finally:
        if os.getpid() == owner:
            _held.discard(descriptor)
            if taken:
                _unlock(descriptor)
            os.close(descriptor)


def _let_go_in_child() -> None:
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        with contextlib.suppress(OSError):
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)

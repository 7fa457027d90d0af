"""What the collector's child processes share: one at a time, told apart how to stop.

A child stops at once when its standard input ends, because then its parent is dead and a new collector may
already be starting; told by SIGTERM it first drains what is there. The lock keeps a new child waiting until an
old one has really gone: two committers over one write-ahead log would commit segments twice.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import logging
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from spanledger.errors import SpanledgerError
from spanledger.lake_path import LakePath
from spanledger.settings import load

from .base_watch import BaseWatch
from .contracts import ContractWatch
from .storage import in_words

LOG: Final = logging.getLogger("spanledger.collector")
_IDLE_S: Final = 0.05
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 256 << 10


def run(name: str, make_step: Callable[[Path, LakePath], Callable[[], bool]], idle_s: float = _IDLE_S) -> None:
    """Run a child until it is told to stop: `make_step(home, lake)` gives a step that says if it did anything."""
    parser = argparse.ArgumentParser(prog=f"spanledger-{name}")
    parser.add_argument("--home")
    parser.add_argument("--lake")
    flags = parser.parse_args()
    settings = load(home=flags.home, lake=flags.lake)
    logging.basicConfig(stream=sys.stderr, format=f"{name}: %(message)s", level=logging.INFO)
    _give_memory_back()
    settings.home.mkdir(parents=True, exist_ok=True)
    draining = False

    def drain(signal_number: int, frame: object) -> None:
        nonlocal draining
        draining = True

    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with only_one(settings.home / f"{name}.lock"), in_a_sentence(settings.lake):
        watches = BaseWatch(settings), ContractWatch(settings)
        step = make_step(settings.home, settings.lake)
        while not parent_is_gone():
            for watch in watches:
                watch.refresh()
            busy = step()
            if draining and not busy:
                return
            if not busy:
                select.select([sys.stdin], [], [], idle_s)


def _give_memory_back() -> None:
    """Have glibc give large blocks back when they are freed; left alone it keeps ever larger ones, up to 32 MB each."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


@contextlib.contextmanager
def in_a_sentence(lake: LakePath) -> Iterator[None]:
    """Let an error of ours end the process with its message, which says what to do, in place of a traceback."""
    try:
        with in_words(lake):
            yield
    except SpanledgerError as error:
        LOG.error("%s", error)
        sys.exit(1)


def parent_is_gone() -> bool:
    """Say whether standard input has ended, as it does when the parent dies."""
    readable, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(readable) and os.read(sys.stdin.fileno(), 1) == b""


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, waiting for whoever holds it."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` if nobody of this machine does, and say whether that is so."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True

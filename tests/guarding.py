"""Stores of budgets and limits for tests: the three, each empty."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from spanledger.guard.memory import MemoryStore
from spanledger.guard.sqlite import SqliteStore
from spanledger.guard.store import Line, Store

KINDS = ("memory", "sqlite", "redis")
NOW = 1_704_067_200_000
"""2024-01-01; long before the clock of a Redis, which has a say in what is old enough to be forgotten."""
DAY = 86_400_000
MINUTE = 60_000


@contextlib.contextmanager
def made(kind: str, folder: Path, redis_url: str = "", timeout_s: float = 5.0) -> Iterator[Store]:
    """Make a store; in Redis one of its own, by the prefix of its keys."""
    store: Store
    if kind == "memory":
        store = MemoryStore()
    elif kind == "sqlite":
        store = SqliteStore(folder / "guard.sqlite", patience_s=timeout_s)
    else:
        from spanledger.guard.redis_store import RedisStore

        store = RedisStore(redis_url, prefix=secrets.token_hex(8), timeout_s=timeout_s)
    try:
        yield store
    finally:
        store.close()


def budget(key: str, amount: int, cap: int = 1000, until_ms: int = NOW + DAY) -> Line:
    return Line(key, "budget", "usd", amount, cap, until_ms)


def tokens(key: str, amount: int, cap: int = 1000, until_ms: int = NOW + DAY) -> Line:
    return Line(key, "budget", "tokens", amount, cap, until_ms)


def lease(key: str, cap: int = 2) -> Line:
    return Line(key, "lease", "calls", 1, cap)


def calls_a_minute(key: str, cap: int = 10) -> Line:
    return Line(key, "rate", "calls", 1, cap, 0, MINUTE)


def tokens_a_minute(key: str, amount: int, cap: int = 100) -> Line:
    return Line(key, "rate", "tokens", amount, cap, 0, MINUTE)


CALL = 500_000_000
"""Nano-dollars: half a dollar."""
TEN_DOLLARS = 20 * CALL


class Worker:
    """A process of guard_worker.py, ready."""

    def __init__(self, place: str, name: str) -> None:
        program = Path(__file__).with_name("guard_worker.py")
        self.process = subprocess.Popen(
            [sys.executable, str(program), place, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.line() == "ready"

    def start(self, what: str) -> None:
        """Have it do something."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def line(self) -> str:
        """Return the next line that it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> str:
        """Kill it, if it is there; returns the rest of what it said."""
        self.process.kill()
        self.process.wait(60)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.process.stdin, self.process.stdout:
            return self.process.stdout.read()


@contextlib.contextmanager
def working(place: str, names: Sequence[str]) -> Iterator[list[Worker]]:
    """Run processes, which are gone after."""
    workers: list[Worker] = []
    try:
        for name in names:
            workers.append(Worker(place, name))
        yield workers
    finally:
        for worker in workers:
            if worker.process.stdout is not None and not worker.process.stdout.closed:
                worker.end()

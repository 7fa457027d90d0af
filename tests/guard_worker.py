"""A process that spends of a budget: `guard_worker.py FOLDER-OR-URL NAME`, and on stdin one word, what to do.

`race`: calls of half a dollar until it is refused, then prints how many there were. `hold`: holds two calls, one of
them sent, says so, and waits to be killed. `tell`: has ten settled without waiting, says so, and waits to be killed.
`work`: calls without end; what was settled is told as soon as it is.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

from guarding import CALL, NOW, TEN_DOLLARS, budget, lease
from spanledger.guard.store import NO_CAP, Store


def opened(place: str) -> Store:
    """Open the store at a place: a Redis by its URL, else SQLite."""
    if "://" in place:
        from spanledger.guard.redis_store import RedisStore

        return RedisStore(place, timeout_s=30)
    from spanledger.guard.sqlite import SqliteStore

    return SqliteStore(Path(place), patience_s=30)


def race(store: Store, name: str) -> int:
    """Spend until refused; how often it was not."""
    for number in itertools.count():
        call = f"{name}/{number}"
        if store.reserve(call, [budget("b", CALL, TEN_DOLLARS), lease("l", NO_CAP)], NOW).refused >= 0:
            return number
        store.sent(call)
        store.settle(call, CALL, 1, NOW)
    raise AssertionError


def work(store: Store, name: str) -> None:
    """Spend for ever: a dollar's million-and-first part more each time, so that sums tell which calls are in them."""
    for number in itertools.count(1):
        call = f"{name}/{number}"
        store.reserve(call, [budget("b", 7, NO_CAP), lease("l", NO_CAP)], NOW)
        store.sent(call)
        if store.settle(call, number, 1, NOW):
            print(call, number, flush=True)


def main() -> None:
    """Do what is asked for."""
    place, name = sys.argv[1:]
    store = opened(place)
    store.accounts()
    print("ready", flush=True)
    match sys.stdin.readline().strip():
        case "race":
            print(race(store, name), flush=True)
        case "work":
            work(store, name)
        case "hold":
            store.reserve("unsent", [budget("b", 300), lease("l")], NOW)
            store.reserve("sent", [budget("b", 400), lease("l")], NOW)
            store.sent("sent")
            store.accounts()  # what was sent before has arrived
            print("held", flush=True)
            time.sleep(600)
        case "tell":
            for number in range(10):
                store.reserve(str(number), [budget("b", 300, NO_CAP)], NOW)
                store.sent(str(number))
            for number in range(10):
                store.tell_settled(str(number), 100, 1, NOW)
            print("told", flush=True)
            time.sleep(600)


if __name__ == "__main__":
    main()

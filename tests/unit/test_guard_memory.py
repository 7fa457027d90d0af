"""What a sweep of the store in memory looks at, and for how long calls wait for it."""

from __future__ import annotations

import threading

import pytest

from guarding import DAY, MINUTE, NOW, budget, calls_a_minute, lease
from spanledger.guard import memory
from spanledger.guard.entries import Entry
from spanledger.guard.memory import MemoryStore
from spanledger.guard.store import KEEP_ACCOUNTS_MS, LEASE_MS

LATER = NOW + KEEP_ACCOUNTS_MS


class Held:
    """A store's lock that notes at how many accounts was looked each time that it was held."""

    def __init__(self, patch: pytest.MonkeyPatch, store: MemoryStore) -> None:
        self._lock = threading.RLock()
        self.looks: list[int] = []
        is_over = Entry.is_over

        def counted(entry: Entry, now_ms: int) -> bool:
            self.looks[-1] += 1
            return is_over(entry, now_ms)

        patch.setattr(Entry, "is_over", counted)
        patch.setattr(store, "_lock", self)

    def __enter__(self) -> None:
        self._lock.acquire()
        self.looks.append(0)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_sweep_looks_at_what_may_be_over_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_AT_ONCE", 3)
    store = MemoryStore()
    for number in range(20):
        store.set_spent(f"{number:02}", 1, NOW if number < 10 else NOW + 1, "usd")
    for number in range(4):
        store.reserve(f"{number}", [lease(f"lease {number}")], LATER)
    store.settle("0", 0, 0, LATER)
    lock = Held(monkeypatch, store)

    store.sweep(LATER)
    assert (max(lock.looks), sum(lock.looks)) == (3, 10 + 4)
    assert [one.key for one in store.accounts()] == [
        *(f"{number}" for number in range(10, 20)),
        *(f"lease {number}" for number in range(1, 4)),
    ]

    lock.looks.clear()
    store.sweep(LATER)
    assert sum(lock.looks) == 3


def test_an_account_that_is_held_beyond_its_end_is_forgotten_when_it_no_longer_is() -> None:
    store = MemoryStore()
    store.set_spent("b", 1, NOW, "usd")
    store.reserve("a", [budget("b", 5, until_ms=NOW)], LATER)
    for _ in range(2):
        assert store.sweep(LATER) == 0
        assert [(one.key, one.spent, one.held) for one in store.accounts()] == [("b", 1, 5)]
    assert store.sweep(LATER + LEASE_MS) == 1
    assert store.accounts() == []


def test_accounts_that_are_forgotten_and_opened_anew_are_forgotten_again() -> None:
    store = MemoryStore()
    for now_ms in (NOW, NOW + 9 * DAY):
        store.reserve(f"{now_ms}", [budget("b", 5, until_ms=now_ms), calls_a_minute("q")], now_ms)
        store.settle(f"{now_ms}", 5, 0, now_ms)
        store.sweep(now_ms + KEEP_ACCOUNTS_MS - 1)
        assert [one.key for one in store.accounts()] == ["b"]
        store.sweep(now_ms + KEEP_ACCOUNTS_MS + 2 * MINUTE)
        assert store.accounts() == []

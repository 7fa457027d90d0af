"""kill -9 of processes that hold calls: unsent ones return, sent ones are charged, nothing leaks or is spent twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard_worker import opened
from guarding import NOW, budget, lease, made, working
from redis_server import serving
from spanledger.guard.sqlite import SqliteStore
from spanledger.guard.store import LEASE_MS, Charge, Store
from waiting import wait_until

SEED = 20_261_129
KILLS = 30 if os.environ.get("SPANLEDGER_PROVE") else 2


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "guard.sqlite")
        return
    with serving(tmp_path) as server:
        yield server.url


def accounts(store: Store) -> dict[str, tuple[int, int, int]]:
    return {one.key: (one.spent, one.held, one.flagged) for one in store.accounts()}


def test_what_a_killed_process_held_returns_or_is_charged_and_a_late_settlement_swaps_it(place: str) -> None:
    with working(place, ["one"]) as (worker,):
        worker.start("hold")
        assert worker.line() == "held"
    store = opened(place)
    assert store.sweep(NOW + LEASE_MS - 1) == 0
    assert accounts(store) == {"b": (0, 700, 0), "l": (0, 2, 0)}
    assert store.sweep(NOW + LEASE_MS) == 2
    assert accounts(store) == {"b": (400, 0, 400)}
    assert store.charges(NOW + 1, 9) == [Charge("sent", NOW, 400, 0, True)]
    assert [store.settle(call, 250, 9, NOW + LEASE_MS) for call in ("sent", "sent")] == [True, False]
    assert accounts(store) == {"b": (250, 0, 0)}
    assert [store.confirm("sent", 251, 9), store.confirm("sent", 251, 9)] == [True, False]
    assert (accounts(store), store.charges(NOW + 1, 9)) == ({"b": (251, 0, 0)}, [])
    store.close()


def test_what_a_process_has_told_before_it_is_killed_is_settled(place: str) -> None:
    with working(place, ["one"]) as (worker,):
        worker.start("tell")
        assert worker.line() == "told"
    store = opened(place)
    wait_until(lambda: accounts(store) == {"b": (1000, 0, 0)}, timeout_s=60, what="what was told")
    store.close()


def test_processes_killed_at_any_moment_leave_accounts_that_add_up(place: str) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    told: dict[str, int] = {}
    for kill in range(KILLS):
        with working(place, [f"{kill}a", f"{kill}b"]) as workers:
            for worker in workers:
                worker.start("work")
            lines = [worker.line() for worker in workers for _ in range(chance.randrange(1, 200))]
            # The last may have been cut short.
            lines += [line for worker in workers for line in worker.end().split("\n")[:-1]]
        for line in lines:
            call, spent = line.split()
            told[call] = int(spent)
    store = opened(place)
    lost = store.sweep(NOW + LEASE_MS)
    charges = store.charges(NOW + 1, 10**6)
    settled = {charge.call: charge.usd for charge in charges if not charge.flagged}
    charged = [charge.usd for charge in charges if charge.flagged]
    # Each process may have been killed between settling one call and telling so.
    untold = settled.keys() - told.keys()
    kind = "redis" if "://" in place else "sqlite"
    shown = {"killed": 2 * KILLS, "settled": len(settled), "holds_returned_or_charged": lost, "charged": len(charged)}
    print(f"evidence: {json.dumps({kind: shown})}")
    assert {call: settled[call] for call in told} == told
    assert len(untold) + lost <= 2 * KILLS
    assert charged == [7] * len(charged)
    assert accounts(store) == {"b": (sum(settled.values()) + sum(charged), 0, sum(charged))}
    store.close()


def _spend(store: Store, name: str, calls: int) -> None:
    for number in range(calls):
        call = f"{name}/{number}"
        store.reserve(call, [budget("b", 7, 10**9), lease("l", 10**9)], NOW)
        store.sent(call)
        store.tell_settled(call, 5, 1, NOW)
    store.accounts()  # what was told has arrived


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])
def test_a_forked_child_goes_on_with_its_own_connection(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    with serving(folder) as server, made(kind, tmp_path, server.url, 60) as store:
        store.reserve("of the parent", [budget("b", 7, 10**9), lease("l", 10**9)], NOW)
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=_spend, args=(store, f"child {number}", 50)) for number in range(4)]
        for child in children:
            child.start()
        _spend(store, "parent", 50)
        for child in children:
            child.join(120)
        assert [child.exitcode for child in children] == [0] * 4
        spent = 50 * 5 * (1 if kind == "memory" else 5)
        assert accounts(store) == {"b": (spent, 7, 0), "l": (0, 1, 0)}
        assert store.settle("of the parent", 3, 1, NOW)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "home" / "guard.sqlite")
    store.reserve("a", [budget("b", 1)], NOW)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "home").iterdir()}
    assert modes == {"guard.sqlite": "0o600", "guard.sqlite-shm": "0o600", "guard.sqlite-wal": "0o600"}
    store.close()

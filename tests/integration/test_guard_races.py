"""Many at once against ten dollars, each call half a dollar: threads, tasks and processes, on each store."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guarding import CALL, KINDS, NOW, TEN_DOLLARS, budget, lease, made, working
from redis_server import RedisServer, serving
from spanledger.guard.fallback import FallbackStore
from spanledger.guard.store import NO_CAP, Store

AT_ONCE = 64
PROCESSES = 8


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with serving(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=[*KINDS, "fallback"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = request.getfixturevalue("redis").url if request.param == "redis" else ""
    kind = "sqlite" if request.param == "fallback" else request.param
    with made(kind, tmp_path, url, timeout_s=20) as store:
        yield FallbackStore(store) if request.param == "fallback" else store


def accounts(store: Store) -> dict[str, tuple[int, int, int]]:
    return {one.key: (one.spent, one.held, one.flagged) for one in store.accounts()}


def together(work: Callable[[int], None]) -> None:
    """Run work in threads that start at once."""
    barrier = threading.Barrier(AT_ONCE)
    failed: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_threads_that_know_their_price_spend_ten_dollars_and_not_a_cent_more(store: Store) -> None:
    def work(number: int) -> None:
        for turn in range(2):
            call = f"{number}/{turn}"
            if store.reserve(call, [budget("b", CALL, TEN_DOLLARS), lease("l", NO_CAP)], NOW).refused < 0:
                store.sent(call)
                store.settle(call, CALL, 1, NOW)

    together(work)
    assert accounts(store) == {"b": (TEN_DOLLARS, 0, 0), "l": (0, 0, 0)}


def test_tasks_that_know_their_price_spend_ten_dollars_and_not_a_cent_more(store: Store) -> None:
    async def work(number: int) -> None:
        for turn in range(2):
            call = f"{number}/{turn}"
            if store.reserve(call, [budget("b", CALL, TEN_DOLLARS), lease("l", NO_CAP)], NOW).refused < 0:
                await asyncio.sleep(0)
                store.sent(call)
                await asyncio.sleep(0)
                store.settle(call, CALL, 1, NOW)

    async def all_at_once() -> None:
        await asyncio.gather(*[work(number) for number in range(AT_ONCE)])

    asyncio.run(all_at_once())
    assert accounts(store) == {"b": (TEN_DOLLARS, 0, 0), "l": (0, 0, 0)}


def test_calls_dearer_than_they_were_held_for_exceed_by_what_those_under_way_do(store: Store) -> None:
    """All are under way when the last is let in, so the bound that the documentation states is reached."""
    refused: list[int] = []
    barrier = threading.Barrier(AT_ONCE)

    def work(number: int) -> None:
        place = store.reserve(str(number), [budget("b", CALL, TEN_DOLLARS)], NOW).refused
        refused.append(place)
        barrier.wait()
        if place < 0:
            store.settle(str(number), CALL + number * 1000, 1, NOW)

    together(work)
    held = [int(charge.call) for charge in store.charges(NOW + 1, AT_ONCE)]
    assert (len(held), sorted(refused)) == (20, [-1] * 20 + [0] * 44)
    assert accounts(store) == {"b": (TEN_DOLLARS + sum(number * 1000 for number in held), 0, 0)}
    assert store.reserve("after", [budget("b", 1, TEN_DOLLARS)], NOW).refused == 0


def test_calls_of_any_price_never_exceed_by_more_than_those_under_way_may(store: Store) -> None:
    def work(number: int) -> None:
        chance = random.Random(number)
        for turn in range(6):
            call = f"{number}/{turn}"
            if store.reserve(call, [budget("b", CALL, TEN_DOLLARS)], NOW).refused < 0:
                store.settle(call, chance.randrange(3 * CALL), 1, NOW)

    together(work)
    chance = random.Random(AT_ONCE)
    for number in itertools.count():  # until it is used up: those above may have been refused for what was only held
        if store.reserve(f"last/{number}", [budget("b", CALL, TEN_DOLLARS)], NOW).refused >= 0:
            break
        store.settle(f"last/{number}", chance.randrange(3 * CALL), 1, NOW)
    excess = sorted([max(0, charge.usd - CALL) for charge in store.charges(NOW + 1, 10**6)])
    spent = sum([charge.usd for charge in store.charges(NOW + 1, 10**6)])
    assert accounts(store) == {"b": (spent, 0, 0)}
    # At most as many as there are threads were under way when the last was let in.
    assert TEN_DOLLARS - CALL < spent <= TEN_DOLLARS + sum(excess[-AT_ONCE:])


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_processes_spend_ten_dollars_and_not_a_cent_more(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place = str(tmp_path / "guard.sqlite") if kind == "sqlite" else request.getfixturevalue("redis").url
    with working(place, [str(number) for number in range(PROCESSES)]) as workers:
        for worker in workers:
            worker.start("race")
        assert sum(int(worker.line()) for worker in workers) == 20
    from guard_worker import opened

    store = opened(place)
    assert accounts(store) == {"b": (TEN_DOLLARS, 0, 0), "l": (0, 0, 0)}
    store.close()

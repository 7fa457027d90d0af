"""One call for many: who waits for whom, how long, and what becomes of those who wait."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from spanledger.guard.cache.entry import Entry
from spanledger.guard.cache.flights import Flight, board
from waiting import wait_until

ENTRY = Entry(b"{}", {}, 1)


@pytest.fixture
def key() -> Iterator[bytes]:
    made = os.urandom(32)
    yield made
    flight, leads = board(made)
    assert leads, "somebody else's flight was left behind"
    flight.land(None)


def _elsewhere(key: bytes) -> Flight:
    """Return the flight of a key that another thread leads."""
    found: list[tuple[Flight, bool]] = []
    thread = threading.Thread(target=lambda: found.append(board(key)))
    thread.start()
    thread.join()
    ((flight, leads),) = found
    assert leads
    return flight


def _waiting(flight: Flight) -> int:
    return len(flight._wakers)


def test_all_who_wait_get_what_the_first_one_brings(key: bytes) -> None:
    flight, got = _elsewhere(key), []
    assert board(key) == (flight, False)
    threads = [threading.Thread(target=lambda: got.append(flight.wait(20))) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: _waiting(flight) == 5, what="five that wait")
    flight.land(ENTRY)
    for thread in threads:
        thread.join()
    assert got == [ENTRY] * 5
    assert flight.wait(0) == ENTRY  # who comes late need not wait


def test_those_who_wait_are_let_go_when_nothing_is_brought(key: bytes) -> None:
    flight, got = _elsewhere(key), []
    thread = threading.Thread(target=lambda: got.append(flight.wait(20)))
    thread.start()
    wait_until(lambda: _waiting(flight) == 1, what="one that waits")
    flight.land(None)
    thread.join()
    flight.land(ENTRY)  # it has landed
    assert (got, flight.entry) == ([None], None)


def test_who_has_waited_long_enough_has_nobody_else_wait(key: bytes) -> None:
    flight = _elsewhere(key)
    assert flight.wait(0.01) is None
    other, leads = board(key)
    assert leads
    other.land(None)
    flight.land(ENTRY)


def test_a_thread_does_not_wait_for_itself(key: bytes) -> None:
    flight, leads = board(key)
    assert (leads, flight.wait(20)) == (True, None)
    flight.land(None)


def test_a_task_waits_for_another_of_its_loop_and_for_threads_but_not_for_itself(key: bytes) -> None:
    async def lead(ready: asyncio.Event, go: asyncio.Event) -> Entry | None:
        flight, leads = board(key)
        assert leads
        own = await flight.wait_async(20)
        ready.set()
        await go.wait()
        flight.land(ENTRY)
        return own

    async def follow() -> Entry | None:
        flight, leads = board(key)
        assert not leads
        return await flight.wait_async(20)

    async def run() -> list[Entry | None]:
        ready, go = asyncio.Event(), asyncio.Event()
        leader = asyncio.create_task(lead(ready, go))
        await ready.wait()
        followers = [asyncio.create_task(follow()) for _ in range(3)]
        await asyncio.sleep(0)
        go.set()
        inside = [await leader, *await asyncio.gather(*followers)]
        thread = _elsewhere(key)
        threading.Timer(0.01, thread.land, (ENTRY,)).start()
        return [*inside, await thread.wait_async(20), await _elsewhere(os.urandom(32)).wait_async(0.01)]

    assert asyncio.run(run()) == [None, ENTRY, ENTRY, ENTRY, ENTRY, None]


def test_a_forked_process_waits_for_nobody_of_its_parent(key: bytes) -> None:
    flight = _elsewhere(key)
    child = os.fork()
    if child == 0:
        os._exit(0 if board(key)[1] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert board(key) == (flight, False)
    flight.land(None)

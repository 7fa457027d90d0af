"""Stores stopped, restarted empty, frozen, slow or cut off: `StoreAwayError`, no other; with a fallback, nothing."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from guarding import DAY, NOW, budget, calls_a_minute, lease, tokens
from redis_server import RedisServer, serving
from slow_proxy import network
from spanledger.guard.fallback import FallbackStore
from spanledger.guard.known import Known
from spanledger.guard.sqlite import SqliteStore
from spanledger.guard.store import LEASE_MS, Charge, Line, Reserved, StoreAwayError
from waiting import wait_until

pytest.importorskip("redis")
from spanledger.guard.redis_store import RedisStore

PATIENCE_S = 0.25
"""For an answer that doesn't come."""
LONG_S = 30.0
"""For one that does, on a machine that is busy with other things."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def store(redis: RedisServer) -> Iterator[RedisStore]:
    store = RedisStore(redis.url, timeout_s=LONG_S)
    yield store
    store.close()


def have_wait(store: RedisStore, patience_s: float) -> None:
    """Have a store wait so long from now on for its connections and answers."""
    wire = store._wire
    wire._home.connection_kwargs.update(socket_timeout=patience_s, socket_connect_timeout=patience_s)
    for link in wire._idle:
        link.connection._sock.settimeout(patience_s)
        link.connection._parser._buffer.socket_timeout = patience_s


@contextlib.contextmanager
def frozen(redis: RedisServer, *stores: RedisStore) -> Iterator[None]:
    """Freeze a Redis, for which these stores don't wait for long meanwhile."""
    for store in stores:
        have_wait(store, PATIENCE_S)
    redis.freeze()
    try:
        yield
    finally:
        redis.thaw()
        for store in stores:
            have_wait(store, LONG_S)


class Counted(RedisStore):
    """A store that counts how often each thread asks it."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout_s=LONG_S)
        self.asked = Counter[str]()

    def _ask(self, what: str, *arguments: Any) -> list[Any]:
        self.asked[threading.current_thread().name] += 1
        return super()._ask(what, *arguments)


def accounts(store: RedisStore | SqliteStore | FallbackStore) -> dict[str, tuple[int, int, int]]:
    return {one.key: (one.spent, one.held, one.flagged) for one in store.accounts()}


def everything(store: RedisStore) -> list[object]:
    """Ask all that can be asked; returns the errors."""
    errors: list[object] = []
    for ask in (
        lambda: store.reserve("z", [budget("b", 1)], NOW),
        lambda: store.sent("z"),
        lambda: store.settle("z", 1, 1, NOW),
        lambda: store.release("z", NOW),
        lambda: store.renew(["z"], NOW),
        lambda: store.sweep(NOW),
        lambda: store.accounts(),
        lambda: store.charges(NOW, 1),
        lambda: store.confirm("z", 1, 1),
        lambda: store.set_spent("b", 1, NOW, "usd"),
        lambda: store.raise_spent({"b": (1, NOW, "usd")}),
        lambda: store.states(""),
        lambda: store.put_state("s", "1", None),
    ):
        try:
            ask()
        except StoreAwayError as error:
            errors.append(str(error).partition(": ")[0])
    return errors


def test_a_redis_that_is_stopped_is_away_and_is_back_when_it_is_started(redis: RedisServer, store: RedisStore) -> None:
    store.reserve("a", [budget("b", 400)], NOW)
    redis.stop()
    assert everything(store) == [redis.url] * 13
    redis.start()
    assert everything(store) == []


def test_a_frozen_redis_is_away_after_one_timeout(redis: RedisServer) -> None:
    store = RedisStore(redis.url, timeout_s=LONG_S)
    for call in ("a", "b"):
        store.reserve(call, [budget("b", 400)], NOW)
        store.sent("a")
    with frozen(redis, store):
        store.sent("b")  # no answer is waited for
        assert everything(store) == [redis.url] * 13
    assert everything(store) == []
    assert store.sweep(NOW + LEASE_MS) == 2
    assert accounts(store) == {"b": (801, 0, 800)}
    store.close()


def test_a_redis_behind_a_slow_or_a_cut_network_is_away(redis: RedisServer) -> None:
    with network(redis.url.removeprefix("unix://")) as between:
        store = RedisStore(f"redis://user-of-nobody:secret@127.0.0.1:{between.port}/0", timeout_s=LONG_S)
        with pytest.raises(StoreAwayError) as told:
            store.reserve("a", [budget("b", 400)], NOW)
        assert "secret" not in str(told.value)
        store = RedisStore(f"redis://127.0.0.1:{between.port}/0", timeout_s=LONG_S)
        assert store.reserve("a", [budget("b", 400)], NOW).balances == ((0, 400),)
        between.delay_s = 60
        have_wait(store, PATIENCE_S)
        with pytest.raises(StoreAwayError):
            store.settle("a", 300, 0, NOW)
        between.delay_s = 0.0
        have_wait(store, LONG_S)
        # It was settled, if late; asked again, it is not settled twice.
        wait_until(lambda: accounts(store) == {"b": (300, 0, 0)}, what="the settlement whose answer was too late")
        assert not store.settle("a", 300, 0, NOW)
        between.is_cut = True
        have_wait(store, PATIENCE_S)
        with pytest.raises(StoreAwayError):
            store.reserve("c", [budget("b", 400)], NOW)
        between.is_cut = False
        have_wait(store, LONG_S)
        assert store.reserve("d", [budget("b", 400)], NOW).refused == -1
        store.close()


def test_a_redis_restarted_empty_has_again_what_each_process_knew(redis: RedisServer, store: RedisStore) -> None:
    other = RedisStore(redis.url, timeout_s=LONG_S)
    lines = (budget("b", 400), tokens("t", 50), lease("l"), calls_a_minute("q"))
    store.reserve("spent", lines, NOW)
    store.settle("spent", 350, 20, NOW)
    store.reserve("open", lines, NOW)
    store.sent("open")
    other.reserve("of the other", [budget("b", 200), budget("other", 10)], NOW)
    other.settle("of the other", 150, 0, NOW)
    redis.stop()
    redis.start()
    # This one last saw 350 of the budget; the other comes later with 500, which is not added.
    assert store.reserve("new", [budget("b", 300, 2000)], NOW).balances == ((350, 700),)
    assert accounts(other) == {
        "b": (500, 700, 0),
        "l": (0, 1, 0),
        "other": (150, 0, 0),
        "q": (1, 0, 0),
        "t": (20, 50, 0),
    }
    assert store.reserve("newer", [budget("b", 1)], NOW).refused == 0
    assert store.settle("open", 100, 5, NOW)
    assert store.sweep(NOW + LEASE_MS) == 1
    assert accounts(store) == {"b": (600, 0, 0), "other": (150, 0, 0), "t": (25, 0, 0)}
    other.close()


def test_a_call_that_was_sent_before_redis_was_emptied_is_charged_if_nobody_settles_it(
    redis: RedisServer, store: RedisStore
) -> None:
    store.reserve("sent", [budget("b", 400)], NOW)
    store.reserve("unsent", [budget("b", 300)], NOW)
    store.sent("sent")
    redis.stop()
    redis.start()
    assert store.sweep(NOW + LEASE_MS) == 2
    assert accounts(store) == {"b": (400, 0, 400)}


def test_a_script_that_redis_forgot_is_told_again(redis: RedisServer, store: RedisStore) -> None:
    from redis import Redis

    store.reserve("a", [budget("b", 400)], NOW)
    with Redis.from_url(redis.url) as client:
        client.script_flush()
    assert store.settle("a", 300, 0, NOW)


def test_a_server_that_can_only_answer_is_told_that_a_call_was_sent(redis: RedisServer) -> None:
    from redis import Redis

    with Redis.from_url(redis.url) as client:
        client.execute_command("ACL", "SETUSER", "plain", "on", ">word", "~*", "+@all", "-client|reply")
    store = RedisStore(redis.url.replace("unix://", "unix://plain:word@"), timeout_s=LONG_S)
    for call in ("a", "b"):
        store.reserve(call, [budget("b", 400)], NOW)
        store.sent(call)
    store.sweep(NOW + LEASE_MS)
    assert accounts(store) == {"b": (800, 0, 800)}
    store.close()


# Told, and not waited for


@pytest.fixture
def elsewhere(redis: RedisServer) -> Iterator[RedisStore]:
    store = RedisStore(redis.url, timeout_s=LONG_S)
    yield store
    store.close()


def sent(store: RedisStore | FallbackStore, call: str = "a") -> None:
    """Hold a call of 400 that has left."""
    store.reserve(call, [budget("b", 400, 10**9)], NOW)
    store.sent(call)


@pytest.mark.parametrize("arrives", [True, False], ids=["arrived", "lost"])
def test_a_settlement_whose_connection_breaks_before_its_answer_is_counted_once(
    redis: RedisServer, elsewhere: RedisStore, arrives: bool
) -> None:
    with network(redis.url.removeprefix("unix://")) as between:
        store = RedisStore(f"redis://127.0.0.1:{between.port}/0", timeout_s=LONG_S)
        sent(store)
        between.delay_s, between.is_cut = 60, not arrives
        store.tell_settled("a", 300, 7, NOW)
        if arrives:
            wait_until(lambda: accounts(elsewhere) == {"b": (300, 0, 0)}, what="the settlement")
        between.break_off()
        between.delay_s, between.is_cut = 0, False
        assert accounts(store) == {"b": (300, 0, 0)}
        assert elsewhere.charges(NOW + 1, 9) == [Charge("a", NOW, 300, 7, False)]
        assert not store.settle("a", 300, 7, NOW)
        store.close()


def test_a_settlement_whose_answer_is_too_late_is_counted_once(redis: RedisServer, elsewhere: RedisStore) -> None:
    store = RedisStore(redis.url, timeout_s=LONG_S)
    sent(store)
    with frozen(redis, store):
        store.tell_settled("a", 300, 7, NOW)
        for _ in range(2):
            with pytest.raises(StoreAwayError):
                store.accounts()
    assert accounts(store) == accounts(elsewhere) == {"b": (300, 0, 0)}
    store.close()


def test_a_redis_emptied_between_a_settlement_and_its_answer_has_it_once(redis: RedisServer, store: RedisStore) -> None:
    sent(store, "first")
    store.settle("first", 350, 0, NOW)
    sent(store)
    redis.freeze()
    store.tell_settled("a", 300, 7, NOW)
    redis.stop()
    redis.start()
    assert accounts(store) == {"b": (650, 0, 0)}
    assert store.charges(NOW + 1, 9) == [Charge("a", NOW, 300, 7, False)]


def test_a_redis_emptied_after_a_settlement_whose_answer_nobody_read_has_it_once(
    redis: RedisServer, store: RedisStore, elsewhere: RedisStore
) -> None:
    sent(store)
    store.tell_settled("a", 300, 7, NOW)
    wait_until(lambda: accounts(elsewhere) == {"b": (300, 0, 0)}, what="the settlement")
    redis.stop()
    redis.start()
    assert accounts(store) == {"b": (300, 0, 0)}


@pytest.mark.parametrize("lost", ["FLUSHALL", "SCRIPT FLUSH"])
def test_a_settlement_that_redis_refuses_is_made_before_anything_else_is_asked(
    redis: RedisServer, store: RedisStore, lost: str
) -> None:
    from redis import Redis

    sent(store)
    with Redis.from_url(redis.url) as client:
        client.execute_command(lost)
    store.tell_settled("a", 300, 7, NOW)
    assert accounts(store) == {"b": (300, 0, 0)}
    assert store.reserve("b", [budget("b", 1)], NOW).balances == ((300, 1),)


def test_an_answer_that_is_read_late_takes_nothing_from_what_is_known() -> None:
    known, line = Known(), budget("b", 1)
    for spent, at_least in ((500, False), (400, True), (600, True), (450, False)):
        known.saw([line], [spent], at_least=at_least)
        assert known.floors() == {"b": (max(spent, 500) if at_least else spent, line.until_ms, "usd")}


def test_what_was_told_is_there_when_the_store_is_closed(redis: RedisServer, elsewhere: RedisStore) -> None:
    with network(redis.url.removeprefix("unix://")) as between:
        store = RedisStore(f"redis://127.0.0.1:{between.port}/0", timeout_s=LONG_S)
        sent(store)
        between.is_cut = True
        store.tell_settled("a", 300, 7, NOW)
        between.break_off()
        between.is_cut = False
        store.close()
    assert accounts(elsewhere) == {"b": (300, 0, 0)}


def test_no_more_is_told_than_a_few_that_redis_has_not_answered(redis: RedisServer) -> None:
    store = RedisStore(redis.url, timeout_s=LONG_S)
    calls = [str(number) for number in range(40)]
    for call in calls:
        sent(store, call)
    with frozen(redis, store):
        for call in calls[:16]:
            store.tell_settled(call, 300, 7, NOW)
        with pytest.raises(StoreAwayError):
            store.tell_settled(calls[16], 300, 7, NOW)
    for call in calls[16:]:
        store.tell_settled(call, 300, 7, NOW)
    assert accounts(store) == {"b": (40 * 300, 0, 0)}
    store.close()


@pytest.mark.parametrize("ends_away", [True, False])
@pytest.mark.parametrize("held_before", [True, False])
def test_a_call_released_and_held_again_while_the_store_is_away_is_counted_as_it_was_held_last(
    redis: RedisServer, elsewhere: RedisStore, held_before: bool, ends_away: bool
) -> None:
    """As a budget does that has a cheaper model stand in."""
    ours, counted = behind(redis.url)
    if held_before:
        ours.reserve("a", [budget("dear", 400)], NOW)
    with frozen(redis, counted):
        ours.reserve("b", [budget("b", 10)], NOW)
        assert ours.away
        if not held_before:
            ours.reserve("a", [budget("dear", 400)], NOW)
        ours.release("a", NOW)
        ours.reserve("a", [budget("cheap", 300)], NOW)
        ours.sent("a")
        if ends_away:
            ours.tell_settled("a", 250, 7, NOW)
    wait_until_back(ours, counted)
    if not ends_away:
        assert accounts(elsewhere)["cheap"] == (0, 300, 0)
        ours.settle("a", 250, 7, NOW)
    told = {key: account for key, account in accounts(elsewhere).items() if any(account)}
    assert told == {"cheap": (250, 0, 0), "b": (0, 10, 0)}
    ours.close()


def test_what_was_told_a_store_that_is_away_is_counted_once_when_it_is_back(
    redis: RedisServer, elsewhere: RedisStore
) -> None:
    ours, counted = behind(redis.url)
    for call in ("a", "b"):
        sent(ours, call)
    with frozen(redis, counted):
        ours.tell_settled("a", 300, 7, NOW)
        assert not ours.away
        # That the store is away, the next call finds; what the first has spent is known all the same.
        assert ours.reserve("c", [budget("b", 10)], NOW).balances == ((300, 410),)
        assert ours.away
        ours.tell_settled("b", 200, 7, NOW)
    wait_until_back(ours, counted)
    assert accounts(elsewhere) == {"b": (500, 10, 0)}
    ours.close()


# Behind us


def behind(url: str) -> tuple[FallbackStore, Counted]:
    """Return a store behind us that is tried often, and itself."""
    counted = Counted(url)
    return FallbackStore(counted, first_wait_s=0.02, most_wait_s=0.1), counted


def wait_until_back(ours: FallbackStore, store: RedisStore) -> None:
    """Return when a store is asked again, over connections that have time for it."""
    wait_until(lambda: not ours.away, timeout_s=60, what="the store to be back")
    have_wait(store, LONG_S)


def test_an_application_waits_once_for_a_store_that_is_away(redis: RedisServer) -> None:
    counted = Counted(redis.url)
    ours = FallbackStore(counted)
    ours.reserve("before", [budget("b", 100)], NOW)
    asker = threading.current_thread().name
    with frozen(redis, counted):
        before = counted.asked[asker]
        for number in range(50):
            assert ours.reserve(str(number), [budget("b", 10)], NOW).refused == -1
            ours.sent(str(number))
            assert ours.settle(str(number), 10, 0, NOW)
        ours.renew(["before"], NOW)
        ours.sweep(NOW)
        assert (counted.asked[asker] - before, ours.away) == (1, True)
    ours.close()


def test_what_is_known_is_enforced_while_the_store_is_away(redis: RedisServer) -> None:
    ours, _ = behind(redis.url)
    ours.reserve("spent", [budget("b", 400)], NOW)
    ours.settle("spent", 450, 0, NOW)
    ours.reserve("open", [budget("b", 300)], NOW)
    ours.put_state("breaker", "open", None)
    redis.stop()
    assert ours.reserve("a", [budget("b", 200)], NOW) == Reserved(((450, 500),))  # type: ignore[arg-type]
    assert ours.reserve("b", [budget("b", 51)], NOW).refused == 0
    assert (ours.away, ours.states(""), accounts(ours)) == (True, {"breaker": "open"}, {"b": (450, 500, 0)})
    assert (ours.charges(NOW + DAY, 9), ours.confirm("spent", 1, 1)) == ([], False)
    assert ours.release("a", NOW)
    ours.set_spent("b", 990, NOW + DAY, "usd")
    ours.raise_spent({"b": (995, NOW + DAY, "usd")})
    assert ours.reserve("c", [budget("b", 1, 1290)], NOW).refused == 0
    ours.close()


def test_what_calls_spent_meanwhile_is_handed_over_once(redis: RedisServer) -> None:
    ours, counted = behind(redis.url)
    elsewhere = RedisStore(redis.url, timeout_s=LONG_S)
    lines = (budget("b", 400, 10_000), lease("l", 99))
    ours.reserve("before", lines, NOW)
    ours.reserve("still open", lines, NOW)
    ours.put_state("breaker", "closed", None)
    with frozen(redis, counted):
        ours.reserve("ends", lines, NOW)
        ours.sent("ends")
        ours.settle("ends", 300, 7, NOW, flagged=True)
        ours.reserve("given back", lines, NOW)
        ours.release("given back", NOW)
        ours.reserve("goes on", lines, NOW)
        ours.sent("goes on")
        ours.sent("still open")
        ours.settle("before", 350, 0, NOW)
        ours.put_state("breaker", "open", "closed")
        ours.put_state("new", "1", None)
        assert ours.away
    wait_until_back(ours, counted)
    assert accounts(elsewhere) == {"b": (650, 800, 300), "l": (0, 2, 0)}
    assert elsewhere.states("") == {"breaker": "open", "new": "1"}
    assert [ours.settle("ends", 300, 7, NOW), ours.settle("before", 350, 0, NOW)] == [False, False]
    assert elsewhere.charges(NOW + 1, 9) == [Charge("before", NOW, 350, 0, False), Charge("ends", NOW, 300, 7, True)]
    assert ours.settle("goes on", 100, 0, NOW)
    # Nobody settles the other: that it was sent is known there.
    assert ours.sweep(NOW + LEASE_MS) == 1
    assert accounts(elsewhere) == {"b": (1150, 0, 700)}
    elsewhere.close()
    ours.close()


def test_what_is_spent_meanwhile_is_there_although_the_store_comes_back_empty(redis: RedisServer) -> None:
    ours, _ = behind(redis.url)
    ours.reserve("before", [budget("b", 400)], NOW)
    ours.settle("before", 400, 0, NOW)
    redis.stop()
    ours.reserve("meanwhile", [budget("b", 400)], NOW)
    ours.settle("meanwhile", 300, 0, NOW)
    redis.start()
    wait_until(lambda: not ours.away, what="the store to be back")
    assert accounts(ours) == {"b": (700, 0, 0)}
    ours.close()


def test_a_file_that_another_program_locks_is_away_and_is_caught_up_with(tmp_path: Path) -> None:
    path = tmp_path / "guard.sqlite"
    ours = FallbackStore(SqliteStore(path, patience_s=0.05), first_wait_s=0.02, most_wait_s=0.1)
    ours.reserve("a", [budget("b", 400)], NOW)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("begin immediate")
        assert ours.settle("a", 350, 0, NOW)
        assert ours.reserve("b", [budget("b", 100)], NOW) == Reserved(((350, 100),))  # type: ignore[arg-type]
        assert ours.away
        other.execute("rollback")
    other.close()
    wait_until(lambda: not ours.away, what="the file to be back")
    assert accounts(ours) == {"b": (350, 100, 0)}
    ours.close()


@pytest.mark.parametrize("content", [b"this is no database" * 99, None], ids=["no database", "a folder"])
def test_a_file_that_is_no_database_is_away(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "guard.sqlite"
    path.mkdir() if content is None else path.write_bytes(content)
    store = SqliteStore(path)
    for ask in (store.accounts, lambda: store.reserve("a", [budget("b", 1)], NOW)):
        with pytest.raises(StoreAwayError, match=str(path)):
            ask()
    store.close()


def test_many_threads_go_on_together_when_the_store_leaves_under_load(redis: RedisServer) -> None:
    ours, counted = behind(redis.url)
    have_wait(counted, PATIENCE_S)
    elsewhere = RedisStore(redis.url, timeout_s=LONG_S)
    lines: Sequence[Line] = [budget("b", 10, 10**9)]
    left = threading.Event()
    made = Counter[int]()

    def work(worker: int) -> None:
        after = 0
        while after < 20:
            after += left.is_set()
            call = f"{worker}/{made[worker]}"
            made[worker] += 1
            ours.reserve(call, lines, NOW)
            ours.sent(call)
            ours.tell_settled(call, 7, 1, NOW)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(16)]
    for thread in threads:
        thread.start()
    redis.freeze()
    try:
        wait_until(lambda: ours.away, what="the store to be away")
    finally:
        redis.thaw()
        left.set()
        for thread in threads:
            thread.join()
    wait_until_back(ours, counted)
    assert accounts(ours) == accounts(elsewhere) == {"b": (made.total() * 7, 0, 0)}
    elsewhere.close()
    ours.close()

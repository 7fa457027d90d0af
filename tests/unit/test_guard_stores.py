"""What every store of budgets and limits does, each asked the same."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from guarding import DAY, KINDS, MINUTE, NOW, budget, calls_a_minute, lease, made, tokens, tokens_a_minute
from redis_server import RedisServer, serving
from spanledger.guard.memory import MemoryStore
from spanledger.guard.store import (
    KEEP_ACCOUNTS_MS,
    KEEP_CALLS_MS,
    LEASE_MS,
    NO_CAP,
    Account,
    Balance,
    Charge,
    Line,
    Reserved,
    Store,
)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with serving(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = request.getfixturevalue("redis").url if request.param == "redis" else ""
    with made(request.param, tmp_path, url, timeout_s=30) as store:
        yield store


def accounts(store: Store) -> dict[str, tuple[int, int, int]]:
    """Return spent, held and flagged of each account."""
    return {one.key: (one.spent, one.held, one.flagged) for one in store.accounts()}


def holding(*balances: tuple[int, int]) -> Reserved:
    """Return what a call is told whose lines are all held."""
    return Reserved(tuple(Balance(*balance) for balance in balances))


def test_a_call_holds_all_its_lines_and_is_told_the_balances_with_it(store: Store) -> None:
    lines = (budget("b", 400), tokens("t", 90), tokens_a_minute("r", 50), calls_a_minute("q"), lease("l"))
    assert store.reserve("a", lines, NOW) == holding((0, 400), (0, 90), (50, 0), (1, 0), (0, 1))
    assert store.accounts() == [
        Account("b", "budget", "usd", 0, 400, 0, NOW + DAY),
        Account("l", "lease", "calls", 0, 1, 0, 0),
        Account("q", "rate", "calls", 1, 0, 0, 0),
        Account("r", "rate", "tokens", 50, 0, 0, 0),
        Account("t", "budget", "tokens", 0, 90, 0, NOW + DAY),
    ]


@pytest.mark.parametrize(
    ("line", "place"),
    [(budget("b", 601), 0), (tokens_a_minute("r", 51), 1), (lease("l", 1), 2)],
    ids=["budget", "rate", "lease"],
)
def test_a_call_without_room_in_one_line_holds_none(store: Store, line: Line, place: int) -> None:
    lines = [budget("b", 400), tokens_a_minute("r", 50), lease("l")]
    store.reserve("a", lines, NOW)
    before = accounts(store)
    lines[place] = line
    refused = store.reserve("b", lines, NOW)
    assert (refused.balances, refused.refused) == (((0, 400), (50, 0), (0, 1)), place)
    assert (accounts(store), store.settle("b", 1, 1, NOW)) == (before, False)


def test_a_budget_may_be_used_up_to_the_last_unit(store: Store) -> None:
    assert store.reserve("a", [budget("b", 1000)], NOW).refused == -1
    assert store.reserve("b", [budget("b", 1)], NOW).refused == 0
    assert store.reserve("c", [budget("b", 0)], NOW).refused == -1


def test_a_line_without_a_cap_only_counts(store: Store) -> None:
    lines = (budget("b", 5000, NO_CAP), tokens_a_minute("r", 5000, NO_CAP), lease("l", NO_CAP))
    assert store.reserve("a", lines, NOW) == holding((0, 5000), (5000, 0), (0, 1))


def test_a_call_asked_for_twice_is_held_once(store: Store) -> None:
    lines = (budget("b", 400), calls_a_minute("q"), lease("l", 1))
    first = store.reserve("a", lines, NOW)
    assert store.reserve("a", lines, NOW + 1) == first
    store.settle("a", 300, 0, NOW + 2)
    assert store.reserve("a", lines, NOW + 3) == holding((300, 0), (1, 0), (0, 0))


def test_a_settled_call_has_spent_what_it_did_and_holds_nothing(store: Store) -> None:
    lines = (budget("b", 400), tokens("t", 90), tokens_a_minute("r", 50), calls_a_minute("q"), lease("l"))
    store.reserve("a", lines, NOW)
    store.sent("a")
    assert store.settle("a", 450, 30, NOW + 1)
    after = {"b": (450, 0, 0), "l": (0, 0, 0), "q": (1, 0, 0), "r": (30, 0, 0), "t": (30, 0, 0)}
    assert accounts(store) == after
    assert (store.settle("a", 450, 30, NOW + 2), accounts(store)) == (False, after)


def test_a_call_settled_by_an_estimate_is_flagged(store: Store) -> None:
    store.reserve("a", [budget("b", 400), tokens("t", 90)], NOW)
    store.settle("a", 450, 30, NOW, flagged=True)
    assert accounts(store) == {"b": (450, 0, 450), "t": (30, 0, 30)}
    assert store.charges(NOW + 1, 9) == [Charge("a", NOW, 450, 30, True)]


def test_a_call_that_nobody_knows_settles_nothing(store: Store) -> None:
    assert not store.settle("a", 450, 30, NOW)
    assert not store.release("a", NOW)
    assert not store.confirm("a", 1, 1)
    store.sent("a")
    store.renew(["a"], NOW)
    store.renew([], NOW)
    assert (store.accounts(), store.charges(NOW + DAY, 9), store.sweep(NOW + DAY)) == ([], [], 0)


def test_a_call_that_is_not_made_gives_all_back_but_that_it_was_asked_for(store: Store) -> None:
    lines = (budget("b", 400), tokens_a_minute("r", 50), calls_a_minute("q"), lease("l"))
    store.reserve("a", lines, NOW)
    assert (store.release("a", NOW), store.release("a", NOW)) == (True, False)
    assert accounts(store) == {"b": (0, 0, 0), "l": (0, 0, 0), "q": (1, 0, 0), "r": (0, 0, 0)}
    assert store.reserve("a", lines, NOW) == holding((0, 400), (50, 0), (2, 0), (0, 1))


# Holds that nobody settles


def test_a_lost_hold_returns_if_it_was_not_sent_and_is_charged_and_flagged_if_it_was(store: Store) -> None:
    for call in ("a", "b"):
        store.reserve(call, [budget("b", 300), tokens("t", 90), tokens_a_minute("r", 40), lease("l")], NOW)
    store.sent("b")
    assert store.sweep(NOW + LEASE_MS - 1) == 0
    assert store.sweep(NOW + LEASE_MS) == 2
    assert accounts(store) == {"b": (300, 0, 300), "r": (0, 0, 0), "t": (90, 0, 90)}
    assert store.charges(NOW + 1, 9) == [Charge("b", NOW, 300, 90, True)]
    assert store.sweep(NOW + LEASE_MS) == 0


def test_lost_holds_are_swept_before_a_call_is_refused_because_of_them(store: Store) -> None:
    store.reserve("a", [budget("b", 1000), lease("l", 1)], NOW)
    assert store.reserve("b", [budget("b", 1000), lease("l", 1)], NOW + LEASE_MS - 1).refused == 0
    assert store.reserve("b", [budget("b", 1000), lease("l", 1)], NOW + LEASE_MS) == holding((0, 1000), (0, 1))


def test_a_hold_that_is_renewed_lives_on(store: Store) -> None:
    store.reserve("a", [budget("b", 300)], NOW)
    store.renew(["a", "unknown"], NOW + 100_000)
    assert store.sweep(NOW + 100_000 + LEASE_MS - 1) == 0
    assert store.sweep(NOW + 100_000 + LEASE_MS) == 1


def test_a_call_that_comes_back_late_is_charged_what_it_was(store: Store) -> None:
    for call in ("returned", "charged"):
        store.reserve(call, [budget("b", 300), lease("l")], NOW)
    store.sent("charged")
    store.sweep(NOW + LEASE_MS)
    assert store.settle("returned", 70, 0, NOW + LEASE_MS)
    assert store.settle("charged", 5, 0, NOW + LEASE_MS)
    assert accounts(store) == {"b": (75, 0, 0)}
    assert not store.settle("charged", 5, 0, NOW + LEASE_MS)
    assert not store.release("returned", NOW + LEASE_MS)
    assert store.charges(NOW + 1, 9) == [Charge("charged", NOW, 5, 0, False), Charge("returned", NOW, 70, 0, False)]


def test_a_hold_of_a_clock_that_was_ahead_ends_after_the_clock_is_set_back(store: Store) -> None:
    store.reserve("a", [budget("b", 300)], NOW + 30 * DAY)
    assert store.sweep(NOW) == 0
    assert store.sweep(NOW + 2 * LEASE_MS) == 1


# Rates


def test_a_rate_counts_of_the_window_before_what_still_lies_in_the_last_minute(store: Store) -> None:
    store.reserve("a", [tokens_a_minute("r", 90)], NOW + 30_000)
    assert store.reserve("b", [tokens_a_minute("r", 11)], NOW + 59_999).refused == 0
    assert store.reserve("b", [tokens_a_minute("r", 40)], NOW + MINUTE + 20_000) == holding((100, 0))
    assert store.reserve("c", [tokens_a_minute("r", 1, NO_CAP)], NOW + MINUTE + 20_001) == holding((100, 0))
    assert store.reserve("d", [tokens_a_minute("r", 100)], NOW + 4 * MINUTE) == holding((100, 0))


@pytest.mark.parametrize(("amount", "later_ms"), [(10, 0), (40, 30_000), (60, 0), (100, 59_000)])
def test_a_refused_rate_tells_when_there_is_room(store: Store, amount: int, later_ms: int) -> None:
    store.reserve("a", [tokens_a_minute("r", 77)], NOW + 17_000)
    store.reserve("b", [tokens_a_minute("r", 20)], NOW + MINUTE + later_ms)
    now_ms = NOW + MINUTE + later_ms
    wait_ms = store.reserve("c", [tokens_a_minute("r", amount)], now_ms).retry_ms
    assert store.reserve("c", [tokens_a_minute("r", amount)], now_ms + wait_ms - 1).refused == (0 if wait_ms else -1)
    assert store.reserve("c", [tokens_a_minute("r", amount)], now_ms + wait_ms).refused == -1


def test_a_call_above_a_rates_cap_never_has_room(store: Store) -> None:
    assert store.reserve("a", [tokens_a_minute("r", 101)], NOW) == Reserved((Balance(0, 0),), 0, -1)


def test_a_rate_is_set_right_both_ways(store: Store) -> None:
    def used() -> int:
        return store.reserve("?", [tokens_a_minute("r", 1000)], NOW + MINUTE).balances[0].spent

    for call in ("a", "b", "c"):
        store.reserve(call, [tokens_a_minute("r", 30)], NOW)
    store.settle("a", 0, 10, NOW + 1)
    assert used() == 70
    store.settle("b", 0, 20, NOW + MINUTE)
    assert used() == 60
    store.settle("c", 0, 50, NOW + MINUTE)
    assert used() == 80


def test_a_rate_of_a_clock_that_jumps_refuses_nobody_for_long(store: Store) -> None:
    store.reserve("a", [tokens_a_minute("r", 100)], NOW + DAY)
    assert store.reserve("b", [tokens_a_minute("r", 100)], NOW).refused == -1
    assert store.reserve("c", [tokens_a_minute("r", 1)], NOW - 1).refused == 0
    assert store.reserve("c", [tokens_a_minute("r", 1)], NOW - 1 - MINUTE).refused == -1


# What the lake says, and what people say


def test_the_lake_puts_right_what_a_call_was_charged_and_it_is_forgotten(store: Store) -> None:
    lines = (budget("b", 300, 2000), tokens("t", 90), tokens_a_minute("r", 40, NO_CAP))
    for call in ("a", "b", "c", "d"):
        store.reserve(call, lines, NOW + ord(call))
    store.settle("a", 100, 10, NOW + 200)
    store.sent("b")
    store.sweep(NOW + ord("c") + LEASE_MS - 1)
    assert [store.confirm(call, 80, 8) for call in ("a", "b", "c", "d")] == [True, True, False, False]
    assert [store.confirm("a", 80, 8), store.settle("b", 1, 1, NOW + LEASE_MS)] == [False, False]
    assert {key: accounts(store)[key] for key in ("b", "t")} == {"b": (160, 600, 0), "t": (16, 180, 0)}
    assert store.charges(NOW + DAY, 9) == []


def test_charges_are_listed_oldest_first_and_only_those_that_were_reserved_before(store: Store) -> None:
    for call, at_ms in (("b", NOW), ("a", NOW), ("c", NOW - 5), ("d", NOW + 5)):
        store.reserve(call, [budget("b", 1)], at_ms)
        store.settle(call, 2, 3, at_ms)
    assert [charge.call for charge in store.charges(NOW + 5, 9)] == ["c", "a", "b"]
    assert store.charges(NOW + 5, 1) == [Charge("c", NOW - 5, 2, 3, False)]


def test_charges_are_listed_page_by_page_also_of_one_moment_and_behind_one_that_is_confirmed(store: Store) -> None:
    calls = ["later/b", "b", "B", "é", "later/a", "c", "a", "0"]
    for call in calls:
        store.reserve(call, [budget("b", 1)], NOW)
        store.settle(call, 2, 3, NOW)
    store.reserve("next", [budget("b", 1)], NOW + 1)
    store.settle("next", 2, 3, NOW + 1)
    pages, after = [], None
    while page := store.charges(NOW + 2, 2, after):
        pages.append([charge.call for charge in page])
        after = page[-1]
        assert store.confirm(after.call, 2, 3)
    assert pages == [["0", "B"], ["a", "b"], ["c", "later/a"], ["later/b", "é"], ["next"]]


def test_people_say_what_was_spent_and_holds_stay(store: Store) -> None:
    store.reserve("a", [budget("b", 300)], NOW)
    store.reserve("b", [budget("b", 300)], NOW)
    store.settle("b", 200, 0, NOW, flagged=True)
    store.set_spent("b", 50, NOW + DAY, "usd")
    store.set_spent("new", 60, NOW + DAY, "tokens")
    assert accounts(store) == {"b": (50, 300, 0), "new": (60, 0, 0)}


def test_what_was_spent_is_set_where_it_still_is_as_expected(store: Store) -> None:
    store.reserve("a", [budget("b", 300)], NOW)
    store.settle("a", 200, 0, NOW, flagged=True)
    asked = (("b", 50, 199), ("b", 60, 200), ("b", 70, 200), ("new", 80, 1), ("new", 90, 0))
    done = [store.set_spent(key, spent, NOW + DAY, "usd", expected) for key, spent, expected in asked]
    assert done == [False, True, False, False, True]
    assert accounts(store) == {"b": (60, 0, 0), "new": (90, 0, 0)}


def test_what_was_spent_is_raised_and_never_added(store: Store) -> None:
    store.reserve("a", [budget("b", 300)], NOW)
    store.settle("a", 200, 0, NOW)
    for _ in range(2):
        store.raise_spent({"b": (150, NOW + DAY, "usd"), "new": (60, NOW + DAY, "usd")})
    assert accounts(store) == {"b": (200, 0, 0), "new": (60, 0, 0)}


def test_texts_are_kept_where_what_is_there_is_as_expected(store: Store) -> None:
    assert store.put_state("breaker:é", "open", None)
    assert not store.put_state("breaker:é", "closed", None)
    assert store.put_state("breaker:%", "closed", None)
    assert store.put_state("other", "x", None)
    assert store.put_state("breaker:é", "closed", "open")
    assert store.states("breaker:") == {"breaker:%": "closed", "breaker:é": "closed"}
    assert store.put_state("other", None, "x")
    assert not store.put_state("other", None, "x")
    assert list(store.states("")) == ["breaker:%", "breaker:é"]


# What is forgotten


def test_old_calls_and_accounts_are_forgotten_and_what_still_counts_is_not(store: Store) -> None:
    ends = NOW + DAY
    store.reserve("ended", [budget("ended", 1, until_ms=ends), calls_a_minute("q"), lease("l")], NOW)
    store.settle("ended", 1, 0, NOW)
    store.reserve("held", [budget("held", 1, until_ms=ends), budget("always", 1, until_ms=0)], NOW)
    store.sweep(NOW + MINUTE)
    assert list(accounts(store)) == ["always", "ended", "held", "q"]
    store.renew(["held"], ends + KEEP_ACCOUNTS_MS)
    store.sweep(ends + KEEP_ACCOUNTS_MS - 1)
    assert list(accounts(store)) == ["always", "ended", "held"]
    store.sweep(ends + KEEP_ACCOUNTS_MS)
    assert list(accounts(store)) == ["always", "held"]
    store.sweep(NOW + KEEP_CALLS_MS - 1)
    assert [charge.call for charge in store.charges(NOW + DAY, 9)] == ["ended"]
    store.sweep(NOW + KEEP_CALLS_MS)
    assert store.charges(NOW + DAY, 9) == []


def test_thousands_of_old_accounts_are_forgotten_by_one_sweep(store: Store) -> None:
    store.raise_spent({f"trace {number}": (1, NOW, "usd") for number in range(2_500)})
    store.raise_spent({"day": (1, NOW + 1, "usd")})
    store.sweep(NOW + KEEP_ACCOUNTS_MS)
    assert accounts(store) == {"day": (1, 0, 0)}


def test_a_store_in_memory_says_no_to_two_lines_of_one_account_instead_of_trying_for_ever() -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match="two lines of a call are of one account"):
        store.reserve("a", [budget("a day", 60, 100), budget("a day", 60, 100)], NOW)
    assert {(one.spent, one.held) for one in store.accounts()} == {(0, 0)}


def test_amounts_are_exact_up_to_nine_million_dollars(store: Store) -> None:
    most = 2**53 - 1
    lines = (budget("b", most - 1, most), tokens_a_minute("r", 10**12 + 7, most))
    store.reserve("a", lines, NOW)
    assert store.reserve("b", [budget("b", 2, most)], NOW).refused == 0
    assert store.reserve("b", [budget("b", 1, most)], NOW).balances == ((0, most),)
    store.settle("b", 1, 0, NOW)
    store.settle("a", most - 1, 10**12 + 7, NOW)
    assert store.reserve("c", [budget("b", 0, most)], NOW).balances == ((most, 0),)
    used = store.reserve("d", [tokens_a_minute("r", 0, most)], NOW + MINUTE + 7).balances
    assert used == (((10**12 + 7) * 59_993 // 60_000, 0),)


# Threads, signals and forks


def test_a_signal_handler_may_reserve_while_its_thread_does(store: Store) -> None:
    asked = 0
    handled, ending = threading.Event(), threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        store.reserve(f"handler {asked}", [budget("b", 1, 10**9)], NOW)
        store.settle(f"handler {asked}", 1, 0, NOW)
        handled.set()

    before = signal.signal(signal.SIGUSR1, handle)

    def disturb() -> None:
        while not ending.is_set():
            handled.clear()
            os.kill(os.getpid(), signal.SIGUSR1)
            handled.wait(30)

    disturber = threading.Thread(target=disturb, daemon=True)
    disturber.start()
    try:
        made_calls = 0
        while made_calls < 300 or not asked:
            store.reserve(str(made_calls), [budget("b", 1, 10**9)], NOW)
            store.settle(str(made_calls), 1, 0, NOW)
            made_calls += 1
    finally:
        ending.set()
        disturber.join()
        signal.signal(signal.SIGUSR1, before)
    assert accounts(store) == {"b": (made_calls + asked, 0, 0)}

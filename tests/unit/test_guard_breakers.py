"""Breakers of processes that share a store: what they see, what they do to calls, and what they tell."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from guarding import KINDS, made
from redis_server import RedisServer, serving
from spanledger import names
from spanledger.errors import BreakerOpen
from spanledger.guard.breaker import PREFIX, Breaker, State, decode
from spanledger.guard.breakers import Breakers
from spanledger.guard.plans import Plan, of_budget
from spanledger.guard.policy import Budget, Facts, Threshold, make_match
from spanledger.guard.store import NANO, Reserved, Store
from spanledger.guard.words import Refused
from spanledger.record import Record

NOW = 1_764_000_000_000
"""2025-11-24T16:00:00Z, where a minute begins."""
MINUTE = Breaker("a minute", make_match({"user_id": "*"}), hold_ms=60_000, allowance=NANO, usd_per_minute=5 * NANO)
_ids = itertools.count(1)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with serving(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = request.getfixturevalue("redis").url if request.param == "redis" else ""
    with made(request.param, tmp_path, url, timeout_s=30) as store:
        yield store


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """Changes of state, as they go to the ledger."""
    found: list[Record] = []
    monkeypatch.setattr("spanledger.ledger.add", found.append)
    return found


_now_ms = [NOW]


@pytest.fixture(autouse=True)
def _clock() -> None:
    _now_ms[0] = NOW


class Process:
    """Makes calls by the rules, as an admission does."""

    def __init__(self, store: Store, *rules: Breaker, budget: Budget | None = None) -> None:
        self.store = store
        self.budget = budget
        self.breakers = Breakers(lambda: _now_ms[0] * 1_000_000)
        self.breakers.use(store, rules)

    def call(
        self, seconds: float, usd: float = 1, user: str = "ann", spends: float | None = None, attempts: int = 1
    ) -> str:
        """Make a call that may cost so much, and then does; say what was done to it, and by which sentence."""
        now_ms = _now_ms[0] = NOW + int(seconds * 1000)
        self.breakers._looked_ns = 0  # as though a second had gone by
        self.breakers._looked_again_ns.clear()
        facts = Facts({"user.id": user, "team.id": "red"}, f"session-of-{user}")
        watch = self.breakers.watch(facts)
        assert watch is not None
        call = f"{next(_ids):016x}"
        seen = watch.before(self.store, call, now_ms)
        if isinstance(seen, Refused):
            return str(seen.refusal)
        plans: list[Plan] = list(watch.plans(lambda: int(usd * NANO), now_ms))
        if self.budget is not None:
            plans.extend(of_budget(self.budget, "team_id=red", "", int(usd * NANO), now_ms, lambda _: False))
        lines = [plan.line for plan in plans]
        reserved = self.store.reserve(call, lines, now_ms) if lines else Reserved(())
        if reserved.refused >= 0:
            refused = watch.no_room(plans[reserved.refused], plans, reserved.balances, now_ms)
            return str(refused.refusal) if refused is not None else self.call(seconds, usd, user, spends, attempts)
        after = watch.after(plans, reserved.balances, now_ms)
        if isinstance(after, Refused):
            self.store.release(call, now_ms)
            return str(after.refusal)
        self.store.settle(call, int((usd if spends is None else spends) * NANO), 0, now_ms)
        watch.end(attempts)
        return ",".join(f"{'would ' * one.shadow}{one.action}" for one in (*seen, *after)) or "allow"

    def state(self, user: str = "ann", name: str = "a minute", more: str = "") -> State:
        self.breakers._looked_ns = 0
        return self.breakers.state(name, f"user_id={user}{more}")


def test_money_that_goes_too_fast_is_stopped_in_every_process_and_for_that_user_alone(
    store: Store, told: list[Record]
) -> None:
    one, other = Process(store, MINUTE), Process(store, MINUTE)

    assert [one.call(second, 2) for second in (0, 1)] == ["allow"] * 2
    assert other.call(2, 2) == "allow"  # 4 dollars went before it
    stopped = (
        "The breaker 'a minute' (user_id=ann) is open since 16:00:03 UTC: $6.00 went in a minute, and it is set to"
        " $5.00; it tries again from 16:01:03 UTC on, if spend has calmed down."
    )
    assert [one.call(3, 2), other.call(4, 0.01), one.call(50, 0.01)] == [stopped] * 3
    assert one.call(4, 2, "bob") == "allow"

    (change,) = told
    assert (change.name, change.error, change.metered) == ("spanledger.breaker", None, None)
    decisions = json.loads(str(change.attributes.pop(names.GUARD_DECISIONS)))
    assert change.attributes == {
        "user.id": "ann",
        "spanledger.guard.action": "allow",
        "spanledger.guard.policy": "a minute",
    }
    assert decisions == [
        {
            "rule": "a minute",
            "kind": "breaker",
            "scope": "user_id=ann",
            "action": "block",
            "shadow": False,
            "sentence": "open, was closed: $6.00 went in a minute, and it is set to $5.00",
            "unit": "usd",
            "limit": "5",
            "spent": "6",
        }
    ]


def test_after_its_hold_the_allowance_goes_through_and_calm_spend_closes_it(store: Store, told: list[Record]) -> None:
    process = Process(store, MINUTE)
    for second in range(3):
        process.call(second, 2)
    assert "is open" in process.call(3)

    assert "is open" in process.call(54)  # the money of the first minute still slides out
    assert "is open" in process.call(130)  # calm for the first time
    assert process.call(141, 0.4) == "warn"
    assert process.state().name == "half_open"
    assert [process.call(142, 0.4), process.call(143, 0.4)] == ["warn", "warn"]
    assert process.call(144, 0.4) == "allow"  # 1.2 dollars went through, and all was calm

    assert process.state() == State("a minute", "user_id=ann")
    assert store.states(PREFIX) == {}
    sentences = [json.loads(str(one.attributes[names.GUARD_DECISIONS]))[0]["sentence"] for one in told]
    assert [sentence.partition(":")[0] for sentence in sentences] == [
        "open, was closed",
        "half-open, was open",
        "closed, was half-open",
    ]


def test_half_open_lets_no_more_through_than_its_allowance_and_one_call(store: Store, told: list[Record]) -> None:
    process = Process(store, MINUTE)
    state = State("a minute", "user_id=ann", "half_open", NOW)
    process.breakers.put(MINUTE, State("a minute", "user_id=ann"), state, {})
    (line,) = (
        plan.line
        for plan in process.breakers.watch(Facts({"user.id": "ann"}, "")).plans(lambda: NANO * 3 // 5, NOW)  # type: ignore[union-attr]
        if "allowance" in plan.line.key
    )

    held = [store.reserve(f"{number:016x}", [line], NOW).refused for number in range(1000, 1010)]

    assert held == [-1, -1, *[0] * 8]
    message = process.call(1, 0.6)
    assert "it lets $1.00 through to see whether spend is calm, and that is spent or held" in message


def test_a_session_is_stopped_by_itself_and_a_reset_forgives_what_it_spent(store: Store, told: list[Record]) -> None:
    rule = Breaker("a run", make_match({"user_id": "*"}), session_usd=3 * NANO, session_calls=100)
    process = Process(store, rule)

    assert [process.call(second, 0, spends=1) for second in range(3)] == ["allow"] * 3
    message = process.call(3)
    assert message.endswith(
        ": one session has spent $3.00, and it is set to $3.00; `spanledger breaker reset` lets it go on."
    )
    assert "is open" in process.call(4000)  # a session does not become cheaper
    assert process.call(4, 1, "bob") == "allow"

    state = process.state("ann", "a run", ",session_id=session-of-ann")
    assert state.name == "open"
    reset = State(state.breaker, state.scope, since_ms=NOW, forgive=True)
    process.breakers.put(rule, state, reset, {})
    assert [process.call(5000 + second, 0, spends=1) for second in range(3)] == ["allow"] * 3
    assert "one session has spent $3.00" in process.call(5003)


def test_calls_of_a_session_are_counted(store: Store, told: list[Record]) -> None:
    process = Process(store, Breaker("a loop", make_match({}), session_calls=3))

    assert [process.call(second, 0) for second in range(3)] == ["allow"] * 3
    assert "one session has made 3 calls, and it is set to 3 calls" in process.call(3)


def test_a_share_of_a_budget_degrades_and_then_opens_until_its_window_ends(store: Store, told: list[Record]) -> None:
    budget = Budget("day", make_match({"team_id": "red"}), "day", 10 * NANO, "usd", ())
    rule = Breaker(
        "near its end",
        make_match({}),
        at=(Threshold(Fraction(1, 2), "degrade"), Threshold(Fraction(1), "block")),
        budget=budget,
        budget_share=9 * NANO,
    )
    process = Process(store, rule, budget=budget)

    assert [process.call(second, 3) for second in range(3)] == ["allow", "allow", "degrade"]
    midnight = 8 * 3600
    message = process.call(3, 3)
    assert "$9.00 of the budget is spent or held, and it is set to $9.00; it closes at 2025-11-25 00:00 UTC" in message
    assert "is open" in process.call(midnight - 1)
    assert process.call(midnight, 3) == "allow"


def test_retries_open_it_and_are_forgotten_with_that(store: Store, told: list[Record]) -> None:
    rule = Breaker("storms", make_match({}), hold_ms=1000, retry_share=Fraction(1, 2), retry_calls=5)
    process = Process(store, rule)

    assert [process.call(second, attempts=3) for second in range(5)] == ["allow"] * 5
    assert "attempts were made again for 10 calls, and it is set to 8 calls" in process.call(5)
    assert "is open" in process.call(7)
    assert process.call(18) == "warn"


def test_one_in_shadow_tells_what_it_would_have_done_and_stops_nothing(store: Store, told: list[Record]) -> None:
    process = Process(store, replace(MINUTE, shadow=True))

    assert [process.call(second, 3) for second in range(4)] == ["allow", "allow", "would block", "would block"]
    (change,) = told
    assert json.loads(str(change.attributes[names.GUARD_DECISIONS]))[0]["shadow"] is True


def test_of_two_processes_that_change_a_state_at_the_same_time_the_first_one_holds(
    store: Store, told: list[Record]
) -> None:
    one, other = Process(store, MINUTE), Process(store, MINUTE)
    before = other.state()
    by_hand = State("a minute", "user_id=ann", "open", NOW, by_hand=True)

    assert one.breakers.put(MINUTE, before, by_hand, {}) == by_hand
    assert other.breakers.put(MINUTE, before, replace(by_hand, name="degraded", by_hand=False), {}) == by_hand
    assert len(told) == 1
    assert other.call(99_999).endswith("is open since 16:00:00 UTC: by hand; `spanledger breaker reset` lets it go on.")


def test_a_state_that_can_not_be_read_counts_as_closed(store: Store, told: list[Record]) -> None:
    store.put_state("breaker/a minute/user_id=ann", '{"name": 7', None)

    process = Process(store, MINUTE)
    assert process.call(0, 5) == "allow"
    assert "is open" in process.call(2)
    assert process.state().name == "open"


def test_what_nobody_has_asked_about_for_a_day_is_forgotten(store: Store, told: list[Record]) -> None:
    process = Process(store, MINUTE)
    for second in range(4):
        process.call(second, 2)
    (text,) = store.states(PREFIX).values()
    assert decode(text).name == "open"

    _now_ms[0] = NOW + 86_404_000
    assert process.state() == State("a minute", "user_id=ann")
    assert store.states(PREFIX) == {}
    assert told[-1].attributes["user.id"] == "ann"


def test_a_refusal_has_the_evidence_for_programs(store: Store, told: list[Record]) -> None:
    process = Process(store, MINUTE)
    for second in range(4):
        process.call(second, 2)
    watch: Any = process.breakers.watch(Facts({"user.id": "ann"}, ""))

    refused = watch.before(store, "f" * 16, NOW + 20_000)

    error = refused.refusal
    assert isinstance(error, BreakerOpen)
    assert (error.policy, error.scope, error.unit, error.limit, error.spent, error.resets_at, error.retry_after_s) == (
        "a minute",
        "user_id=ann",
        "usd",
        Decimal(5),
        Decimal(6),
        None,
        43.0,
    )


def test_callers_that_ask_at_the_same_time_spend_no_more_than_what_opens_it(store: Store, told: list[Record]) -> None:
    """Calls under way count, so that none of them is let through because the others haven't cost anything yet."""
    rule = Breaker("a run", make_match({}), session_usd=10 * NANO)
    processes = [Process(store, rule) for _ in range(4)]
    start = threading.Barrier(32)

    def work(number: int) -> int:
        start.wait(60)
        return sum(1 for _ in itertools.takewhile("allow".__eq__, iter(lambda: processes[number % 4].call(0, 0.5), "")))

    with ThreadPoolExecutor(32) as pool:
        made = sum(pool.map(work, range(32)))

    assert made == 20
    (account,) = store.accounts()
    assert (account.spent, account.held) == (10 * NANO, 0)
    assert len(told) == 1

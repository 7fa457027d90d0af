"""Every store against a model in plain Python, step by step: the same answers, the same accounts, the same charges.

With SPANLEDGER_PROVE 10,000 steps for each store, else some hundred.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from guard_model import Model
from guarding import DAY, KINDS, MINUTE, NOW, made
from redis_server import RedisServer, serving
from spanledger.guard.store import NO_CAP, Line, Store

PROVING = bool(os.environ.get("SPANLEDGER_PROVE"))
SEED = 20_261_129
EXAMPLES, STEPS = (400, 50) if PROVING else (10, 40)
CAPS = {"budget": 1000, "rate": 300, "lease": 2}
ACCOUNTS = (
    Line("month", "budget", "usd", 0, 0, NOW + 3 * DAY),
    Line("always: ünï\n\x00", "budget", "usd", 0, 0, 0),
    Line("tokens a day", "budget", "tokens", 0, 0, NOW + DAY),
    Line("calls a day", "budget", "calls", 0, 0, NOW + DAY),
    Line("tokens a minute", "rate", "tokens", 0, 0, 0, MINUTE),
    Line("dollars an hour", "rate", "usd", 0, 0, 0, 60 * MINUTE),
    Line("calls a minute", "rate", "calls", 1, 0, 0, MINUTE),
    Line("under way", "lease", "calls", 1, 0),
)
NUMBERS = st.integers(0, 11)
"""Of a call: most mean one that is there, if one is."""
AMOUNTS = st.integers(0, 400)


@st.composite
def wanted(draw: st.DrawFn) -> list[Line]:
    """Draw lines of different accounts, in any order."""
    accounts = draw(st.lists(st.sampled_from(ACCOUNTS), min_size=1, max_size=6, unique_by=lambda line: line.key))
    return [
        account._replace(
            amount=draw(AMOUNTS) if account.unit != "calls" else 1,
            cap=NO_CAP if draw(st.integers(0, 3)) == 0 else CAPS[account.kind],
        )
        for account in accounts
    ]


class Ledger(RuleBasedStateMachine):
    """A store beside its model; `kind` and `url` are set by the test."""

    kind = "memory"
    url = ""
    steps: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.made = 0
        self.model = Model()
        self.stack = ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.stores = [self.stack.enter_context(made(self.kind, Path(folder), self.url, timeout_s=30))]
        if self.kind == "sqlite":  # as of two processes
            self.stores.append(self.stack.enter_context(made(self.kind, Path(folder), self.url, timeout_s=30)))
        self.chance = random.Random(SEED)

    @property
    def store(self) -> Store:
        return self.chance.choice(self.stores)

    def call(self, number: int) -> str:
        known = sorted(self.model.calls)
        return known[number % len(known)] if known and number < 10 else "unknown"

    def new_call(self) -> str:
        self.made += 1
        return f"{self.made:016x}"

    def teardown(self) -> None:
        self.stack.close()

    @initialize(calls=st.lists(wanted(), min_size=1, max_size=4))
    def begin(self, calls: list[list[Line]]) -> None:
        self.steps["ledgers"] += 1
        for lines in calls:
            self.reserve(11, lines)

    @rule(number=NUMBERS, lines=wanted())
    def reserve(self, number: int, lines: list[Line]) -> None:
        call = self.call(number) if number < 2 else self.new_call()
        told = self.store.reserve(call, lines, self.now)
        self.steps["reserve, refused" if told.refused >= 0 else "reserve"] += 1
        assert told == self.model.reserve(call, lines, self.now)

    @precondition(lambda self: self.model.calls)
    @rule(number=NUMBERS)
    def sent(self, number: int) -> None:
        call = self.call(number)
        self.steps["sent"] += 1
        self.store.sent(call)
        self.model.sent(call)

    @precondition(lambda self: self.model.calls)
    @rule(number=NUMBERS, usd=AMOUNTS, tokens=AMOUNTS, flagged=st.booleans())
    def settle(self, number: int, usd: int, tokens: int, flagged: bool) -> None:
        call = self.call(number)
        settled = self.store.settle(call, usd, tokens, self.now, flagged=flagged)
        self.steps["settle" if settled else "settle, not there"] += 1
        assert settled == self.model.settle(call, usd, tokens, self.now, flagged)

    @precondition(lambda self: self.model.calls)
    @rule(number=NUMBERS, usd=AMOUNTS, tokens=AMOUNTS, flagged=st.booleans())
    def tell_settled(self, number: int, usd: int, tokens: int, flagged: bool) -> None:
        call = self.call(number)
        self.store.tell_settled(call, usd, tokens, self.now, flagged=flagged)
        settled = self.model.settle(call, usd, tokens, self.now, flagged)
        self.steps["told settled" if settled else "told settled, not there"] += 1

    @precondition(lambda self: self.model.calls)
    @rule(number=NUMBERS)
    def release(self, number: int) -> None:
        call = self.call(number)
        released = self.store.release(call, self.now)
        self.steps["release" if released else "release, not there"] += 1
        assert released == self.model.release(call, self.now)

    @precondition(lambda self: self.model.calls)
    @rule(numbers=st.lists(NUMBERS, max_size=3))
    def renew(self, numbers: list[int]) -> None:
        calls = [self.call(number) for number in numbers]
        self.steps["renew"] += 1
        self.store.renew(calls, self.now)
        self.model.renew(calls, self.now)

    @rule()
    def sweep(self) -> None:
        ended = self.store.sweep(self.now)
        self.steps["sweep, some ended" if ended else "sweep"] += 1
        assert ended == self.model.sweep(self.now)

    @precondition(lambda self: self.model.calls)
    @rule(number=NUMBERS, usd=AMOUNTS, tokens=AMOUNTS)
    def confirm(self, number: int, usd: int, tokens: int) -> None:
        call = self.call(number)
        confirmed = self.store.confirm(call, usd, tokens)
        self.steps["confirm" if confirmed else "confirm, not charged"] += 1
        assert confirmed == self.model.confirm(call, usd, tokens)

    @rule(account=st.sampled_from(ACCOUNTS[:4]), spent=AMOUNTS)
    def raise_spent(self, account: Line, spent: int) -> None:
        self.steps["raise_spent"] += 1
        self.store.raise_spent({account.key: (spent, account.until_ms, account.unit)})
        self.model.raise_spent(account.key, spent, account.until_ms, account.unit)

    @rule(account=st.sampled_from(ACCOUNTS[:4]), spent=AMOUNTS, expects=st.sampled_from((None, 0, 1)))
    def set_spent(self, account: Line, spent: int, expects: int | None) -> None:
        """Expect nothing, or what is spent and this much more."""
        known = self.model.entries.get(account.key)
        expected = None if expects is None else (known.spent if known else 0) + expects
        asked = account.key, spent, account.until_ms, account.unit, expected
        done = self.store.set_spent(*asked)
        self.steps["set_spent" if done else "set_spent, not as expected"] += 1
        assert done == self.model.set_spent(*asked)

    @rule(step=st.sampled_from((1, 777, 20_000, MINUTE, 2 * MINUTE, 60 * MINUTE, DAY, 9 * DAY)))
    def wait(self, step: int) -> None:
        self.steps["time goes on"] += 1
        self.now += step

    @rule(step=st.sampled_from((1, 777, MINUTE, 60 * MINUTE, DAY)))
    def set_the_clock_back(self, step: int) -> None:
        self.steps["time goes back"] += 1
        self.now -= step

    @invariant()
    def same_accounts(self) -> None:
        assert self.store.accounts() == self.model.accounts()

    @invariant()
    def same_charges(self) -> None:
        after = None
        while page := self.model.charges(self.now, 2, after):
            assert self.store.charges(self.now, 2, after) == page
            after = page[-1]
        assert self.store.charges(self.now, 2, after) == []

    @invariant()
    def what_is_held_is_what_calls_under_way_hold(self) -> None:
        held = Counter[str]()
        for call in self.model.calls.values():
            held.update({line.key: line.amount for line in call.lines if call.is_live and line.kind != "rate"})
        assert {one.key: one.held for one in self.store.accounts() if one.held} == +held


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with serving(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_does_what_its_model_does(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("redis").url if kind == "redis" else ""
    made_of = {"kind": kind, "url": url, "steps": Counter[str]()}
    machine: type[Ledger] = type(f"LedgerIn{kind.title()}", (Ledger,), made_of)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not PROVING,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
    steps = machine.steps
    told = {f"{kind}, steps": steps.total() - steps["ledgers"], f"{kind}, what": dict(sorted(steps.items()))}
    print(f"evidence: {json.dumps(told)}")
    assert not PROVING or steps.total() - steps["ledgers"] >= 10_000

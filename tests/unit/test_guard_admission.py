"""The admission of one call, step by step: what it holds, what it counts for, and what stays of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from guarded import write_policy
from noon import begin_at_noon
from spanledger import names
from spanledger.errors import BudgetExceeded, LimitExceeded
from spanledger.guard.admission import Admission
from spanledger.guard.gate import Gate
from spanledger.guard.memory import MemoryStore
from spanledger.guard.recent import MOST
from spanledger.guard.store import Line, Reserved
from spanledger.record import Attributes, place_below
from spanledger.sdk import Endpoint, Request
from spanledger.settings import load
from spanledger.usage import Usage

CHAT = Endpoint("chat", lambda *_: None, lambda *_: None, lambda *_: Usage(state="missing"))
BUDGET = '[[budget]]\nname = "all"\nper = "total"\nusd = 1\n'
STANDS_IN = '[[degrade]]\nmodel = "gpt-4o"\nto = "gpt-4o-mini"\n'
ALL = "budget/all/everything/total"
ONE_AT_A_TIME = '[[limit]]\nname = "one"\nconcurrent = 1\n'


@pytest.fixture
def gate_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], Gate]]:
    begin_at_noon(monkeypatch)
    made: list[Gate] = []

    def make(policy: str) -> Gate:
        ready = threading.Event()
        ready.set()
        made.append(Gate(write_policy(monkeypatch, tmp_path, policy), load(), ready))
        return made[-1]

    yield make
    for gate in made:
        gate.close()


def admission(
    gate: Gate, model: str = "gpt-4o", most: int | None = None, more: Mapping[str, object] | None = None
) -> Admission:
    """Return a call at the gate whose request can be changed."""
    asked = {"messages": [{"role": "user", "content": "hi"}], **(more or {})}
    attributes: Attributes = {} if most is None else {names.MAX_TOKENS: most}
    found = gate.admission(Request(CHAT, model, asked, {}, stream=False), "openai", {}, place_below(None), attributes)
    assert found is not None
    found.rewrite = lambda *_: None
    return found


def held(gate: Gate) -> dict[str, tuple[int, int]]:
    """Return what accounts have spent and what is held in them."""
    assert gate.store is not None
    return {one.key: (one.spent, one.held) for one in gate.store.accounts()}


def spend(gate: Gate, nano_usd: int) -> None:
    """Say how much of the budget is gone."""
    assert gate.store is not None
    gate.store.set_spent(ALL, nano_usd, gate.policy.budgets[0].window(0).until_ms, "usd")


class Interrupted(MemoryStore):
    """A store that something happens beside while it is asked, before it holds a call or after."""

    def __init__(self, happens: Callable[[], None], when: str) -> None:
        super().__init__()
        self._happens = happens
        self._when = when

    def reserve(self, call: str, lines: Sequence[Line], now_ms: int) -> Reserved:
        """Hold the amounts of all lines, or of none."""
        if self._when == "before":
            self._happens()
        reserved = super().reserve(call, lines, now_ms)
        if self._when == "after":
            self._happens()
        return reserved


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_call_that_is_given_up_while_the_store_is_asked_leaves_no_hold(
    gate_of: Callable[[str], Gate], when: str
) -> None:
    gate = gate_of(BUDGET + ONE_AT_A_TIME)
    call: Admission
    gate.store = Interrupted(lambda: call.end(None, None, billed=False), when)
    call = admission(gate)
    call.step()

    assert held(gate) == {ALL: (0, 0), "limit/one/everything/concurrent": (0, 0)}
    assert gate.live == {}


@pytest.mark.parametrize("spent_nano", [905_000_000, 995_000_000], ids=["held for the first", "no room for the first"])
def test_a_call_that_another_model_answers_counts_once_in_what_limits_calls(
    gate_of: Callable[[str], Gate], spent_nano: int
) -> None:
    gate = gate_of(
        BUDGET
        + 'at = { "50%" = "throttle", "90%" = "degrade", "100%" = "block" }\n'
        + '[[limit]]\nname = "two"\nrequests_per_minute = 2\n'
        + STANDS_IN
    )
    spend(gate, spent_nano)
    gate.throttle(ALL, True)
    calls = [admission(gate) for _ in range(3)]
    steps = [call.step() for call in calls]

    assert [call.model for call in calls[:2]] == ["gpt-4o-mini"] * 2
    assert steps[:2] == [None, None]
    assert isinstance(steps[2], LimitExceeded)
    assert {key: spent for key, (spent, _) in held(gate).items() if key != ALL} == {
        "limit/two/everything/calls": 2,
        "throttle/all/everything": 2,
    }


@pytest.mark.parametrize("more", ["throttle", "warn"])
def test_a_share_that_is_reached_after_degrade_takes_nothing_back(gate_of: Callable[[str], Gate], more: str) -> None:
    gate = gate_of(f'{BUDGET}at = {{ "1%" = "degrade", "2%" = "{more}", "100%" = "block" }}\n{STANDS_IN}')
    told = []
    for spent_nano in (15_000_000, 25_000_000, 25_000_000):
        spend(gate, spent_nano)
        call = admission(gate)
        call.step()
        told.append((call.model, [one.action for one in call.decisions]))

    assert told == [
        ("gpt-4o-mini", ["degrade", more]),
        ("gpt-4o-mini", ["degrade"]),
        ("gpt-4o-mini", ["degrade"]),
    ]


def test_a_call_that_is_too_dear_alone_goes_to_the_model_that_stands_in(gate_of: Callable[[str], Gate]) -> None:
    single = '[[budget]]\nname = "single"\nper = "request"\nusd = "0.001"\nat = { "50%" = "degrade", "80%" = "warn" }\n'
    told = []
    for others in (STANDS_IN, STANDS_IN + BUDGET, ""):
        call = admission(gate_of(single + others))
        assert call.step() is None
        told.append((call.model, [one.action for one in call.decisions]))

    assert told == [("gpt-4o-mini", ["degrade"]), ("gpt-4o-mini", ["degrade"]), ("gpt-4o", ["warn"])]


def test_a_call_that_is_too_dear_alone_is_refused_where_the_model_that_stands_in_is_too(
    gate_of: Callable[[str], Gate],
) -> None:
    found = []
    for usd in ("0.001", "0.0001"):
        single = f'[[budget]]\nname = "single"\nper = "request"\nusd = "{usd}"\n'
        gate = gate_of(single + 'at = { "50%" = "degrade", "100%" = "block" }\n' + STANDS_IN)
        call = admission(gate)
        step = call.step()
        found.append((type(step), call.model, [one.action for one in call.decisions]))

    assert found == [
        (type(None), "gpt-4o-mini", ["degrade"]),
        (BudgetExceeded, "gpt-4o-mini", ["degrade", "block"]),
    ]


def test_a_call_that_waits_says_once_that_it_is_dear(gate_of: Callable[[str], Gate]) -> None:
    single = '[[budget]]\nname = "single"\nper = "request"\nusd = "0.001"\nat = { "50%" = "warn", "80%" = "degrade" }\n'
    gate = gate_of(single + ONE_AT_A_TIME + 'max_wait = "1m"\n')
    first, second = admission(gate), admission(gate)
    first.step()

    assert [type(second.step()) for _ in range(3)] == [float, float, float]
    assert [(one.rule, one.action) for one in second.decisions] == [("single", "warn"), ("one", "throttle")]


@pytest.mark.parametrize(
    ("estimate", "body", "most", "tokens"),
    [
        ("strict", {}, 1_000, 1_000),
        ("strict", {"n": 8}, 1_000, 8_000),
        ("strict", {"n": 8}, None, 8 * 16_384),
        ("strict", {"n": 2, "best_of": 5}, 1_000, 5_000),
        ("strict", {"n": None, "best_of": True}, 1_000, 1_000),
        ("strict", {"generationConfig": {"candidateCount": 4}}, 1_000, 4_000),
        ("expected", {"n": 8}, 1_000, 1_024),
        ("expected", {"n": 8}, 100, 800),
    ],
)
def test_what_is_held_knows_how_many_answers_are_asked_for(
    gate_of: Callable[[str], Gate], estimate: str, body: dict[str, object], most: int | None, tokens: int
) -> None:
    gate = gate_of(f'{BUDGET}estimate = "{estimate}"\n'.replace("usd = 1", "tokens = 1_000_000"))
    call = admission(gate, most=most, more=body)
    call.step()

    assert held(gate) == {ALL: (0, 1 + tokens)}


def test_a_postpaid_budget_that_denies_what_has_no_price_takes_what_has_one(gate_of: Callable[[str], Gate]) -> None:
    gate = gate_of(BUDGET + 'estimate = "postpaid"\nunknown_price = "deny"\n')

    assert admission(gate).step() is None
    assert isinstance(admission(gate, "nobody-knows").step(), BudgetExceeded)
    assert held(gate) == {ALL: (0, 0)}


def test_accounts_of_windows_that_are_over_keep_nobody_from_being_throttled(gate_of: Callable[[str], Gate]) -> None:
    gate = gate_of(BUDGET)
    for number in range(MOST + 1):
        gate.throttle(f"budget/all/user_id={number}/2025-11-28", True)

    assert [gate.is_throttled(f"budget/all/user_id={number}/2025-11-28") for number in (0, 1, MOST)] == [
        False,
        True,
        True,
    ]
    gate.throttle(f"budget/all/user_id={MOST}/2025-11-28", False)
    assert not gate.is_throttled(f"budget/all/user_id={MOST}/2025-11-28")

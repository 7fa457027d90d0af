"""Rules of the router judged by the lake: outcomes that other processes said, of work that they didn't route."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from guarded_rows import told
from ledger_rows import Row, call, make_lake, outcome
from spanledger.guard.policy_file import read_policy
from spanledger.guard.route import Route
from spanledger.guard.router import route_states
from spanledger.guard.sqlite import SqliteStore
from spanledger.guard.stores import FILE
from spanledger.guard.success import Success
from spanledger.settings import load
from spanledger_analytics.connection import Ledger
from spanledger_analytics.controls.judge import judge
from spanledger_analytics.controls.spent import millis
from spanledger_analytics.controls.watch import BudgetWatch
from spanledger_analytics.scope import EVERYTHING

NOW = datetime.now(UTC)
SINCE = NOW - timedelta(hours=2)
POLICY = """
store = "sqlite"
[[route]]
name = "short questions"
to = { "gpt-5" = "gpt-5-mini" }
mode = "percentage"
percent = 50
least = 10
"""


@pytest.fixture
def rule(tmp_path: Path) -> Route:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    (rule,) = read_policy(path, load()).more["route"]
    assert isinstance(rule, Route)
    return rule


@pytest.fixture
def store(tmp_path: Path, rule: Route) -> Iterator[SqliteStore]:
    """Of a rule that counts since two hours ago, and of which the application knows one outcome."""
    store = SqliteStore(tmp_path / FILE)
    assert store.put_state(rule.key, Success((1, 0), since_ms=millis(SINCE)).to_json(), None)
    yield store
    store.close()


def routed(number: int, arm: str, minutes: int = 30, session: str | None = None, rule: str = "short questions") -> Row:
    """Build a call of a rule, in a trace of its own."""
    said: Row = {"guard_action": "allow", "guard_policy": rule, "session_id": session}
    said["attributes"] = told(rule=rule, arm=arm, model="gpt-5-mini")
    return call(number, 1, NOW - timedelta(minutes=minutes)) | said


def ended(number: int, *, success: bool, minutes: int = 20, session: str | None = None) -> Row:
    """Build what another process said of a trace, or of a session."""
    return outcome(number, 2, NOW - timedelta(minutes=minutes), success=success, session_id=session)


def work(first: int, arm: str, count: int, successes: int) -> list[Row]:
    """Build work, each a trace without a session."""
    rows = []
    for number in range(first, first + count):
        rows += [routed(number, arm), ended(number, success=number - first < successes)]
    return rows


def test_work_counts_once_by_its_last_outcome_where_it_was_on_one_side(
    store: SqliteStore, rule: Route, tmp_path: Path
) -> None:
    rows = [
        *work(1, "routed", 3, 1),
        *work(11, "holdout", 2, 2),
        *work(21, "shadow", 2, 1),
        routed(31, "routed", session="s1"),
        routed(32, "routed", session="s1"),
        ended(33, success=False, session="s1"),
        ended(34, success=True, minutes=10, session="s1"),
        routed(41, "routed", session="s2"),
        routed(42, "holdout", session="s2"),
        ended(43, success=True, session="s2"),
        routed(51, "routed", minutes=180),
        ended(51, success=False),
        routed(61, "routed", rule="another"),
        ended(61, success=False),
        routed(71, "routed"),  # nobody has said
    ]
    ledger = Ledger(make_lake(tmp_path / "lake", rows), EVERYTHING)

    for _ in range(2):
        assert judge(store, ledger, [rule], NOW) == []
        (state,) = route_states(store)
        assert state.success == Success((1, 0), in_lake=((4, 2), (4, 3)))
        assert state.success.since_ms == millis(SINCE)


def test_a_rule_stops_by_what_the_lake_knows(
    store: SqliteStore, rule: Route, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "spanledger")
    rows = [*work(1, "routed", 12, 2), *work(101, "shadow", 12, 12)]
    ledger = Ledger(make_lake(tmp_path / "lake", rows), EVERYTHING)

    assert judge(store, ledger, [rule], NOW) == ["short questions"]
    assert judge(store, ledger, [rule], NOW) == []
    (state,) = route_states(store)
    assert state.success.stopped == (
        "2 of 12 (16.7 %) of routed work succeeded, and 12 of 12 (100.0 %) of the rest (p < 0.001)"
    )
    assert [one for one in caplog.messages if "routes no longer" in one] == [
        f"the route 'short questions' routes no longer: {state.success.stopped}"
    ]


def test_who_looks_after_accounts_judges_routes_too(
    store: SqliteStore, rule: Route, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = make_lake(tmp_path / "lake", [*work(1, "routed", 12, 2), *work(101, "shadow", 12, 12)])
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path))
    monkeypatch.setenv("SPANLEDGER_LAKE", str(lake))
    watch = BudgetWatch(load())
    watch.compare()
    watch.close()

    (state,) = route_states(store)
    assert state.success.stopped.startswith("2 of 12 (16.7 %)")


def test_an_empty_lake_judges_nothing(store: SqliteStore, rule: Route, tmp_path: Path) -> None:
    assert judge(store, Ledger(make_lake(tmp_path / "lake", []), EVERYTHING), [rule], NOW) == []
    assert route_states(store)[0].success == Success((1, 0))

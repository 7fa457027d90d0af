"""A policy tried on calls that were made: what would have been refused, slowed, made at another model, and saved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from ledger_rows import Row, call, make_lake
from spanledger.guard.policy_file import read_policy
from spanledger.settings import load
from spanledger_analytics.connection import Ledger
from spanledger_analytics.controls.simulate import Effect, Key, Simulation, simulate
from spanledger_analytics.scope import EVERYTHING

START = datetime(2026, 11, 18, 9, tzinfo=UTC)
SOON = START + timedelta(hours=1)
LATER = START + timedelta(days=2)
DAY = START.date()
STRICT = 'estimate = "strict"\n'


def at(minutes: float, days: int = 0) -> datetime:
    return START + timedelta(days=days, minutes=minutes)


def dollar(number: int, start: datetime, **columns: Any) -> Row:
    """Build a call of exactly a dollar, whose estimate is a dollar, too: 100,000 tokens out, all that it allows."""
    sizes: Any = {"user_size": 0, "max_tokens": 100_000}
    return call(number, 1, start, "gpt-5", 0, 100_000, **{"user_id": "ann", "dialect": "spanledger"} | sizes | columns)


def played(folder: Path, rules: str, rows: Sequence[Row], since: datetime = START, now: datetime = SOON) -> Simulation:
    folder.mkdir(exist_ok=True)
    path = folder / "policy.toml"
    path.write_text(rules, "utf-8")
    settings = load(home=folder, lake=folder / "lake")
    ledger = Ledger(make_lake(folder / "lake", rows), EVERYTHING)
    read: list[int] = []
    found = simulate(ledger, read_policy(path, settings), settings, since, now, read.append)
    assert sum(read) == -(-(now - since) // timedelta(hours=1))
    return found


def budget(more: str = "", per: str = "day", usd: int = 3) -> str:
    return f'[[budget]]\nname = "b"\nmatch = {{ user_id = "*" }}\nper = "{per}"\nusd = {usd}\n{STRICT}{more}'


def test_calls_above_a_budget_would_have_been_refused_and_their_cost_saved(tmp_path: Path) -> None:
    rows = [dollar(number, at(number)) for number in range(5)]
    rows += [dollar(10, at(10), user_id="bob"), dollar(11, at(0, days=1)), dollar(12, at(12), user_id=None)]
    found = played(tmp_path, budget(), rows, now=LATER)
    assert found == Simulation(
        calls=8,
        cost_usd=Decimal(8),
        would_cost_usd=Decimal(6),
        refused_calls=2,
        effects={Key("b", "budget", False, DAY): Effect(refused=2, saved_usd=Decimal(2))},
    )


def test_what_a_window_had_spent_before_counts(tmp_path: Path) -> None:
    rows = [dollar(number, at(number)) for number in range(5)]
    found = played(tmp_path, budget(per="month"), rows, since=at(2))
    assert (found.calls, found.refused_calls, found.would_cost_usd) == (3, 2, Decimal(1))


def test_in_shadow_nothing_is_refused_but_what_would_have_been_is_told(tmp_path: Path) -> None:
    rows = [dollar(number, at(number)) for number in range(5)]
    found = played(tmp_path, budget("shadow = true\n"), rows)
    assert (found.refused_calls, found.would_cost_usd) == (0, Decimal(5))
    assert found.effects == {Key("b", "budget", True, DAY): Effect(refused=2, saved_usd=Decimal(2))}


def test_a_session_that_ran_away_would_have_been_stopped_by_a_breaker(tmp_path: Path) -> None:
    rows = [dollar(number, at(number), session_id="run") for number in range(6)]
    rows += [dollar(10, at(2), session_id="other")]
    found = played(tmp_path, '[[breaker]]\nname = "a run"\nsession_usd = 2\n', rows)
    assert found == Simulation(
        calls=7,
        cost_usd=Decimal(7),
        would_cost_usd=Decimal(3),
        refused_calls=4,
        effects={Key("a run", "breaker", False, DAY): Effect(refused=4, saved_usd=Decimal(4))},
    )


def test_a_breaker_that_opens_closes_again_in_the_time_of_the_calls(tmp_path: Path) -> None:
    rows = [dollar(number, at(number / 60)) for number in range(4)]
    rows += [dollar(10 + place, at(minute)) for place, minute in enumerate((10, 11, 12, 50))]
    found = played(tmp_path, '[[breaker]]\nname = "pace"\nusd_per_minute = "1.5"\n', rows)
    (effect,) = found.effects.values()
    assert (effect.refused, effect.warned, found.would_cost_usd) == (3, 2, Decimal(5))


def test_calls_that_overlap_hold_what_they_may_cost(tmp_path: Path) -> None:
    """Three that are under way together leave no room for a fourth, although none of them has cost anything yet."""
    long = {"duration_us": 600_000_000}
    rows = [dollar(number, at(number), **long) for number in range(4)] + [dollar(9, at(30))]
    assert played(tmp_path, budget(), rows).refused_calls == 2
    free = [row | {"cost_usd": Decimal(0)} for row in rows]
    assert played(tmp_path / "free", budget(), free).refused_calls == 1


def test_shares_warn_once_a_window_and_then_have_another_model_answer(tmp_path: Path) -> None:
    rows = [dollar(number, at(number)) for number in range(5)]
    at_ = 'at = { "30%" = "warn", "60%" = "degrade", "200%" = "block" }\n'
    stands_in = '[[degrade]]\nmodel = "gpt-5"\nto = "gpt-5-mini"\n'
    found = played(tmp_path, budget(at_) + stands_in, rows)
    assert found.effects == {
        Key("b", "budget", False, DAY): Effect(degraded=4, warned=1, saved_usd=Decimal("3.2")),
    }
    assert (found.changed_calls, found.would_cost_usd) == (4, Decimal("1.8"))


def test_results_of_batches_count_and_are_never_refused(tmp_path: Path) -> None:
    rows = [dollar(number, at(number), is_batch=True) for number in range(5)] + [dollar(9, at(9))]
    found = played(tmp_path, budget(), rows)
    assert (found.refused_calls, found.would_cost_usd) == (1, Decimal(5))


def test_results_of_batches_count_for_the_model_that_answered(tmp_path: Path) -> None:
    rows = [dollar(number, at(number), is_batch=True, request_model=None) for number in range(3)] + [dollar(9, at(9))]
    rows += [dollar(10, at(8), request_model=None)]
    rules = budget().replace('user_id = "*"', 'model = "gpt-5"')
    found = played(tmp_path, rules, rows)
    assert (found.refused_calls, found.would_cost_usd) == (1, Decimal(4))


ROUTE = """
[[route]]
name = "short"
match = { user_id = "ann" }
max_input_tokens = 4000
max_turn = 2
tools = false
to = { "gpt-5" = "gpt-5-mini" }
"""


def cheap(number: int, **columns: Any) -> Row:
    """Build a call of a dollar that a rule of the router fits: another model would have cost 20 cents."""
    return dollar(number, at(number), **{"turn": 1, "tool_count": 0, "session_id": f"s{number}"} | columns)


def test_what_a_route_in_shadow_would_have_saved_is_told_by_the_facts_on_spans(tmp_path: Path) -> None:
    rows = [
        cheap(0),
        cheap(1, turn=2, session_id="s0"),
        cheap(2, turn=3),
        cheap(3, tool_count=4, tools_size=100),
        cheap(4, turn=None),
        cheap(5, input_tokens=40_000, input_uncached_tokens=40_000),
        cheap(6, user_id="bob"),
    ]
    found = played(tmp_path, ROUTE, rows)
    assert found.effects == {Key("short", "route", True, DAY): Effect(routed=2, saved_usd=Decimal("1.6"))}
    assert (found.changed_calls, found.would_cost_usd) == (0, Decimal(7))


def test_a_percentage_routes_the_sessions_that_it_would_route_and_says_what_the_rest_would_save(tmp_path: Path) -> None:
    rows = [cheap(number) for number in range(40)]
    path = tmp_path / "policy.toml"
    rule = ROUTE + 'mode = "percentage"\npercent = 40\nholdout = 10\n'
    path.write_text(rule, "utf-8")
    (route,) = read_policy(path, load(home=tmp_path)).more["route"]
    routed = sum(route.arm(row["session_id"]) == "routed" for row in rows)
    assert 0 < routed < 40
    found = played(tmp_path / "lake", rule, rows)
    each = Decimal("0.8")
    assert found.effects == {
        Key("short", "route", False, DAY): Effect(routed=routed, saved_usd=routed * each),
        Key("short", "route", True, DAY): Effect(routed=40 - routed, saved_usd=(40 - routed) * each),
    }
    assert (found.changed_calls, found.would_cost_usd) == (routed, 40 - routed * each)


def test_a_route_by_a_budget_begins_when_that_is_spent(tmp_path: Path) -> None:
    by_budget = ROUTE + 'budget = { "b" = "40%" }\nmode = "percentage"\npercent = 100\n'
    found = played(tmp_path, budget(usd=10) + by_budget, [cheap(number) for number in range(6)])
    assert found.effects == {Key("short", "route", False, DAY): Effect(routed=2, saved_usd=Decimal("1.6"))}


def test_a_limit_has_calls_wait_and_refuses_those_that_would_wait_too_long(tmp_path: Path) -> None:
    rows = [dollar(number, at(0) + timedelta(seconds=number)) for number in range(4)]
    limit = '[[limit]]\nname = "l"\nconcurrent = 2\nmax_wait = "1s"\n'
    busy = [row | {"duration_us": 2_500_000} for row in rows]
    found = played(tmp_path, limit, busy)
    assert found.effects == {Key("l", "limit", False, DAY): Effect(throttled=2)}
    long = [row | {"duration_us": 60_000_000} for row in rows]
    found = played(tmp_path / "long", limit, long)
    assert found.effects == {Key("l", "limit", False, DAY): Effect(refused=2, throttled=2, saved_usd=Decimal(2))}


def test_a_call_without_a_price_is_counted_and_costs_what_the_budget_says(tmp_path: Path) -> None:
    rows = [call(number, 1, at(number), "local", 10, 10, user_id="ann") for number in range(4)]
    found = played(tmp_path, budget("unknown_price = 1\n"), rows)
    assert (found.calls, found.unpriced_calls, found.refused_calls, found.cost_usd) == (4, 4, 1, Decimal(0))


def test_calls_that_a_policy_refused_and_those_before_and_after_are_not_played(tmp_path: Path) -> None:
    refused = dollar(1, at(1), guard_action="block", cost_usd=Decimal(0))
    found = played(tmp_path, budget(), [refused, dollar(2, at(-1)), dollar(3, SOON), dollar(4, at(3))])
    assert (found.calls, found.refused_calls) == (1, 0)


def test_tags_of_the_application_s_own_and_the_model_that_was_asked_for_are_matched(tmp_path: Path) -> None:
    """A call of the dearer model is expected to cost more than the budget has."""
    tagged = {"tags": [("plan", "free")], "routed_from": "gpt-5-pro"}
    rows = [dollar(number, at(number), **(tagged if number % 2 else {})) for number in range(6)]
    rules = budget(usd=1).replace('user_id = "*"', 'plan = "f*", model = "gpt-5-pro", environment = "production"')
    found = played(tmp_path, rules, rows)
    assert (found.refused_calls, found.effects) == (
        3,
        {Key("b", "budget", False, DAY): Effect(refused=3, saved_usd=Decimal(3))},
    )


def test_a_lake_is_read_whole_in_the_order_of_time(tmp_path: Path) -> None:
    rows = [dollar(number, at(60 * number), user_id=f"u{number % 5}") for number in range(48)]
    found = played(tmp_path, budget(usd=2), rows[::-1], now=LATER)
    days = {day: sum(1 for row in rows if row["start_time"].date() == day) for day in _days()}
    assert found.calls == 48
    assert {key.day: effect.refused for key, effect in found.effects.items()} == {
        day: count - 10 for day, count in days.items() if count > 10
    }


def _days() -> list[date]:
    return [DAY + timedelta(days=number) for number in range(3)]

"""Velocity by hand: $10 an hour of a team on Thursdays at noon, less at other times, and then more."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from alert_rules import NOW, lookout_of, numbers, readings, rules_of
from ledger_rows import Row, call

RULE = """
[[rule]]
name = "fast"
kind = "velocity"
by = "team"
percent = 150
floor_usd = "3"
"""
_trace = iter(range(1, 10**9))


def spend(usd: int, at: datetime, team: str | None = "search") -> Row:
    """A call of gpt-5: 800,000 tokens of input are $1."""
    return call(next(_trace), 1, at, "gpt-5", 800_000 * usd, 0, team_id=team)


def weeks(count: int, usd: int, team: str = "search") -> list[Row]:
    """Spend at 11:15 and at 12:15 on so many Thursdays before."""
    days = [NOW - timedelta(weeks=week) for week in range(1, count + 1)]
    return [spend(usd, day.replace(hour=hour, minute=15), team) for day in days for hour in (11, 12)]


def test_an_hour_is_held_against_the_same_hour_of_the_week(tmp_path: Path) -> None:
    # Usual is $10, in 11:30-12:30 half of either hour: $10. Trips above max(150 % of 10, 10 + 3) = $15.
    lookout = lookout_of(tmp_path, [*weeks(4, 10), spend(16, NOW - timedelta(minutes=10))])
    (found,) = readings(rules_of(tmp_path, RULE), lookout)
    assert (found.value, found.trip, found.scope) == (Decimal(16), Decimal(15), {"team": "search"})
    assert found.is_over
    assert found.summary == (
        "team search: $16.00 in the last 60 minutes, 160 % of the $10.00 that are usual (this hour of the week)"
    )


def test_the_median_of_weeks_is_taken_and_each_hour_counts_for_its_part(tmp_path: Path) -> None:
    # At 11: 4, 4, 8, 20 -> 6; at 12: 10, 10, 10, 30 -> 10. At 12:15: 3/4 of 6 + 1/4 of 10 = 7; 150 % is 10.5.
    rows = []
    for week, (before, under_way) in enumerate([(4, 10), (4, 10), (8, 10), (20, 30)], 1):
        day = NOW - timedelta(weeks=week)
        rows += [spend(before, day.replace(hour=11, minute=0)), spend(under_way, day.replace(hour=12, minute=0))]
    now = NOW.replace(minute=15)
    found = readings(rules_of(tmp_path, RULE), lookout_of(tmp_path, [*rows, spend(9, now - timedelta(minutes=1))]), now)
    assert numbers(found) == {"team=search": (Decimal(9), Decimal("10.5"))}
    assert not found[0].is_over


def test_with_less_than_three_weeks_the_hour_of_the_day_counts_and_with_less_than_three_days_the_mean(
    tmp_path: Path,
) -> None:
    days = [NOW.replace(minute=0) - timedelta(days=back) for back in (1, 2, 3)]
    rows = [spend(6, day.replace(hour=hour)) for day in days for hour in (11, 12)]
    now = NOW + timedelta(minutes=1)
    by_day = readings(rules_of(tmp_path, RULE), lookout_of(tmp_path, [*rows, spend(8, NOW)]), now)
    assert numbers(by_day) == {"team=search": (Decimal(8), Decimal(9))}  # 6 + 3
    assert "(this hour of the day)" in by_day[0].summary
    # The first call is 30 hours before 11:00; until then 30 hours with $60: $2 each, so 2 + 3 is the trip level.
    start = NOW.replace(hour=11, minute=0) - timedelta(hours=30)
    (tmp_path / "mean").mkdir()
    mean = lookout_of(tmp_path / "mean", [spend(60, start), spend(8, NOW)])
    found = readings(rules_of(tmp_path, RULE), mean, now)
    assert numbers(found) == {"team=search": (Decimal(8), Decimal(5))}
    assert "(the mean of 30 hours)" in found[0].summary


def test_a_ledger_of_a_day_knows_nothing_usual_and_says_so(tmp_path: Path) -> None:
    lookout = lookout_of(tmp_path, [spend(1, NOW - timedelta(hours=20)), spend(50, NOW - timedelta(minutes=1))])
    assert readings(rules_of(tmp_path, RULE), lookout) == []
    assert lookout.notes == ["fast: needs 24 hours of history to know what is usual"]


def test_a_new_team_is_held_against_nothing_and_the_floor(tmp_path: Path) -> None:
    lookout = lookout_of(tmp_path, [*weeks(4, 10), spend(4, NOW - timedelta(minutes=1), None)])
    (found,) = readings(rules_of(tmp_path, RULE), lookout)
    assert (found.value, found.trip, found.scope) == (Decimal(4), Decimal(3), {"team": "(none)"})
    assert found.summary == (
        "team (none): $4.00 in the last 60 minutes, against the $0.00 that are usual (this hour of the week)"
    )


def test_what_is_well_below_the_floor_is_not_looked_at(tmp_path: Path) -> None:
    lookout = lookout_of(tmp_path, [*weeks(4, 10), spend(2, NOW - timedelta(minutes=1))])
    assert readings(rules_of(tmp_path, RULE), lookout) == []


def test_only_calls_that_fulfil_the_condition_count_and_without_by_they_count_together(tmp_path: Path) -> None:
    rule = RULE.replace('by = "team"', 'where = "team!=growth"')
    late = NOW - timedelta(minutes=1)
    rows = [*weeks(4, 10), *weeks(4, 100, "growth"), spend(12, late), spend(99, late, "growth"), spend(6, late, None)]
    assert numbers(readings(rules_of(tmp_path, rule), lookout_of(tmp_path, rows))) == {"": (Decimal(18), Decimal(15))}


@pytest.mark.parametrize(
    ("by", "tags", "scope"),
    [
        ("user", {"user_id": "ann"}, {"user": "ann"}),
        ("customer", {"customer_id": "acme"}, {"customer": "acme"}),
        ("model", {}, {"model": "gpt-5"}),
        ("tag.experiment", {"tags": {"experiment": "b"}}, {"tag_experiment": "b"}),
    ],
)
def test_by_whatever_reports_know(tmp_path: Path, by: str, tags: Row, scope: dict[str, str]) -> None:
    rows = [row | tags for row in (*weeks(4, 10), spend(16, NOW - timedelta(minutes=10)))]
    (found,) = readings(rules_of(tmp_path, RULE.replace("team", by)), lookout_of(tmp_path, rows))
    assert (found.value, found.trip, found.scope) == (Decimal(16), Decimal(15), scope)


def test_the_spike_leaves_the_hour_and_is_gone(tmp_path: Path) -> None:
    lookout = lookout_of(tmp_path, [*weeks(4, 10), spend(16, NOW)])
    rules = rules_of(tmp_path, RULE)
    assert [found.is_over for found in readings(rules, lookout, NOW + timedelta(minutes=59))] == [True]
    assert readings(rules, lookout, NOW + timedelta(minutes=61)) == []

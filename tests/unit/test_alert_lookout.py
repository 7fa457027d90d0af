"""What rules see of weeks is what a naive sum over the calls gives, however the lake changes and whoever restarts."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from alert_rules import NOW
from ledger_rows import Row, call, make_lake
from spanledger_analytics.alerts.lookout import HISTORY_HOURS, Lookout, floor
from spanledger_analytics.connection import Ledger
from spanledger_analytics.counting import refresh_rollups
from spanledger_analytics.reports.calendar import Calendar
from spanledger_analytics.reports.question import Where
from spanledger_analytics.reports.totals import between
from spanledger_analytics.scope import EVERYTHING

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
COLUMNS: Final = {"team": "team_id", "session": "session_id"}
SOME: Final = Where({"environment": ("production",)}, {"team": ("b",)})
ASKED: Final = ((None, SOME), ("session", Where()), ("tag.plan", SOME), ("team", Where()))


def random_calls(draw: random.Random, count: int) -> list[Row]:
    """Return calls of ten days before NOW, half of them of the last two."""
    rows = []
    for number in range(count):
        back = draw.randrange(draw.choice([10, 2]) * 86_400)
        told: Row = {
            "team_id": draw.choice(["a", "b", None]),
            "session_id": draw.choice([None, "", f"s{draw.randrange(20)}"]),
            "environment": draw.choice(["production", "staging"]),
            "tags": draw.choice([None, {"plan": "pro"}, {"plan": "free"}]),
        }
        model = draw.choice(["gpt-5", "claude-haiku-4-5", "unknown-model"])
        cached = draw.choice([0, draw.randrange(9_000)])
        start = NOW - timedelta(seconds=back)
        rows.append(call(number, 1, start, model, draw.randrange(9_000), 9, cache_read=cached, **told))
    return rows


def value_of(row: Row, by: str | None) -> str | None:
    if by is None:
        return None
    return ((row["tags"] or {}).get("plan") if by == "tag.plan" else row[COLUMNS[by]]) or None


def counts(row: Row, where: Where) -> bool:
    return where == Where() or (row["environment"] == "production" and (row["team_id"] or "") != "b")


def check(lookout: Lookout, calls: Sequence[Row], now: datetime) -> None:
    """Hold all that a lookout tells of the past against the calls."""
    lookout.turn_to(now)
    until = floor(now - timedelta(minutes=5), HOUR)
    first = min(row["start_time"] for row in calls)
    for by, where in ASKED:
        some = [row for row in calls if counts(row, where)]
        values = sorted({value_of(row, by) for row in some} | ({"nobody"} if by else set()), key=str)
        found = lookout.past(by, where, values)
        assert {value: summed(hours.cost) for value, hours in found.items()} == {
            value: by_hour(some, by, value, until) for value in values
        }
        assert {hours.known for hours in found.values()} == {-(-(first - (until - HISTORY_HOURS * HOUR)) // HOUR)}
        week = Counter(value_of(row, by) for row in some if until - 7 * DAY <= row["start_time"] < until)
        most = sorted(week, key=lambda value: (-week[value], value is None, value or ""))
        assert lookout.callers(by, where) == ([None] if by is None else most)
        for begin in (floor(NOW, DAY) - 8.75 * DAY, floor(NOW, DAY) - 2 * DAY + HOUR / 4):
            spent: dict[str | None, Decimal] = {}
            for row in some:
                if begin <= row["start_time"] < now:
                    name = value_of(row, by)
                    spent[name] = spent.get(name, Decimal(0)) + row.get("cost_usd", Decimal(0))
            assert lookout.spent(begin, by, where) == spent


def summed(hours: Sequence[Decimal]) -> dict[int, Decimal]:
    return {place: cost for place, cost in enumerate(hours) if cost}


def by_hour(calls: Sequence[Row], by: str | None, value: str | None, until: datetime) -> dict[int, Decimal]:
    begin, hours = until - HISTORY_HOURS * HOUR, dict[int, Decimal]()
    for row in calls:
        if begin <= row["start_time"] < until and value_of(row, by) == value and row.get("cost_usd"):
            place = (row["start_time"] - begin) // HOUR
            hours[place] = hours.get(place, Decimal(0)) + row["cost_usd"]
    return hours


def test_what_was_is_what_a_naive_sum_gives_after_restarts_and_late_calls(tmp_path: Path) -> None:
    """Days are counted before some calls come late, so that at the end some are kept, and some have to be asked."""
    rows = random_calls(random.Random(1), 300)
    early, late = rows[:280], rows[280:]
    lake = make_lake(tmp_path / "lake", early)
    refresh_rollups(lake)
    lookout = Lookout(Ledger(lake, EVERYTHING), Calendar())
    check(lookout, early, NOW)
    make_lake(lake, late, writer="late")
    check(lookout, rows, NOW + HOUR)
    check(Lookout(Ledger(lake, EVERYTHING), Calendar()), rows, NOW + HOUR)


def test_of_days_that_are_over_no_span_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_calls(random.Random(3), 60)
    lake = make_lake(tmp_path / "lake", rows)
    refresh_rollups(lake)
    busy = {row["start_time"].date() for row in rows}
    asked: set[date] = set()

    def noted(ledger: Ledger, begin: datetime, end: datetime, *more: Any, **options: Any) -> pl.DataFrame:
        asked.update(day for day in busy if begin.date() <= day < end.date() or day == begin.date())
        return between(ledger, begin, end, *more, **options)

    monkeypatch.setattr("spanledger_analytics.alerts.lookout.between", noted)
    for hour in range(3):
        lookout = Lookout(Ledger(lake, EVERYTHING), Calendar())
        lookout.turn_to(NOW + hour * HOUR)
        assert lookout.past("session", Where(), ["s1"])["s1"].known
        assert lookout.spent(floor(NOW, DAY) - 5 * DAY, "session", Where())
        assert asked == (busy if hour == 0 else {NOW.date()})
        asked.clear()


def test_where_what_was_kept_is_gone_it_is_asked_again(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake", random_calls(random.Random(4), 60))
    refresh_rollups(lake)
    asking, reading = (Lookout(Ledger(lake, EVERYTHING), Calendar()) for _ in range(2))
    for lookout in (asking, reading):  # who asks has what it was answered in memory
        lookout.turn_to(NOW)
        assert lookout.past("session", Where(), ["s1", "s2"])
    shutil.rmtree(lake / "kept")
    with pytest.raises(FileNotFoundError):
        reading.past("session", Where(), ["s3"])
    assert reading.past("session", Where(), ["s1", "s2"]) == asking.past("session", Where(), ["s1", "s2"])

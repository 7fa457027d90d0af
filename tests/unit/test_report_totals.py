"""Totals by anything are those that a naive sum over the calls gives, from spans and from rollups alike."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from ledger_rows import Row, call, make_lake
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.counting import refresh_rollups
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.reports.calendar import UNITS, Calendar, Period
from spanledger_analytics.reports.question import TAG, WHO, Question, Where, parse_by, parse_where
from spanledger_analytics.reports.requests import requests
from spanledger_analytics.reports.totals import MEASURES, hourly, totals
from spanledger_analytics.scope import EVERYTHING

FIRST = date(2026, 10, 23)
DAYS = 6
"""The clocks of Berlin change on the third of them."""
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York")
CHOICES: dict[str, tuple[str | None, ...]] = {
    "team_id": ("a", "b", None, ""),
    "feature": ("x", "y", None),
    "user_id": ("ann", "bob", "", None),
    "environment": ("production", "staging"),
    "customer_id": ("c1", None),
    "agent_name": (None, "planner"),
}


def random_calls(draw: random.Random, count: int) -> list[Row]:
    """Return calls at random moments of the days, some unpriced, estimated, failed or tagged."""
    begin = datetime.combine(FIRST, datetime.min.time(), UTC)
    rows = []
    for number in range(1, count + 1):
        start = begin + timedelta(seconds=draw.randrange(DAYS * 86_400))
        told: Row = {name: draw.choice(values) for name, values in CHOICES.items()}
        told["tags"] = draw.choice([None, {}, {"plan": "pro"}, {"plan": "free", "k": "1"}])
        told |= draw.choice([{}, {"status": "error"}, {"usage_state": "estimated"}])
        model = draw.choice(["gpt-5", "gpt-5-mini", "claude-haiku-4-5", "unknown-model"])
        rows.append(call(number // 3, number, start, model, draw.randrange(9_000), draw.randrange(900), **told))
    return rows


@pytest.fixture(scope="module", params=["spans", "rollups"])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    lake = make_lake(tmp_path_factory.mktemp("totals") / "lake", random_calls(random.Random(5), 600))
    if request.param == "rollups":
        refresh_rollups(lake)
    return Ledger(lake, EVERYTHING)


@pytest.fixture(scope="module")
def calls(ledger: Ledger) -> list[Row]:
    with connect(ledger.lake) as connection:
        rows: list[Row] = connection.sql("select * from llm_calls").pl().to_dicts()
    return rows


def naive(calls: Sequence[Row], asked: Question) -> dict[tuple[object, ...], Row]:
    """Add up calls one by one."""
    found: dict[tuple[object, ...], Row] = {}
    for one in calls:
        told = {name: one[column] or "" for name, column in WHO.items() if name != "model"}
        told["model"] = one["matched_model"] or one["response_model"] or one["request_model"] or ""
        tags = one["tags"] or {}
        told |= {f"{TAG}{key}": tags.get(key, "") for key in ("plan", "k")}
        local = one["start_time"].astimezone(ZoneInfo(asked.period.calendar.zone))
        only, but = asked.where.only, asked.where.but
        counts = all(told[name] in values for name, values in only.items())
        counts &= all(told[name] not in values for name, values in but.items())
        if not counts or not asked.period.first <= local.date() <= asked.period.last or local >= asked.period.end:
            continue
        day = local.date()
        units = {
            "hour": local.replace(minute=0, second=0, microsecond=0).astimezone(UTC),
            "day": day,
            "week": day - timedelta(days=day.weekday()),
            "month": asked.period.calendar.month_of(day),
        }
        key = tuple(units[name] if name in units else told[name] or None for name in asked.by)
        row = found.setdefault(
            key, {"calls": 0, "cost_usd": None, "input_tokens": 0, "estimated_calls": 0, "errors": 0}
        )
        row["calls"] += 1
        row["input_tokens"] += one["input_tokens"]
        row["estimated_calls"] += one["estimated"]
        row["errors"] += one["status"] == "error"
        if one["cost_usd"] is not None:
            row["cost_usd"] = (row["cost_usd"] or Decimal(0)) + one["cost_usd"]
    return found


def as_naive(frame: pl.DataFrame, by: Sequence[str]) -> dict[tuple[object, ...], Row]:
    """Return what `totals` answers in the shape of `naive`."""
    names = ("calls", "cost_usd", "input_tokens", "estimated_calls", "errors")
    if "hour" in by:
        frame = frame.with_columns(pl.col("hour").dt.convert_time_zone("UTC"))
    return {tuple(row[name] for name in by): {name: row[name] for name in names} for row in frame.to_dicts()}


DIMENSIONS = [*UNITS, "model", "provider", "team", "customer", "user", "feature", "environment", "agent", "tag.plan"]
WHERES = [
    [],
    ["team=a"],
    ["team=a,b and model!=gpt-5"],
    ["user="],
    ["feature!=x", "environment=production"],
    ["tag.plan=pro"],
    ["tag.plan!=pro", "agent=planner"],
]


def random_question(draw: random.Random) -> Question:
    """Return any question about some of the days."""
    first = FIRST + timedelta(days=draw.randrange(4))
    period = Period(
        first, first + timedelta(days=draw.randrange(4)), Calendar(draw.choice(ZONES), draw.choice([1, 24]))
    )
    if draw.random() < 0.4:
        period = period.so_far(period.begin + draw.random() * (period.end - period.begin))
    by = tuple(draw.sample(DIMENSIONS, draw.randrange(4)))
    return Question(period, by, parse_where(draw.choice(WHERES)))


@pytest.mark.parametrize("seed", range(24))
def test_totals_are_those_of_a_naive_sum(ledger: Ledger, calls: list[Row], seed: int) -> None:
    asked = random_question(random.Random(seed))
    by = asked.by
    found = totals(ledger, asked)
    assert found.columns == [*by, *(name for name in found.columns if name in MEASURES)]
    assert set(found.columns) == {*by, *MEASURES}
    assert as_naive(found, by) == naive(calls, asked)


@pytest.mark.parametrize("seed", range(12))
def test_requests_are_distinct_traces_of_each_utc_day(ledger: Ledger, calls: list[Row], seed: int) -> None:
    asked = random_question(random.Random(seed))
    by = tuple(name for name in asked.by if name not in UNITS)
    traces: dict[tuple[object, ...], set[object]] = {}
    for one in calls:
        for key in naive([one], replace(asked, by=by)):
            traces.setdefault(key, set()).add((one["dt"], one["trace_id"]))
    found = requests(ledger, asked, by)
    assert found.columns == [*by, "requests"]
    assert {row[:-1]: row[-1] for row in found.rows() if row[-1]} == {key: len(ids) for key, ids in traces.items()}


def test_every_hour_is_there_and_hours_add_up_to_the_total(ledger: Ledger) -> None:
    period = Period(FIRST, FIRST + timedelta(days=DAYS - 1))
    asked = Question(period)
    until = period.end - timedelta(minutes=90)
    found = hourly(ledger, asked, "team", until)
    assert found.columns == ["hour", "team", "cost_usd", "calls"]
    counts = found.group_by("team").len().to_dict(as_series=False)
    assert (set(counts["team"]), set(counts["len"])) == ({"a", "b", None}, {DAYS * 24 - 2})
    everything = hourly(ledger, asked, until=period.end)
    assert sum(everything["cost_usd"]) == totals(ledger, asked)["cost_usd"][0]
    assert everything["hour"].diff().drop_nulls().unique().to_list() == [timedelta(hours=1)]


def test_an_empty_lake_has_no_rows(tmp_path: Path) -> None:
    ledger = Ledger(make_lake(tmp_path, []), EVERYTHING)
    asked = Question(Period(FIRST, FIRST))
    assert totals(ledger, asked).height == 0
    assert totals(ledger, asked, ("day", "model")).height == 0
    assert hourly(ledger, asked, "model").height == 0


def test_months_begin_on_the_billing_day() -> None:
    calendar = Calendar("UTC", 24)
    assert [calendar.month_of(date(2026, 3, day)) for day in (23, 24)] == [date(2026, 2, 24), date(2026, 3, 24)]
    assert calendar.month_after(date(2026, 1, 5)) == date(2026, 1, 24)
    assert calendar.month_after(date(2026, 12, 25)) == date(2027, 1, 24)


def test_a_day_on_which_the_clocks_change_has_as_many_hours_as_it_has() -> None:
    period = Period(date(2026, 10, 25), date(2026, 10, 25), Calendar("Europe/Berlin"))
    assert period.end - period.begin == timedelta(hours=25)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["team=search"], Where({"team": ("search",)})),
        (["team_id = 'search team'"], Where({"team": ("search team",)})),
        (["model!=a,b", "model!=c"], Where({}, {"model": ("a", "b", "c")})),
        (["team=a and user=b"], Where({"team": ("a",), "user": ("b",)})),
        (["team=research and development"], Where({"team": ("research and development",)})),
        (["team=a,b", "team=b,c"], Where({"team": ("b",)})),
        (["user="], Where({"user": ("",)})),
        (["tag.plan=pro"], Where({"tag.plan": ("pro",)})),
    ],
)
def test_conditions_are_read(conditions: list[str], expected: Where) -> None:
    assert parse_where(conditions) == expected


@pytest.mark.parametrize("wrong", ["team", "colour=red", "=x", "team~x", "tag.=x"])
def test_a_condition_that_cannot_be_read_says_what_can(wrong: str) -> None:
    with pytest.raises(QuestionError, match=r"write dimension=value|there are provider, model"):
        parse_where([wrong])


def test_by_names_units_and_dimensions_once() -> None:
    assert parse_by("day, model,team_id,tag.plan") == ("day", "model", "team", "tag.plan")
    with pytest.raises(QuestionError, match=r"'colour'; there are .*, besides hour, day"):
        parse_by("colour")
    with pytest.raises(QuestionError, match="twice"):
        parse_by("team,team_id")
    with pytest.raises(QuestionError, match="no time zone is called 'Mars'"):
        Calendar("Mars")
    with pytest.raises(QuestionError, match="1 to 28"):
        Calendar("UTC", 31)

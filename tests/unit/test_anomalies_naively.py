"""Every row of the report of anomalies is that of a naive one over random ledgers: hours, new things, requests."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl
from hypothesis import Phase, given, settings, strategies as st
from polars.testing import assert_frame_equal

from ledger_rows import Row, call, make_lake
from naive_detector import naive_scores
from spanledger_analytics.connection import Ledger
from spanledger_analytics.counting import refresh_rollups
from spanledger_analytics.kept import answered
from spanledger_analytics.reports import totals
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.far_requests import REQUEST_COSTS
from spanledger_analytics.reports.hours_apart import HOURS_APART
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING

BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
HOURS = 9 * 24
HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)
DAYS = Period(date(2026, 10, 8), date(2026, 10, 9))
"""The last two of the ledger."""
WHO: Final = {"user": "user_id", "model": "response_model", "feature": "feature"}
KEPT: Final = (totals.HOURS, HOURS_APART, totals.USER_HOURS, REQUEST_COSTS)
PICO: Final = Decimal("0.000000000001")


def random_company(draw: random.Random) -> list[Row]:
    """Return nine days of calls: someone calls most hours, some hours are far dearer, somebody and something is new."""
    rows: list[Row] = []
    calm = draw.choice([0.01, 0.3])
    for hour in range(HOURS):
        for user in ("ann", "bob", None):
            if draw.random() < 0.9:
                more = {"user_id": user, "feature": "draft" if user == "bob" and draw.random() < 0.2 else "find"}
                rows += a_call(draw, len(rows), hour, draw.lognormvariate(0, calm), "gpt-5", more)
    for _ in range(draw.randrange(2, 6)):
        begin, user = draw.randrange(100, HOURS), draw.choice(["ann", "bob", None, "eve"])
        model = draw.choice(["gpt-5", "claude-opus-4-5", "unknown-model"])
        for hour in range(begin, min(HOURS, begin + draw.randrange(1, 5))):
            told: Row = {"user_id": user, "feature": draw.choice(["find", "plan", "", None])}
            for _ in range(draw.randrange(1, 4)):
                rows += a_call(draw, len(rows), hour, draw.choice([2, 9, 30]), model, told)
    return rows


def a_call(draw: random.Random, number: int, hour: int, size: float, model: str, told: Row) -> Iterator[Row]:
    """Yield a call of about half a dollar times `size` with gpt-5; two in three are requests of their own."""
    start = BEGIN + hour * HOUR + timedelta(seconds=draw.randrange(3600))
    yield call(number - draw.choice([0, 0, 1]), number, start, model, int(400_000 * size), 0, **told)


Finding = dict[str, Any]


def naive(rows: Sequence[Row], by: Sequence[str], floor: Decimal, now: datetime) -> list[Finding]:
    """Return all rows, the largest excess first."""
    calls = [row for row in rows if row["start_time"] < now]
    found = list(of_series(calls, "total", None, floor, now))
    for of in by:
        values = {row[WHO[of]] or None for row in calls}
        for name in values:
            own = [row for row in calls if (row[WHO[of]] or None) == name]
            if (cost(in_days(own)) or 0) >= floor:
                found += of_series(own, of, name, floor, now)
                found += newcomer(own, calls, of, name, floor, now)
    for one in found:
        own = [row for row in calls if one["of"] == "total" or (row[WHO[one["of"]]] or None) == one["name"]]
        one["made_by"] = made_by(own, one, full_hours(now))
    found += requests(calls, floor)
    order = ["total", *by, "feature"]
    return sorted(
        found,
        key=lambda one: (-one["excess_usd"], one["since"], order.index(one["of"]), one["name"] or "", one["kind"]),
    )


def full_hours(now: datetime) -> datetime:
    """Return the end of the last hour of the days asked about that is over."""
    return min(DAYS.end, now.replace(minute=0))


def in_days(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if DAYS.begin <= row["start_time"] < DAYS.end]


def between(rows: Sequence[Row], since: datetime, until: datetime) -> list[Row]:
    return [row for row in rows if since <= row["start_time"] < until]


def cost(rows: Sequence[Row]) -> Decimal:
    return sum((row.get("cost_usd", Decimal(0)) for row in rows), Decimal(0))


def of_series(rows: Sequence[Row], of: str, name: str | None, floor: Decimal, now: datetime) -> Iterator[Finding]:
    """Yield the episodes of the total, or of one value of a dimension."""
    costs = [Decimal(0)] * ((full_hours(now) - BEGIN) // HOUR)
    first = min(((row["start_time"] - BEGIN) // HOUR for row in rows), default=len(costs))
    for row in rows:
        if (hour := (row["start_time"] - BEGIN) // HOUR) < len(costs):
            costs[hour] += row.get("cost_usd", Decimal(0))
    told = naive_scores([math.nan if hour < first else float(one) for hour, one in enumerate(costs)], upwards=True)
    for hours in runs([hour for hour, score in enumerate(told.score) if score >= 1.5]):
        begin, end = hours[0], hours[-1]
        level = told.expected[begin] - told.usual[begin]
        expected = sum(max(told.usual[hour] + level, 0.0) for hour in range(begin, end + 1))
        spent, usual = sum(costs[begin : end + 1], Decimal(0)), Decimal(str(round(expected, 6)))
        if BEGIN + end * HOUR >= DAYS.begin and spent - usual >= floor:
            moments = (BEGIN + begin * HOUR, BEGIN + (end + 1) * HOUR)
            score = round(max(told.score[hour] for hour in hours), 2)
            yield finding(of, name, "hours", *moments, spent, usual) | {"score": score}


def runs(hours: Sequence[int]) -> list[list[int]]:
    """Put hours together that are no further apart than a day."""
    found: list[list[int]] = []
    for hour in hours:
        if found and hour - found[-1][-1] <= 24:
            found[-1].append(hour)
        else:
            found.append([hour])
    return found


def finding(
    of: str, name: str | None, kind: str, since: datetime, until: datetime | None, spent: Decimal, expected: Decimal
) -> Finding:
    money = {"cost_usd": spent, "expected_usd": expected, "excess_usd": spent - expected}
    who = {"of": of, "name": name, "kind": kind, "since": since, "until": until}
    return who | money | {"score": None, "made_by": None, "trace_id": None}


def newcomer(
    own: Sequence[Row], calls: Sequence[Row], of: str, name: str | None, floor: Decimal, now: datetime
) -> Iterator[Finding]:
    """Yield a value whose first hour is in the days asked about, two days or more after the ledger's first."""
    first, begun = (min(row["start_time"] for row in some).replace(minute=0, second=0) for some in (own, calls))
    spent = cost(between(own, first, full_hours(now)))
    if name and DAYS.begin <= first < full_hours(now) and first >= begun + 48 * HOUR and spent >= floor:
        yield finding(of, name, "new", first, None, spent, Decimal(0))


def requests(calls: Sequence[Row], floor: Decimal) -> Iterator[Finding]:
    """Yield requests (for each feature the part of it) that are far outside what its feature's cost the week before."""
    heaps: dict[tuple[str | None, str], list[Row]] = {}
    for row in between(calls, DAYS.begin - WEEK, DAYS.end):
        heaps.setdefault((row["feature"] or None, row["trace_id"]), []).append(row)
    for (feature, trace), heap in heaps.items():
        started = min(row["start_time"] for row in heap)
        kind = sorted(
            cost(some)
            for (other, _), some in heaps.items()
            if other == feature and min(row["start_time"] for row in some) < DAYS.begin and cost(some)
        )
        if started < DAYS.begin or len(kind) < 20:
            continue
        lower, middle, upper = (kind[-(-len(kind) * quarter // 4) - 1] for quarter in (1, 2, 3))
        spent = cost(heap)
        if spent >= max(floor, 2 * upper) and spent * lower**3 > upper**4:
            user = min((row["user_id"] for row in heap if row["user_id"]), default="(none)")
            times = (spent / middle).quantize(Decimal("0.1"))
            said = f"{times} times the median of {len(kind)} requests in the 7 days before; user {user}"
            one = finding("feature", feature, "request", started, None, spent, middle)
            yield one | {"made_by": said, "trace_id": trace}


def made_by(own: Sequence[Row], one: Finding, end: datetime) -> str:
    """Say who makes a tenth of the excess or more, for each dimension that it isn't about."""
    since, until = one["since"], one["until"] or end
    words = []
    for dimension in (name for name in WHO if name != one["of"]):
        spent = by_value(between(own, since, until), dimension)
        before = by_value(between(own, since - WEEK, since), dimension)
        usual = divided(one["expected_usd"], before if any(before.values()) else spent)
        excess = {name: spent.get(name, Decimal(0)) - usual.get(name, Decimal(0)) for name in {**spent, **usual}}
        whole = sum(excess.values(), Decimal(0))
        most = sorted(excess, key=lambda name: (-excess[name], name is None, name))[:3]
        words.append(
            ", ".join(
                f"{dimension} {name or '(none)'} {(excess[name] * 100 / whole).quantize(Decimal('0.1'))} %"
                for name in most
                if excess[name] * 10 >= whole
            )
        )
    return "; ".join(word for word in words if word)


def by_value(rows: Sequence[Row], dimension: str) -> dict[str | None, Decimal]:
    value: Callable[[Row], str | None] = lambda row: row[WHO[dimension]] or None  # noqa: E731
    return {name: cost([row for row in rows if value(row) == name]) for name in map(value, rows)}


def divided(amount: Decimal, weights: dict[str | None, Decimal]) -> dict[str | None, Decimal]:
    """Divide by weights in pico-dollars; the heaviest has what is left."""
    whole = sum(weights.values(), Decimal(0))
    told = {name: (amount * weight / whole).quantize(PICO) for name, weight in weights.items()}
    told[max(weights, key=lambda name: weights[name])] += amount - sum(told.values(), Decimal(0))
    return told


@settings(max_examples=2, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 2**32), st.sampled_from([1, 5]), st.integers(1, 48 * 60), st.booleans())
def test_rows_are_those_of_a_naive_report(seed: int, floor: int, minutes: int, counted: bool) -> None:
    rows, now = random_company(random.Random(seed)), DAYS.begin + timedelta(minutes=minutes)
    with tempfile.TemporaryDirectory() as folder:
        lake = make_lake(Path(folder) / "lake", rows)
        if counted:
            refresh_rollups(lake)
            for question in KEPT:
                answered(Ledger(lake, EVERYTHING), question, BEGIN.date(), DAYS.last)
        asked = Question(DAYS, tuple(WHO))
        found = (
            REPORTS["anomalies"]
            .answer(Ledger(lake, EVERYTHING), asked, floor=Decimal(floor), top=0, now=now.isoformat())
            .frame
        )
    expected = [
        {name: one["name"] if one["of"] == name else None for name in WHO} | one
        for one in naive(rows, tuple(WHO), Decimal(floor), now)
    ]
    assert_frame_equal(found, pl.DataFrame(expected, schema=found.schema))

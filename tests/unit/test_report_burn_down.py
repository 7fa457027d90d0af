"""How a budget burns down, hour by hour: it ends with what the forecast says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger_rows import call, make_lake
from small_ledger import small_ledger
from spanledger_analytics.connection import Ledger
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING

BURN_DOWN = REPORTS["burn-down"]
NOW = "2026-11-19T10:20"
MONTH = Period(date(2026, 11, 1), date(2026, 11, 30))


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Return a ledger of a dollar an hour since 20 October."""
    first = datetime(2026, 10, 20, tzinfo=UTC)
    rows = [call(hour, 1, first + timedelta(hours=hour), uncached=800_000, output=0) for hour in range(900)]
    return Ledger(make_lake(tmp_path_factory.mktemp("burn") / "lake", rows), EVERYTHING)


def burnt(ledger: Ledger, period: Period = MONTH, **options: Any) -> tuple[list[dict[str, Any]], str]:
    answer = BURN_DOWN.answer(ledger, Question(period), **{"now": NOW} | options)
    return answer.frame.to_dicts(), answer.notes[0]


def test_what_is_past_and_what_is_to_come_meet_now(ledger: Ledger) -> None:
    rows, _ = burnt(ledger)
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    now = datetime(2026, 11, 19, 10, 15, tzinfo=UTC)
    place = next(place for place, row in enumerate(rows) if row["at"] == now)
    assert [(row["at"], row["spent_usd"]) for row in rows[: place + 1]] == [
        *((begin + timedelta(hours=hour), Decimal(hour)) for hour in range(18 * 24 + 11)),
        (now, Decimal(18 * 24 + 11)),
    ]
    assert {name for row in rows[:place] for name in ("forecast_usd", "low_usd", "high_usd") if row[name]} == set()
    assert [rows[place][name] for name in ("forecast_usd", "low_usd", "high_usd")] == [rows[place]["spent_usd"]] * 3
    later = rows[place + 1 :]
    assert {row["spent_usd"] for row in later} == {None}
    assert [row["at"] for row in later] == [
        now.replace(hour=11, minute=0) + timedelta(hours=hour) for hour in range(278)
    ]
    assert all(row["low_usd"] <= row["forecast_usd"] <= row["high_usd"] for row in later)


def test_a_month_ends_with_its_forecast(ledger: Ledger) -> None:
    rows, said = burnt(ledger, budget=Decimal(600))
    whole = REPORTS["forecast"].answer(ledger, Question(MONTH), budget=Decimal(600), now=NOW).frame.row(0, named=True)
    assert {name: rows[-1][name] for name in ("forecast_usd", "low_usd", "high_usd")} == {
        name: whole[name] for name in ("forecast_usd", "low_usd", "high_usd")
    }
    assert said == (
        "73.8 % of $600.00 for 2026-11-01 to 2026-11-30 used, $443.00; forecast $720.75 "
        f"(80 % interval ${whole['low_usd']:.2f} to ${whole['high_usd']:.2f}); runs out on {whole['runs_out']}"
    )


def test_a_week_and_a_day_are_those_of_the_readers_zone(ledger: Ledger) -> None:
    berlin = Calendar("Europe/Berlin")
    period = Period(date(2026, 11, 1), date(2026, 11, 19), berlin)
    for span, first, days in (("week", date(2026, 11, 16), 7), ("day", date(2026, 11, 19), 1)):
        rows, _ = burnt(ledger, period, span=span)
        assert (rows[0]["at"], rows[0]["spent_usd"]) == (berlin.midnight(first), 0)
        assert rows[-1]["at"] == berlin.midnight(first + timedelta(days=days))


def test_a_budget_that_is_used_up_says_since_when_and_one_of_a_month_that_is_over_has_no_way(ledger: Ledger) -> None:
    assert burnt(ledger, budget=Decimal(100))[1].endswith("; used up on 2026-11-05")
    october = Period(date(2026, 10, 1), date(2026, 10, 31))
    rows, said = burnt(ledger, october)
    assert (rows[-1]["spent_usd"], {row["forecast_usd"] for row in rows}) == (Decimal(288), {None})
    assert said.startswith("$288.00 of 2026-10-01 to 2026-10-31 spent")


def test_calls_without_a_price_have_no_way_and_no_budget_is_nothing(tmp_path: Path, ledger: Ledger) -> None:
    start = datetime(2026, 11, 18, tzinfo=UTC)
    unpriced = Ledger(make_lake(tmp_path / "lake", [call(1, 1, start, "local")]), EVERYTHING)
    assert burnt(unpriced) == ([], "no forecast of 2026-11-01 to 2026-11-30: no call has a price")
    with pytest.raises(QuestionError, match="can't run out"):
        burnt(ledger, budget=Decimal(0))


def test_the_cases_of_the_small_ledger_burn_its_dollars(tmp_path: Path) -> None:
    rows, _ = burnt(small_ledger(tmp_path / "lake"), now="2026-11-13")
    assert [row["spent_usd"] for row in rows if row["spent_usd"] is not None][-1] == Decimal("41.8")

"""What hours should have cost: the same episodes and dollars as the report on anomalies."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl
import pytest

from ledger_rows import make_lake
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question, Where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING
from spanledger_dashboard.cards.series import key_of, question_of
from spanledger_dashboard.charts.expected import expected_figure
from spanledger_dashboard.state import window
from wasteful import wasteful

LAST = datetime(2026, 11, 20, 12, tzinfo=UTC)
WEEK = Period(date(2026, 11, 14), date(2026, 11, 20))
NOW = {"now": "2026-11-20T12:00"}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return Ledger(make_lake(tmp_path_factory.mktemp("expected") / "lake", wasteful(LAST, 12)), EVERYTHING)


def runaway(ledger: Ledger) -> dict[str, Any]:
    """Return the row of anomalies about team support."""
    rows = REPORTS["anomalies"].answer(ledger, Question(WEEK, ("team",)), **NOW).frame.to_dicts()
    (found,) = [row for row in rows if (row["kind"], row["team"]) == ("hours", "support")]
    return found


def test_an_episode_has_the_hours_and_dollars_of_the_anomaly(ledger: Ledger) -> None:
    row = runaway(ledger)
    answer = REPORTS["expected"].answer(ledger, Question(WEEK, (), Where({"team": ("support",)})), **NOW)
    inside = answer.frame.filter(pl.col("hour").is_between(row["since"], row["until"], closed="left"))
    assert answer.frame["episode"].drop_nulls().to_list() == inside["episode"].to_list() == [1] * inside.height
    assert sum(inside["cost_usd"], Decimal(0)) == row["cost_usd"]
    assert abs(sum(inside["expected_usd"], Decimal(0)) - row["expected_usd"]) < Decimal("0.00001")
    assert max(inside["score"]) == row["score"]
    assert answer.notes[0] == "1 episode of hours out of the ordinary"


def test_hours_of_the_period_are_all_there_and_out_of_the_ordinary_from_their_limit_on(ledger: Ledger) -> None:
    frame = REPORTS["expected"].answer(ledger, Question(WEEK, (), Where({"team": ("support",)})), **NOW).frame
    assert frame["hour"].to_list() == [WEEK.begin + timedelta(hours=hour) for hour in range(6 * 24 + 12)]
    for row in frame.to_dicts():
        assert (row["score"] >= 1.5) == (row["cost_usd"] > row["limit_usd"])


def test_a_young_series_and_no_calls_have_no_limit(ledger: Ledger, tmp_path: Path) -> None:
    young = Ledger(make_lake(tmp_path / "lake", wasteful(LAST, 2)), EVERYTHING)
    frame = REPORTS["expected"].answer(young, Question(WEEK, (), Where({"team": ("support",)})), **NOW).frame
    assert set(frame["limit_usd"]) == set(frame["score"]) == {None}
    nothing = REPORTS["expected"].answer(ledger, Question(WEEK, (), Where({"team": ("gone",)})), **NOW)
    assert sum(nothing.frame["cost_usd"], Decimal(0)) == 0
    assert nothing.notes == ("0 episodes of hours out of the ordinary", "no calls in these days")


def test_the_series_of_a_finding_is_drawn_with_its_band_and_shade(ledger: Ledger) -> None:
    row = runaway(ledger)
    assert key_of(row) == "team:2026-11-19T13:support"
    asked = question_of(window({"from": "2026-11-14", "to": "2026-11-20"}, {"found": ()}), row)
    assert (asked.period, asked.where) == (
        Period(date(2026, 11, 14), min(date(2026, 11, 21), WEEK.calendar.today())),
        Where({"team": ("support",)}),
    )
    frame = REPORTS["expected"].answer(ledger, Question(WEEK, (), asked.where), **NOW).frame
    figure = go.Figure(expected_figure(frame).to_dict())
    usual, band, cost, out = figure.data
    assert [one["name"] for one in figure.data] == ["expected", "still ordinary", "cost", "out of the ordinary"]
    assert (band["fill"], len(usual["y"]), len(cost["y"])) == ("tonexty", frame.height, frame.height)
    hours = frame.filter(pl.col("episode") == 1)["hour"].to_list()
    assert list(out["x"]) == [f"{hour:%Y-%m-%d %H:%M}" for hour in hours]
    (shade,) = figure.layout.shapes
    assert (shade["x0"], shade["x1"]) == ("2026-11-19 12:30", f"{hours[-1] + timedelta(minutes=30):%Y-%m-%d %H:%M}")

"""A budget's burn-down: what is left by the hour, the cone, and when it runs out."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go
import polars as pl

from spanledger_analytics.reports.question import Where
from spanledger_dashboard.budgets import Allowed
from spanledger_dashboard.cards.burn import standing, title_of
from spanledger_dashboard.charts.burn import burn_figure, burn_of

NAMES = ("spent_usd", "forecast_usd", "low_usd", "high_usd")
ROWS: list[tuple[int, int | None, int | None, int | None, int | None]] = [
    (1, 0, None, None, None),
    (2, 4, None, None, None),
    (3, 7, 7, 7, 7),
    (4, None, 9, 8, 11),
    (5, None, 12, 9, 15),
]
"""Day of November at midnight, and money."""


def frame() -> pl.DataFrame:
    rows = [(datetime(2026, 11, day, tzinfo=UTC), *money) for day, *money in ROWS]
    made = pl.DataFrame(rows, schema=["at", *NAMES], orient="row")
    return made.with_columns(pl.col(NAMES).cast(pl.Decimal(38, 12)))


def month(usd: int) -> Allowed:
    return Allowed("rule", "team", "search", Decimal(usd), "month", Where())


def traces(figure: go.Figure) -> list[dict[str, Any]]:
    """Return a figure's traces; plotly raises an error for what it does not know."""
    found = go.Figure(figure.to_dict()).to_dict()["data"]
    assert isinstance(found, list)
    return found


def test_what_is_left_goes_on_into_the_cone() -> None:
    low, high, pace, left, ahead = traces(burn_figure(frame(), Decimal(10)))
    assert [list(one["y"]) for one in (low, high, pace, left, ahead)] == [
        [3.0, 2.0, 1.0],
        [3.0, -1.0, -5.0],
        [10.0, 0.0],
        [10.0, 6.0, 3.0],
        [3.0, 1.0, -2.0],
    ]
    assert (high["fill"], list(ahead["x"])) == ("tonexty", ["2026-11-03 00:00", "2026-11-04 00:00", "2026-11-05 00:00"])
    assert ahead["customdata"][2][0].split("<br>") == [
        "<b>Thu 5 Nov 00:00</b>",
        "$12 will be spent",
        "80 %: $9.00 to $15.00",
        "$-2 left, 120 % used",
    ]


def test_without_a_budget_it_is_what_is_spent() -> None:
    _, _, spent, ahead = traces(burn_figure(frame(), None))
    assert [(one["name"], list(one["y"])) for one in (spent, ahead)] == [
        ("spent", [0.0, 4.0, 7.0]),
        ("forecast", [7.0, 9.0, 12.0]),
    ]


def test_the_title_says_when_it_runs_out_or_did() -> None:
    said = {usd: title_of(month(usd), burn_of(frame(), Decimal(usd))) for usd in (4, 10, 14, 20)}
    assert said == {
        4: "the monthly budget of $4.00 was used up on Sun 1 Nov",
        10: "the monthly budget of $10.00 runs out on Wed 4 Nov",
        14: "the monthly budget of $14.00 lasts, but may run out from Wed 4 Nov on",
        20: "the monthly budget of $20.00 lasts",
    }
    assert standing(month(10), burn_of(frame(), Decimal(10))) == (
        "$7.00 spent of $10.00, $12.00 forecast by the end (80 %: $9.00 to $15.00)."
        " Tue 3 Nov at the earliest, or not at all."
    )


def test_a_month_without_prices_or_forecast_says_so() -> None:
    assert (
        title_of(month(10), burn_of(frame().clear(), Decimal(10))) == "nothing is known of the monthly budget of $10.00"
    )
    past = burn_of(frame().head(2), Decimal(10))
    assert title_of(month(10), past) == "40 % of the monthly budget of $10.00 is used"
    assert standing(month(10), past) == "$4.00 spent of $10.00; there is no forecast yet."

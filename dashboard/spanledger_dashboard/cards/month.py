"""What the billing month has cost, will have cost, and may cost."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import streamlit as st

from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_dashboard.budgets import monthly_budget
from spanledger_dashboard.charts.mini import bullet
from spanledger_dashboard.components.card import card
from spanledger_dashboard.components.kpis import Kpi, show_kpi, show_picture
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import markdown, share, usd, usd_exact

from .size import NUMBER_PX


@card("month", NUMBER_PX)
def show_month(calendar: Calendar) -> None:
    """Draw it; a mark stands for the budget of a rule on alerts, where one is about the month of all calls."""
    today = calendar.today()
    asked = Question(Period(today - timedelta(days=REPORTS["forecast"].days - 1), today, calendar))
    lake = shown_lake()
    row = lake.report("forecast", asked).frame.row(0, named=True)
    # Of somebody who sees a part, what the whole may cost is no budget.
    budget = monthly_budget() if lake.is_whole else None
    show_kpi(
        Kpi(
            "Month so far",
            usd(row["spent_usd"]),
            None,
            _used(row["spent_usd"], budget),
            usd_exact(row["spent_usd"]),
        )
    )
    if row["forecast_usd"] is not None and row["low_usd"] is not None:
        ends = [float(row[name]) for name in ("spent_usd", "forecast_usd", "low_usd", "high_usd")]
        spent, expected, low, high = ends
        said = f"A bar of {usd(row['spent_usd'])} spent. {_told(row)}"
        show_picture(bullet(spent, expected, low, high, None if budget is None else float(budget)), f"{said}.")
    st.caption(markdown(_told(row), 200))


def _told(row: dict[str, Any]) -> str:
    if row["forecast_usd"] is None:
        return f"No forecast: {row['reason']}."
    wide = ", little history" if row["little_history"] else ""
    return f"Forecast {usd(row['forecast_usd'])} (80 %: {usd(row['low_usd'])} to {usd(row['high_usd'])}{wide})"


def _used(spent: Decimal | None, budget: Decimal | None) -> str | None:
    return None if budget is None else f"{share(spent, budget)} of {usd(budget)}"

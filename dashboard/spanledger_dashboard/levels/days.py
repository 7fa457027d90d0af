"""Level one: spend by day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import streamlit as st

from spanledger_analytics.spend import doubts
from spanledger_dashboard import headlines
from spanledger_dashboard.charts.spend import days_figure
from spanledger_dashboard.components.figure import show_figure, show_table
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.periods import show_periods
from spanledger_dashboard.data import Lake, now
from spanledger_dashboard.format import day_name
from spanledger_dashboard.state import View, Window


def show(view: View, lake: Lake, pick: Callable[[date], None], lasting: Callable[[int], View | Window]) -> None:
    """Draw spend by day; a click calls `pick` with the day, another length of the period goes to `lasting` of it."""
    today = now().date()
    first = today - timedelta(days=view.days - 1)
    days = lake.days(first, today, view.filters)
    by_model = lake.days_by_model(first, today, view.filters)
    headline = headlines.period(days, first, today)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        show_heading(
            headline,
            "Cost by UTC day, models stacked. Pick a day to see its hours; today is hatched.",
            doubts(days),
            lake.unpriced(first, today, view.filters),
        )
        show_periods(view.days, lasting)
    figure = days_figure(days, by_model, lake.colours(today), first, today, today)
    show_figure(
        figure,
        key="days",
        alt=f"Bars of cost by day from {day_name(first)} to {day_name(today)}. {headline}.",
        pick=lambda day: pick(date.fromisoformat(day[:10])),
    )
    show_table(days, key="days", query="days")

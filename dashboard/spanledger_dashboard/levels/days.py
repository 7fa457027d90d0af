"""Level one: spend by day."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

import streamlit as st

from spanledger_analytics.spend import cost_of, cost_per_request, doubts, sum_of
from spanledger_dashboard import headlines
from spanledger_dashboard.charts.spend import days_figure
from spanledger_dashboard.components.figure import show_figure, show_table
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.kpis import Kpi, show_kpis
from spanledger_dashboard.components.periods import show_periods
from spanledger_dashboard.components.way import Way
from spanledger_dashboard.data import Lake, now
from spanledger_dashboard.format import change, count, day_name, usd, usd_exact
from spanledger_dashboard.state import View, Window

_DAY: Final = timedelta(days=1)


def show(
    view: View,
    lake: Lake,
    pick: Callable[[date], None],
    lasting: Callable[[int], View | Window],
    *,
    compared: bool = False,
) -> Way:
    """Draw spend by day and return the way down; a click calls `pick` with the day.

    Another length of the period goes to `lasting` of it. With `compared`, the period before is told of, too.
    """
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
    if compared:
        _compare(view, lake)
    figure = days_figure(days, by_model, lake.colours(), first, today, today)
    show_figure(
        figure,
        key="days",
        alt=f"Bars of cost by day from {day_name(first)} to {day_name(today)}. {headline}.",
        pick=lambda day: pick(date.fromisoformat(day[:10])),
    )
    show_table(days, key="days", query="days")
    latest = days.sort("dt", descending=True)
    places = {
        row["dt"].isoformat(): f"{day_name(row['dt'])}  ·  {usd(row['cost_usd'])}"
        for row in latest.iter_rows(named=True)
    }
    return Way("a day", places, lambda day: pick(date.fromisoformat(day)))


def _compare(view: View, lake: Lake) -> None:
    """Draw what the full days of the period come to, against as many before them."""
    length = view.days - 1
    last = now().date() - _DAY
    first = last - (length - 1) * _DAY
    full, past = lake.days(first, last, view.filters), lake.days(first - length * _DAY, first - _DAY, view.filters)
    if not full.height:
        return
    # A lake that begins somewhere in the days before is nothing to compare with.
    past = past if past.height * 2 >= length else past.clear()
    against = f"vs {length} days before" if past.height else "too little before to compare"
    cost, each, requests = cost_of(full), cost_per_request(full), sum_of(full, "requests")
    usual = statistics.median(spent) if (spent := full["cost_usd"].drop_nulls().to_list()) else None
    calls = f"{count(sum_of(full, 'calls'))} LLM calls"
    show_kpis(
        [
            Kpi(f"{length} full days", usd(cost), change(cost, cost_of(past)), against, usd_exact(cost)),
            Kpi("Usual day", usd(usual), None, "the median full day"),
            Kpi("Cost per request", usd(each), change(each, cost_per_request(past)), against),
            Kpi("Requests", count(requests), change(requests, sum_of(past, "requests")), calls, rise_is_bad=False),
        ]
    )

"""Overview: what is being spent now, and where to look first."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl
import streamlit as st

from spanledger_analytics.spend import cost_of, cost_per_request, sum_of
from spanledger_dashboard.components.breakdown import show_breakdown
from spanledger_dashboard.components.kpis import Kpi, show_kpis
from spanledger_dashboard.components.links import open_page
from spanledger_dashboard.components.live import show_live
from spanledger_dashboard.data import Lake, now, shown_lake
from spanledger_dashboard.format import change, count, day_name, markdown, usd, usd_exact
from spanledger_dashboard.levels import days
from spanledger_dashboard.state import BadLinkError, View, parse

_WEEK = timedelta(days=7)


def page() -> None:
    """Draw the page; picking a day goes on in Explore."""
    show_live()
    _panel()


@st.fragment
def _panel() -> None:
    try:
        # Filters belong to Explore, where they can be seen.
        view = View(days=parse(st.query_params.to_dict()).days)
    except BadLinkError as error:
        st.warning(markdown(str(error), 300))
        view = View()
    lake = shown_lake()
    moment = now()

    def drill(day: date) -> None:
        open_page("explore", view.at_day(day).parameters())

    def narrow(dimension: str, value: str) -> None:
        open_page("explore", view.filtered(dimension, value).parameters())

    _kpis(view, lake, moment)
    days.show(view, lake, drill)
    st.subheader("The last 7 full days, against the 7 before", anchor=False)
    show_breakdown(lake, moment.date(), narrow)


def _kpis(view: View, lake: Lake, moment: datetime) -> None:
    today = moment.date()
    weekday = lake.hours(today - _WEEK, view.filters).filter(pl.col("hour") <= moment.hour)
    cost = cost_of(lake.hours(today, view.filters))
    week = lake.days(today - _WEEK, today - timedelta(days=1), view.filters)
    week_before = lake.days(today - 2 * _WEEK, today - _WEEK - timedelta(days=1), view.filters)
    spent, spent_before = cost_of(week), cost_of(week_before)
    each, each_before = cost_per_request(week), cost_per_request(week_before)
    requests, requests_before = sum_of(week, "requests"), sum_of(week_before, "requests")
    weeks = "7 days vs the 7 before"
    show_kpis(
        [
            Kpi(
                "Today so far",
                usd(cost if cost is not None else Decimal(0)),
                change(cost, cost_of(weekday)),
                f"vs {day_name(today - _WEEK)} by this hour",
                usd_exact(cost),
            ),
            Kpi("Last 7 full days", usd(spent), change(spent, spent_before), "vs the 7 before", usd_exact(spent)),
            Kpi("Cost per request", usd(each), change(each, each_before), weeks),
            Kpi("Requests", count(requests), change(requests, requests_before), weeks, rise_is_bad=False),
        ]
    )

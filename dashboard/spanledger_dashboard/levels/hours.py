"""Level two: the hours of a day, against the same weekday a week earlier."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import polars as pl
import streamlit as st

from spanledger_analytics.spend import cost_of, cost_per_request, doubts, sum_of
from spanledger_dashboard import headlines
from spanledger_dashboard.charts.ranking import users_figure
from spanledger_dashboard.charts.spend import hours_figure
from spanledger_dashboard.components.figure import show_figure, show_table
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.kpis import Kpi, show_kpis
from spanledger_dashboard.components.place import show_neighbours, show_ways_on
from spanledger_dashboard.components.way import Way
from spanledger_dashboard.data import Lake, at_once, now
from spanledger_dashboard.format import change, cost_and_share, count, day_name, hour_name, usd, usd_exact
from spanledger_dashboard.state import View, go

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_LEADERS: Final = 8
_SIDES: Final = (11, 5)
"""Of the width: in sixteenths both come to whole pixels, as a rule; of a fraction plotly would draw a figure twice."""


def show(view: View, day: date, lake: Lake) -> Way | None:
    """Draw the hours of a day and return the way down; a click goes to the hour, or to a user of the whole day."""
    moment = now()
    current = moment.hour if day == moment.date() else None
    past = day - _WEEK
    hours, before, users, *_ = at_once(
        lambda: lake.hours(day, view.filters),
        lambda: lake.hours(past, view.filters),
        lambda: lake.users(day, None, view.filters),
        lambda: lake.unpriced(day, day, view.filters),
        lambda: lake.hours_by_model(day, view.filters),
        lambda: lake.day(day, view.filters, view.days),
        lambda: lake.day(past, view.filters, view.days),
    )
    compared = cost_of(_over(hours, current)), cost_of(_over(before, current))
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        show_heading(
            headlines.day(day, hours, compared, users, current),
            "Cost by UTC hour, models stacked. Pick an hour to see who caused it.",
            doubts(hours),
            lake.unpriced(day, day, view.filters),
        )
        later = (day_name(day + _DAY), view.at_day(day + _DAY)) if day < moment.date() else None
        show_neighbours((day_name(day - _DAY), view.at_day(day - _DAY)), later)
    if not hours.height:
        show_ways_on(view, "Show all days", view.top())
        return None
    _kpis(view, day, lake, hours, before, current)
    wide, narrow = st.columns(_SIDES, gap="medium")
    with wide:
        _hours_chart(view, day, lake, hours, before, current)
    with narrow:
        _leaders(view, day, users)
    show_table(hours, key="hours", query="hours")
    cost = cost_of(hours)
    places = {
        str(row["hour"]): f"{hour_name(row['hour'])}  ·  {cost_and_share(row['cost_usd'], cost)}"
        for row in hours.iter_rows(named=True)
    }
    return Way("an hour", places, lambda hour: go(view.at_hour(int(hour))))


def _over(hours: pl.DataFrame, current: int | None) -> pl.DataFrame:
    """Return the hours that are over, or as many of the day that they are held against."""
    return hours if current is None else hours.filter(pl.col("hour") < current)


def _kpis(view: View, day: date, lake: Lake, hours: pl.DataFrame, before: pl.DataFrame, current: int | None) -> None:
    totals = lake.day(day, view.filters, view.days)
    past = lake.day(day - _WEEK, view.filters, view.days)
    cost, each = cost_of(hours), cost_per_request(totals)
    compared = _over(before, current)
    other = day_name(day - _WEEK)
    against = f"{other}{headlines.by_hour(current)}"
    same = f"vs {against}" if compared.height else f"no calls on {against}"
    weekday = f"vs {other}" if past.height else f"no calls on {other}"
    hour, hour_cost = _dearest(hours)
    show_kpis(
        [
            Kpi(
                "Cost",
                usd(cost),
                change(cost_of(_over(hours, current)), cost_of(compared)),
                "so far" if current == 0 else same,
                usd_exact(cost),
            ),
            Kpi("Requests", count(sum_of(totals, "requests")), None, f"{count(sum_of(totals, 'calls'))} LLM calls"),
            Kpi("Cost per request", usd(each), change(each, cost_per_request(past)), weekday),
            Kpi("Dearest hour", hour, None, hour_cost),
        ]
    )


def _dearest(hours: pl.DataFrame) -> tuple[str, str | None]:
    priced = hours.filter(pl.col("cost_usd").is_not_null())
    if not priced.height:
        return "none", None
    row = priced.sort("cost_usd", "hour", descending=[True, False]).row(0, named=True)
    return hour_name(row["hour"]), usd(row["cost_usd"])


def _hours_chart(
    view: View, day: date, lake: Lake, hours: pl.DataFrame, before: pl.DataFrame, current: int | None
) -> None:
    by_model = lake.hours_by_model(day, view.filters)
    week_before = day_name(day - _WEEK)
    colours = lake.colours()
    show_figure(
        hours_figure(hours, by_model, before, week_before, colours, current),
        key="hours",
        alt=f"Bars of cost by hour on {day_name(day)}, with {week_before} as a dotted line.",
        pick=lambda hour: go(view.at_hour(int(hour))),
    )


def _leaders(view: View, day: date, users: pl.DataFrame) -> None:
    st.markdown(f"**Who caused it, {day_name(day)}**")
    show_figure(
        users_figure(users.head(_LEADERS), cost_of(users), room=0.45),
        key="day-users",
        alt=f"Bars of the {min(_LEADERS, users.height)} dearest users of {day_name(day)}.",
        pick=lambda user: go(view.at_user(user)),
    )

"""Level two: the hours of a day, against the same weekday a week earlier."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import streamlit as st

from .. import headlines
from ..charts.spend import hours_figure, users_figure
from ..components.figure import show_figure, show_table
from ..components.heading import show_heading
from ..components.kpis import Kpi, show_kpis, show_unpriced
from ..data import Lake, now
from ..format import change, count, day_name, hour_name, usd, usd_exact
from ..state import View, go

_LEADERS = 6


def show(view: View, lake: Lake) -> None:
    """Draw the hours of a day; a click goes to the hour, or to a user of the whole day."""
    assert view.day is not None
    day, week_before = view.day, view.day - timedelta(days=7)
    moment = now()
    so_far = day == moment.date()
    hours = lake.ask("hours", day, view.filters)
    before = lake.ask("hours", week_before, view.filters)
    users = lake.ask("users", day, None, view.filters)
    # An unfinished day is compared with as much of the other, to the full hour.
    compared = before.filter(pl.col("hour") <= moment.hour) if so_far else before
    headline = headlines.day(day, hours, compared, users, so_far)
    show_heading(headline, "Cost by UTC hour, models stacked. Pick an hour to see who caused it.")
    show_unpriced(int(hours["unpriced_calls"].sum()), lake.ask("unpriced", day, day, view.filters))
    _kpis(view, lake, hours, compared, so_far)
    if hours.height:
        _charts(view, lake, hours, before, users, moment.hour if so_far else None)
    show_table(hours, key="hours", query="hours")


def _kpis(view: View, lake: Lake, hours: pl.DataFrame, before: pl.DataFrame, so_far: bool) -> None:
    assert view.day is not None
    totals = lake.ask("days", view.day, view.day, view.filters)
    past = lake.ask("days", view.day - timedelta(days=7), view.day - timedelta(days=7), view.filters)
    cost, cost_before = headlines.total(hours), headlines.total(before)
    requests = totals["requests"].sum()
    weekday = f"vs {day_name(view.day - timedelta(days=7))}" + (" by this hour" if so_far else "")
    each = cost / requests if cost is not None and requests else None
    past_cost, past_requests = headlines.total(past), past["requests"].sum()
    each_before = past_cost / past_requests if past_cost is not None and past_requests else None
    show_kpis(
        [
            Kpi("Cost", usd(cost), change(cost, cost_before), weekday, usd_exact(cost)),
            Kpi("Requests", count(requests), None, None, "Distinct traces."),
            Kpi("Cost per request", usd(each), change(each, each_before), f"vs {day_name(view.day - timedelta(days=7))}"),
            Kpi("Dearest hour", *_dearest(hours), good="off"),
        ]
    )


def _dearest(hours: pl.DataFrame) -> tuple[str, str | None, str | None]:
    priced = hours.filter(pl.col("cost_usd").is_not_null())
    if not priced.height:
        return "none", None, None
    row = priced.sort("cost_usd", "hour", descending=[True, False]).row(0, named=True)
    return hour_name(row["hour"]), None, f"{usd(row['cost_usd'])}"


def _charts(
    view: View, lake: Lake, hours: pl.DataFrame, before: pl.DataFrame, users: pl.DataFrame, current: int | None
) -> None:
    assert view.day is not None
    by_model = lake.ask("hours_by_model", view.day, view.filters)
    week_before = day_name(view.day - timedelta(days=7))
    wide, narrow = st.columns([7, 3], gap="medium")
    with wide:
        show_figure(
            hours_figure(hours, by_model, before, week_before, lake.colours(now().date()), current),
            key="hours",
            alt=f"Bars of cost by hour on {day_name(view.day)}, with {week_before} as a dotted line.",
            pick=lambda hour: go(view.at_hour(int(hour))),
        )
    with narrow:
        st.markdown("**Who, over the whole day**")
        show_figure(
            users_figure(users.head(_LEADERS), headlines.total(users)),
            key="day-users",
            alt=f"Bars of the day's {min(_LEADERS, users.height)} dearest users.",
            pick=lambda user: go(view.at_user(user)),
        )

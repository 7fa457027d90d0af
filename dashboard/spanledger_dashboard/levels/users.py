"""Level three: who caused the cost of an hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl
import streamlit as st

from spanledger_analytics.spend import cost_of, doubts
from spanledger_dashboard import headlines
from spanledger_dashboard.charts.ranking import MOST_USERS, users_figure
from spanledger_dashboard.components.figure import show_figure, show_table
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.kpis import Kpi, show_kpis
from spanledger_dashboard.components.place import show_neighbours, show_ways_on
from spanledger_dashboard.components.way import MOST, Way
from spanledger_dashboard.data import Lake, at_once, now
from spanledger_dashboard.format import change, cost_and_share, count, day_name, hour_name, share, usd, usd_exact
from spanledger_dashboard.state import View, go

_HOUR: Final = timedelta(hours=1)
_WEEK: Final = timedelta(days=7)


def show(view: View, day: date, hour: int, lake: Lake) -> Way | None:
    """Draw the users of an hour, dearest first, and return the way down; a click goes to the user's requests."""
    users, *_ = at_once(
        lambda: lake.users(day, hour, view.filters),
        lambda: lake.hours(day, view.filters),
        lambda: lake.hours(day - _WEEK, view.filters),
    )
    headline = headlines.hour(day, hour, users)
    more = f" The {MOST_USERS} dearest of {users.height:,}; the table has all." if users.height > MOST_USERS else ""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        show_heading(
            headline,
            f"Cost by user. Pick one to see the requests.{more}",
            doubts(users),
        )
        _neighbours(view, day, hour)
    if not users.height:
        show_ways_on(view, f"Back to {day_name(day)}", view.at_day(day))
        return None
    _kpis(view, day, hour, lake)
    cost = cost_of(users)
    show_figure(
        users_figure(users, cost, each=True),
        key="users",
        alt=f"Bars of cost by user from {hour_name(hour)} UTC. {headline}.",
        pick=lambda user: go(view.at_user(user)),
    )
    show_table(users, key="users", query="users")
    places = {
        row["user_id"]: f"{headlines.person(row['user_id'])}  ·  {cost_and_share(row['cost_usd'], cost)}"
        for row in users.head(MOST).iter_rows(named=True)
    }
    return Way("a user", places, lambda user: go(view.at_user(user)), takes_text=True)


def _neighbours(view: View, day: date, hour: int) -> None:
    """Offer the hours before and after, of whatever day they are."""
    start = datetime.combine(day, time(hour), UTC)
    labels = []
    for other in (start - _HOUR, start + _HOUR):
        there = view.at_day(other.date()).at_hour(other.hour)
        named = hour_name(other.hour)
        labels.append((named if other.date() == day else f"{day_name(other.date())}, {named}", there))
    show_neighbours(labels[0], labels[1] if start + _HOUR <= now() else None)


def _kpis(view: View, day: date, hour: int, lake: Lake) -> None:
    hours, before = lake.hours(day, view.filters), lake.hours(day - _WEEK, view.filters)
    this = hours.row(by_predicate=pl.col("hour") == hour, named=True)
    # The running hour is not held against a full one.
    is_over = datetime.combine(day, time(hour), UTC) + _HOUR <= now()
    past = before.filter(pl.col("hour") == hour).to_dicts() if is_over else []
    other: Mapping[str, Any] = past[0] if past else {"cost_usd": None, "requests": None}
    weekday = day_name(day - _WEEK)
    same = f"vs {weekday}" if past else f"no calls then on {weekday}" if is_over else "so far"
    cost, requests, each, whole = this["cost_usd"], this["requests"], _each(this), cost_of(hours)
    calls = f"{count(this['calls'])} LLM calls"
    show_kpis(
        [
            Kpi("Cost", usd(cost), change(cost, other["cost_usd"]), same, usd_exact(cost)),
            Kpi("Requests", count(requests), change(requests, other["requests"]), calls, rise_is_bad=False),
            Kpi("Cost per request", usd(each), change(each, _each(other)), same),
            Kpi("Share of the day", share(cost, whole), None, None if whole is None else f"of {usd(whole)}"),
        ]
    )


def _each(row: Mapping[str, Any]) -> Decimal | None:
    cost: Decimal | None = row["cost_usd"]
    return cost / row["requests"] if cost is not None and row["requests"] else None

"""Level three: who caused the cost of an hour."""

from __future__ import annotations

import streamlit as st

from .. import headlines
from ..charts.spend import MOST_USERS, users_figure
from ..components.figure import show_figure, show_table
from ..components.heading import show_heading
from ..components.kpis import Kpi, show_kpis, show_unpriced
from ..data import Lake
from ..format import count, day_name, hour_name, share, usd, usd_exact
from ..state import View, go


def show(view: View, lake: Lake) -> None:
    """Draw the users of an hour, dearest first; a click goes to the user's requests."""
    assert view.day is not None
    assert view.hour is not None
    users = lake.ask("users", view.day, view.hour, view.filters)
    headline = headlines.hour(view.day, view.hour, users)
    more = f" The {MOST_USERS} dearest of {users.height:,}; the table has all." if users.height > MOST_USERS else ""
    show_heading(headline, f"Cost by user. Pick a user to see the requests.{more}")
    if not users.height:
        st.button(f"Back to {day_name(view.day)}", on_click=go, args=(view.at_day(view.day),))
        return
    show_unpriced(int(users["unpriced_calls"].sum()))
    _kpis(view, lake)
    show_figure(
        users_figure(users, headlines.total(users)),
        key="users",
        alt=f"Bars of cost by user from {hour_name(view.hour)} UTC. {headline}.",
        pick=lambda user: go(view.at_user(user)),
    )
    show_table(users, key="users", query="users")


def _kpis(view: View, lake: Lake) -> None:
    hours = lake.ask("hours", view.day, view.filters)
    row = hours.filter(hours["hour"] == view.hour).row(0, named=True)
    cost, requests = row["cost_usd"], row["requests"]
    show_kpis(
        [
            Kpi("Cost", usd(cost), None, f"{share(cost, headlines.total(hours))} of the day", usd_exact(cost)),
            Kpi("Requests", count(requests), None, f"{count(row['calls'])} LLM calls"),
            Kpi("Cost per request", usd(cost / requests if cost is not None and requests else None)),
            Kpi("Tokens in / out", f"{count(row['input_tokens'])} / {count(row['output_tokens'])}"),
        ]
    )

"""Controls: what the policy lets calls spend, what it did to them, and what that saved."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import streamlit as st

from spanledger_analytics.controls.turned_away import with_turned_away
from spanledger_analytics.spend import Doubts
from spanledger_dashboard.cards import holds, refused, saved
from spanledger_dashboard.components.bar import show_bar
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.data import Lake, now, shown_lake
from spanledger_dashboard.policies import Standing, standing

_LATELY: Final = timedelta(days=6)
"""How long ago a call may have been refused that tells that an account is full."""
_HOW: Final = "One in policy.toml in the home folder, or where SPANLEDGER_POLICY says, begins with:"
_BEGIN: Final = """\
store = "sqlite"       # shared by the processes of a host

[[budget]]
name = "everybody, a day"
per = "day"
usd = 50
at = { "80%" = "warn", "100%" = "block" }
shadow = true          # says what it would do; without this line it does it
"""


def page() -> None:
    """Draw the page; parts that have nothing to tell aren't there."""
    lake = shown_lake()
    asked = show_bar(lake)
    seen = lake.controls_seen(*asked.period.utc_days())
    known = standing(lake)
    if known is None and not seen["decisions"] and not seen["saving"] and not seen["routed"]:
        _show_how(is_whole=lake.is_whole)
        return
    if known is not None:
        holds.show_trouble(known)
        _show_standing(known, lake)
    left, right = st.columns(2, gap="small") if seen["saving"] else (st.container(), None)
    with left:
        refused.show_refused(asked)
    if right:
        with right:
            saved.show_avoided(asked)
    if seen["routed"]:
        saved.show_routes(asked)
    if seen["decisions"]:
        refused.show_latest(asked)


def _show_standing(known: Standing, lake: Lake) -> None:
    if known.budgets:
        today = now().date()
        by_session = tuple(one.name for one in known.policy.budgets if one.per == "session")
        refused_lately = lake.turned_away(today - _LATELY, today, by_session)
        holds.show_budgets(with_turned_away(known.budgets, refused_lately, now()))
    shown = [*([holds.show_limits] if known.limits else []), *([holds.show_breakers] if known.breakers else [])]
    for column, show in zip(st.columns(len(shown), gap="small") if shown else (), shown, strict=True):
        with column:
            show(known)


def _show_how(*, is_whole: bool) -> None:
    if not is_whole:
        show_heading("No rule had anything to do with calls of yours", "In these days; pick others above.", Doubts())
        return
    with st.container(border=True):
        show_heading("No policy is set: calls may spend what they like", _HOW, Doubts())
        # Plain: the colours of its highlighting are too pale to read.
        st.code(_BEGIN, language=None)
        st.caption("What it decides stands here then: who spends how much, what was refused, and what was saved.")

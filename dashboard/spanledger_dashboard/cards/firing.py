"""What fires now and what has fired, with a way to be left alone by it for a while."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

import polars as pl
import streamlit as st

from spanledger_analytics.alerts.errors import StoreError
from spanledger_analytics.alerts.reading import fingerprint
from spanledger_analytics.reports.question import Question
from spanledger_analytics.spend import Doubts
from spanledger_dashboard import silencing
from spanledger_dashboard.charts.episodes import episodes_figure, lane
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.data import now, shown_lake
from spanledger_dashboard.format import ago, day_name, many, markdown
from spanledger_dashboard.state import Window

_LOG: Final = logging.getLogger(__name__)
_FIRING_PX: Final = 220
_HISTORY_PX: Final = 300
_MOST: Final = 12
_LENGTHS: Final = {"1 hour": 1, "4 hours": 4, "1 day": 24, "7 days": 168}
_NO_RULES: Final = "No rule was ever evaluated here. spanledger alerts init writes the first ones."
_SAID: Final = "silence-said"
"""What went wrong with a silence, in the session until it is shown."""
_PART: Final = "You see the alerts of your teams. Silences are for who sees everything."


@card("firing", _FIRING_PX)
def show_firing(asked: Window) -> None:
    """List what fires and what is about to; each can be silenced."""
    lake = shown_lake()
    frame = lake.report("alerts", Question(asked.period)).frame
    current = frame.filter(pl.col("state") != "resolved")
    firing = current.filter(pl.col("state") == "firing")
    title = _firing(firing)
    reading = "The rules are evaluated every 20 seconds." if silencing.is_evaluated() else _NO_RULES
    show_heading(title, reading if lake.is_whole else f"{reading} {_PART}", Doubts())
    if said := st.session_state.pop(_SAID, None):
        st.warning(markdown(said, 600))
    told = _told(current)
    for rows in told[:_MOST]:
        _show(rows)
    if len(told) > _MOST:
        st.caption(f"{len(told) - _MOST} more are in the table of what has fired.")
    _show_silences()


def _firing(firing: pl.DataFrame) -> str:
    if not firing.height:
        return "No alert fires"
    verb = "fires" if firing.height == 1 else "fire"
    return f"{many(firing.height, 'alert')} of {many(firing['rule'].n_unique(), 'rule')} {verb}"


def _told(current: pl.DataFrame) -> list[list[dict[str, Any]]]:
    """Return alerts, those of a budget's thresholds together, because one sentence tells them."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in current.to_dicts():
        groups.setdefault((lane(row), row["state"], row["summary"]), []).append(row)
    return list(groups.values())


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    row = rows[0]
    since = "about to fire" if row["fired_at"] is None else f"since {ago(row['fired_at'], now()).removesuffix(' ago')}"
    more = f" · {len(rows)} thresholds" if len(rows) > 1 else ""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(gap="xxsmall", width="stretch"):
            st.markdown(f"**{markdown(lane(row) + more, 160)}**  ·  {row['severity']}, {since}")
            st.caption(markdown(row["summary"], 400))
        if silencing.may_silence():
            _offer(rows)


def _offer(rows: Sequence[Mapping[str, Any]]) -> None:
    # Not by its place, which changes when another fires; a group goes by its oldest, because younger ones join it.
    key = fingerprint({name: rows[-1][name] for name in ("rule", "scope", "severity")})

    def chosen() -> None:
        length = timedelta(hours=_LENGTHS[st.session_state[f"length-{key}"]])
        for row in rows:
            silencing.silence(row["rule"], row["scope"], length, st.session_state[f"comment-{key}"])

    with st.popover("Silence", type="secondary", key=f"silence-{key}"):
        st.segmented_control("For", list(_LENGTHS), default="4 hours", key=f"length-{key}", required=True)
        st.text_input("Why, for those who come after", key=f"comment-{key}", max_chars=200)
        st.button("Silence it", key=f"do-silence-{key}", on_click=_keep, args=(chosen,), type="primary")
        st.caption("It still fires and is listed; nobody is told.")


def _keep(change: Callable[[], None]) -> None:
    """Change silences from a callback, where nothing can be drawn; what goes wrong is told by the card."""
    try:
        change()
    except StoreError as error:
        _LOG.error("silences", exc_info=error)
        st.session_state[_SAID] = f"That wasn't kept: {error}."


def _show_silences() -> None:
    for one in silencing.held():
        words = ", ".join(map(str, one.matchers))
        why = f": {one.comment}" if one.comment else ""
        until = f"{day_name(one.until.date())} {one.until:%H:%M} UTC"
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.caption(markdown(f"Silent until {until}: {words}{why}", 300))
            st.button("End it", key=f"end-{one.number}", on_click=_keep, args=(partial(silencing.end, one.number),))


@card("history", _HISTORY_PX)
def show_history(asked: Window) -> None:
    """Draw when alerts fired in these days."""
    lake = shown_lake()
    question = Question(asked.period)
    frame = lake.report("alerts", question).frame
    fired = frame.filter(pl.col("fired_at").is_not_null())
    rules = fired["rule"].n_unique()
    title = f"{many(rules, 'rule')} fired {many(fired.height, 'time')}" if fired.height else "No alert fired then"
    show_heading(title, "From when an alert fired until it was over, UTC; 90 days are kept.", Doubts())
    if fired.height:
        moment = now()
        shown = fired.head(200)
        show_figure(
            episodes_figure(shown, asked.period.begin, min(asked.period.end, moment)),
            key="history",
            alt=f"A time line of alerts, a lane a rule. {title}.",
        )
    show_answer(lake, "history", "alerts", question)

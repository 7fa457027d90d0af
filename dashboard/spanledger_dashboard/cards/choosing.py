"""How a reader says what is to be compared: two periods, two slices, or before and after a moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final

import streamlit as st

from spanledger_analytics.reports.against import AGAINST, moment
from spanledger_dashboard.components.options import cut_apart
from spanledger_dashboard.components.showing import key_showing
from spanledger_dashboard.data import Lake
from spanledger_dashboard.state import Window, go

from .compared import AROUND, KINDS, MOMENT, NOTHING, PERIODS, SLICES, against, kind_of

_AGAINST: Final = {
    "previous": "as many days before",
    "week": "the same weekdays before",
    "month": "the month before",
    "year": "a year before",
}
_OTHER_DAYS: Final = "other days"


def show_comparison(asked: Window, lake: Lake) -> None:
    """Draw the choice of a kind, and what that kind needs."""
    kind = kind_of(asked)
    key = key_showing("compare-kind", kind)

    def chosen() -> None:
        go(_first(st.session_state[key], asked, lake))

    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="compare-choice"):
        st.segmented_control(
            "Compare",
            KINDS,
            key=key,
            on_change=chosen,
            label_visibility="collapsed",
            required=True,
            width="content",
        )
        {PERIODS: _show_periods, SLICES: _show_slices, MOMENT: _show_moment}[kind](asked, lake)


def _first(kind: str, asked: Window, lake: Lake) -> Window:
    """Return what a kind begins with: the two dearest of something, or the middle of the days."""
    plain = asked.told(**NOTHING)
    if kind == SLICES:
        first, second = [*slices(lake)[:2], "", ""][:2]
        return plain.told(a=first or "team=", b=second)
    if kind == MOMENT:
        middle = asked.period.last - timedelta(days=max(1, min(7, asked.period.days // 2)))
        return plain.told(at=f"{middle}T00:00")
    return plain


def slices(lake: Lake) -> list[str]:
    """Return conditions to choose from, by dimension, dearest first."""
    return [f"{dimension}={_quoted(value)}" for dimension, values in lake.known().items() for value in values if value]


def _quoted(value: str) -> str:
    """Write a value as conditions read it: in quotes where it would be read as several."""
    if "," not in value and value == value.strip():
        return value
    return f"'{value}'" if '"' in value else f'"{value}"'


def _show_periods(asked: Window, lake: Lake) -> None:
    del lake
    current = against(asked)
    custom = current not in AGAINST
    key = key_showing("compare-against", _OTHER_DAYS if custom else current)

    def chosen() -> None:
        picked = st.session_state[key]
        go(asked.told(against=_days_before(asked) if picked == _OTHER_DAYS else picked.replace("previous", "")))

    st.selectbox(
        "Against",
        [*AGAINST, _OTHER_DAYS],
        key=key,
        format_func=lambda name: f"against {_AGAINST.get(name, name)}",
        on_change=chosen,
        label_visibility="collapsed",
        width=270,
    )
    if custom:
        _show_other_days(asked, current)


def _days_before(asked: Window) -> str:
    before = asked.period.before()
    return f"{before.first}..{before.last}"


def _show_other_days(asked: Window, current: str) -> None:
    try:
        first, last = (date.fromisoformat(day) for day in current.split(".."))
    except ValueError:
        return
    key = key_showing("compare-days", (first, last))

    def chosen() -> None:
        picked = st.session_state[key]
        # Between the two clicks only the first day is there.
        if len(picked) == 2:
            go(asked.told(against=f"{picked[0]}..{picked[1]}"))

    st.date_input(
        "Other days",
        key=key,
        format="YYYY-MM-DD",
        min_value=min(first, date(2020, 1, 1)),
        max_value=max(last, asked.period.calendar.today()),
        on_change=chosen,
        label_visibility="collapsed",
        width=230,
    )


def _show_slices(asked: Window, lake: Lake) -> None:
    known = slices(lake)
    _show_condition(asked, "a", "One, as team=search", known)
    st.markdown("against", width="content")
    _show_condition(asked, "b", "The other, as team=support", known)


def _show_moment(asked: Window, lake: Lake) -> None:
    calendar = asked.period.calendar
    at = calendar.local(moment(asked.own["at"], calendar))
    days, clocks = key_showing("compare-day", at.date()), key_showing("compare-clock", time(at.hour, at.minute))
    around = key_showing("compare-around", asked.own["around"])

    def chosen() -> None:
        day, clock = st.session_state[days], st.session_state[clocks]
        if day is not None and clock is not None:
            go(asked.told(at=f"{datetime.combine(day, clock):%Y-%m-%dT%H:%M}"))

    def chosen_around() -> None:
        go(asked.told(around=st.session_state[around]))

    today = calendar.today()
    st.date_input(
        "Day",
        key=days,
        format="YYYY-MM-DD",
        min_value=min(at.date(), date(2020, 1, 1)),
        max_value=max(today, at.date()),
        on_change=chosen,
        label_visibility="collapsed",
        width=140,
    )
    st.time_input("Time", key=clocks, on_change=chosen, label_visibility="collapsed", width=110)
    st.selectbox(
        "Around",
        sorted(AROUND, key=int),
        key=around,
        on_change=chosen_around,
        label_visibility="collapsed",
        format_func=lambda days: f"{days} {'day' if days == '1' else 'days'} each side",
        width=170,
    )
    _show_condition(asked, "control", "Control: others that cost alike", slices(lake))


def _show_condition(asked: Window, name: str, placeholder: str, known: Sequence[str]) -> None:
    picked = asked.own[name] or None
    key = key_showing(f"compare-{name}", picked)
    offered = [*known, *([picked] if picked and picked not in known else [])]
    words = cut_apart({text: text for text in offered}, 60)
    st.selectbox(
        placeholder,
        offered,
        index=None,
        key=key,
        placeholder=placeholder,
        format_func=words.__getitem__,
        accept_new_options=True,
        on_change=_rewrite(asked, name, key),
        label_visibility="collapsed",
        width=260,
    )


def _rewrite(asked: Window, name: str, key: str) -> Callable[[], None]:
    def chosen() -> None:
        go(asked.told(**{name: st.session_state[key] or ""}))

    return chosen

"""Two slices or periods told apart by feature, team, model or environment."""

from __future__ import annotations

from typing import Final

import polars as pl
import streamlit as st

from spanledger_dashboard import headlines
from spanledger_dashboard.charts.movers import movers_figure, moves_of
from spanledger_dashboard.charts.sides import sides_figure
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.links import open_page
from spanledger_dashboard.components.place import value_name
from spanledger_dashboard.components.showing import key_showing
from spanledger_dashboard.data import Lake, shown_lake
from spanledger_dashboard.format import markdown, share, usd
from spanledger_dashboard.state import Window, go

from .compared import BY, PATH, PERIODS, against, kind_of, two_sides

_HEIGHT_PX: Final = 430
_MOST: Final = 9


@card("told-apart", _HEIGHT_PX)
def show_told_apart(asked: Window) -> None:
    """Draw what rose and fell between periods, or slices beside each other; a click narrows the page."""
    lake = shown_lake()
    if kind_of(asked) == PERIODS:
        _show_moves(asked, lake)
    else:
        _show_sides(asked, lake)


def _show_moves(asked: Window, lake: Lake) -> None:
    by, compared = asked.own["by"], against(asked)
    about = asked.question((by,))
    moves = moves_of(lake.report("movers", about, against=compared).frame, by, value_name(by, ""), _MOST)
    answer = headlines.movers(moves)
    _show_title(asked, answer, "What rose and fell most, and what made most of it. Pick one to see why.")
    if moves:
        show_figure(
            movers_figure(moves),
            key="told-apart",
            alt=f"Bars of what rose and fell by {by}. {answer}.",
            pick=lambda value: open_page(PATH, asked.filtered(by, value).parameters()),
        )
    show_answer(lake, "told-apart", "movers", about, against=compared)


def _show_sides(asked: Window, lake: Lake) -> None:
    by = asked.own["by"]
    about, options = two_sides(asked, (by,))
    frame = lake.report("compare", about, **options).frame
    dear = pl.max_horizontal(pl.col("cost_usd").fill_null(0), pl.col("cost_before_usd").fill_null(0))
    rows = frame.sort(dear, descending=True).head(_MOST).to_dicts()
    one, other = asked.own["a"] or "all calls", asked.own["b"] or "before"
    first = frame.filter(pl.col("cost_usd") > 0).head(1).to_dicts()
    whole = sum(frame["cost_usd"].drop_nulls())
    answer = f"No call of {one} has a price"
    if first:
        cost = first[0]["cost_usd"]
        answer = f"{value_name(by, first[0][by] or '')} is {share(cost, whole)} of {one}: {usd(cost)}"
    _show_title(asked, answer, "What each of the two costs, the dearest first. Pick one to see only it.")
    if rows:
        show_figure(
            sides_figure(rows, by, value_name(by, ""), one, other),
            key="told-apart",
            alt=f"Pairs of bars of cost by {by}. {answer}.",
            pick=lambda value: open_page(PATH, asked.filtered(by, value).parameters()),
        )
    show_answer(lake, "told-apart", "compare", about, None, **options)


def _show_title(asked: Window, answer: str, reading: str) -> None:
    key = key_showing("compare-by", asked.own["by"])

    def chosen() -> None:
        go(asked.told(by=st.session_state[key]))

    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(gap="xxsmall", width="stretch"):
            st.subheader(markdown(answer, 300), anchor=False)
            st.caption(reading)
        st.segmented_control(
            "Told apart by",
            BY,
            key=key,
            format_func=str.capitalize,
            on_change=chosen,
            label_visibility="collapsed",
            required=True,
        )

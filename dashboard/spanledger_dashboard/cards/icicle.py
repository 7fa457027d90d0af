"""What is inside what: teams, their features, the models of those; two levels at a time, a click goes down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import streamlit as st

from spanledger_analytics.spend import DIMENSIONS
from spanledger_dashboard import attribution_words as words
from spanledger_dashboard.charts.icicle import icicle_figure, slabs_of
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.links import open_page
from spanledger_dashboard.components.place import value_name
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import markdown
from spanledger_dashboard.state import Window

from .narrowing import PATH, narrowed, question

_HEIGHT_PX: Final = 580
_LEVELS: Final = 2
_TOP: Final = "All spend"


def levels_of(asked: Window) -> tuple[str, ...]:
    """Return the dimensions to be drawn: the first two that the page isn't narrowed by."""
    return tuple(name for name in DIMENSIONS if getattr(asked.filters, name) is None)[:_LEVELS]


@card("icicle", _HEIGHT_PX)
def show_icicle(asked: Window) -> None:
    """Draw them; nothing is drawn where all four are picked."""
    levels = levels_of(asked)
    if not levels:
        return
    lake = shown_lake()
    about = question(asked, levels)
    colours = lake.colours()
    slabs = slabs_of(lake.totals(about), levels, {level: value_name(level, "") for level in levels}, colours)
    whole = sum((slab.cost_usd for slab in slabs if slab.level == 0), Decimal(0))
    answer = words.inside(slabs, whole)
    with st.container(gap="xxsmall"):
        st.subheader(markdown(answer, 300), anchor=False)
        _show_way(asked)

    def picked(value: str) -> None:
        if value:
            open_page(PATH, narrowed(asked, dict(zip(levels, json.loads(value), strict=False))).parameters())

    if slabs:
        show_figure(
            icicle_figure(slabs, levels, whole),
            key="icicle",
            alt=f"Cost by {' and '.join(levels)}, each part as high as its share. {answer}.",
            pick=picked,
        )
    show_answer(lake, "icicle", "spend", about)


def _show_way(asked: Window) -> None:
    """Draw the way up: what the page is narrowed by, each a button that leads back to it."""
    way = _way(asked)
    if len(way) == 1:
        st.caption("As high as its share of the cost. Pick a part to see what is in it.")
        return
    *above, (here, _) = way
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="icicle-way"):
        for number, (label, target) in enumerate(above):
            st.button(
                markdown(label),
                key=f"icicle-way-{number}",
                type="tertiary",
                on_click=open_page,
                args=(PATH, target.parameters()),
            )
            st.markdown("/", width="content")
        st.markdown(f"**{markdown(here)}**", width="content")


def _way(asked: Window) -> Sequence[tuple[str, Window]]:
    """Return the places from the whole down to this one, with their names."""
    place = asked
    for name in DIMENSIONS:
        place = place.filtered(name, None)
    way = [(_TOP, place)]
    for name in DIMENSIONS:
        value = getattr(asked.filters, name)
        if value is not None:
            place = place.filtered(name, value)
            way.append((f"{name} {value_name(name, value)}", place))
    return way

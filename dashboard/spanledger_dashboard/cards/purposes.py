"""Where the dollars of runs go: history sent again, system prompt, tools, new text, reasoning, answers, failures."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import polars as pl
import streamlit as st

from spanledger_analytics.spend import Doubts
from spanledger_dashboard.charts.drivers import NAMES
from spanledger_dashboard.charts.purposes import parts_of, purposes_figure
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.choice import show_choice
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import markdown, share, usd
from spanledger_dashboard.state import Window

BY: Final = ("feature", "model", "team")
_MOST: Final = 7
_HEIGHT_PX: Final = 430
_READING: Final = "Each call's cost taken apart by the sizes of its prompt's parts; the parts add up to the bill."
_BLIND: Final = "unknown"


@card("purposes", _HEIGHT_PX)
def show_purposes(asked: Window) -> None:
    """Draw them as stacks, by what the address says."""
    lake = shown_lake()
    by = asked.own["runs"]
    question = asked.question((by,))
    frame = lake.report("drivers", question).frame
    answer = _answer(frame)
    show_heading(answer, _READING, Doubts())
    show_choice(asked, "runs", BY, "The dollars of runs by")
    parts = parts_of(frame)
    if not parts:
        return
    words = "; ".join(f"{NAMES[part]}: {usd(cost)}" for part, cost in parts.items())
    show_figure(purposes_figure(frame, by, _MOST), key="purposes", alt=f"{answer}. {words}.")
    if parts.get(_BLIND):
        st.caption(
            markdown(
                f"{usd(parts[_BLIND])} of input can't be told apart: its calls have no fingerprints, or the provider"
                " states a sum.",
                200,
            )
        )
    show_answer(lake, "purposes", "drivers", question)


def _answer(frame: pl.DataFrame) -> str:
    parts = parts_of(frame)
    whole = sum(parts.values(), Decimal(0))
    known = {part: cost for part, cost in parts.items() if part != _BLIND}
    if not known:
        return "It can't be told what the dollars were for"
    first, cost = next(iter(known.items()))
    name = NAMES[first]
    sentence = f"{name[:1].upper()}{name[1:]}: {usd(cost)}, {share(cost, whole)} of the dollars"
    again = sum(frame["again_usd"].drop_nulls(), Decimal(0))
    if again and first != "history":
        sentence += f"; {usd(again)} paid for what had been sent before"
    return sentence

"""Findings as rows: what each comes to, what it is in a sentence, and a way to where it can be seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import streamlit as st

from spanledger_dashboard.format import markdown

from .links import show_link

_AMOUNT_PX: Final = 92
_LONGEST: Final = 420


@dataclass(frozen=True, slots=True)
class Row:
    """One finding; texts are plain."""

    amount: str
    title: str
    said: str
    link: str = ""
    """What the way to it is called; without one there is none."""
    parameters: Mapping[str, str] | None = None
    """Of Explore, at the place that the link leads to."""


def show_dearest(frame: pl.DataFrame, row_of: Callable[[Mapping[str, Any]], Row], most: int) -> None:
    """Draw the first rows of a report, at most so many, and say how many more its table has."""
    show_rows([row_of(row) for row in frame.head(most).to_dicts()])
    if frame.height > most:
        st.caption(f"{frame.height - most} more are in the table.")


def show_rows(rows: Sequence[Row]) -> None:
    """Draw them, a line below another."""
    for row in rows:
        with st.container(horizontal=True, gap="small", vertical_alignment="top"):
            st.markdown(f"**{markdown(row.amount)}**", width=_AMOUNT_PX)
            with st.container(gap="xxsmall", width="stretch"):
                st.markdown(f"**{markdown(row.title, 120)}**")
                st.caption(markdown(row.said, _LONGEST))
                if row.link and row.parameters is not None:
                    show_link("explore", markdown(row.link), row.parameters)

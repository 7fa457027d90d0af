"""The sentence over a chart: its answer, below it how to read it, and what is missing from the sums."""

from __future__ import annotations

from typing import Final

import polars as pl
import streamlit as st

from spanledger_dashboard.format import many, markdown

_PROVISIONAL: Final = (
    "They came within the last minutes. When the whole trace is here, a call that two witnesses told of counts once, an"
    " agent is charged only where nothing below it is, and tags of spans above count for those below."
)


def show_heading(
    answer: str,
    reading: str,
    unpriced_calls: int = 0,
    reasons: pl.DataFrame | None = None,
    *,
    provisional_calls: int = 0,
) -> None:
    """Write the answer (plain text, foreign names may be in it), the hint, and badges for what may be wrong with it.

    `reasons` has the columns reason, model and calls.
    """
    with st.container(gap="xxsmall", width="stretch"):
        st.subheader(markdown(answer, 300), anchor=False)
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.caption(markdown(reading, 300), width="content")
            if unpriced_calls:
                st.badge(
                    f"{many(unpriced_calls, 'call')} without a price, not in the sums",
                    color="orange",
                    help=_listed(reasons),
                )
            if provisional_calls:
                st.badge(f"{many(provisional_calls, 'call')} may still change", color="gray", help=_PROVISIONAL)


def _listed(reasons: pl.DataFrame | None) -> str | None:
    if reasons is None or not reasons.height:
        return None
    return "  \n".join(
        f"{many(row['calls'], 'call')} of {markdown(row['model'] or 'no model')}: {markdown(row['reason'])}"
        for row in reasons.head(8).iter_rows(named=True)
    )

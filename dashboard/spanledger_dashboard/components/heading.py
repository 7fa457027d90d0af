"""The sentence over a chart: its answer, below it how to read it, and what is missing from the sums."""

from __future__ import annotations

from typing import Final

import polars as pl
import streamlit as st

from spanledger_analytics.spend import Doubts
from spanledger_dashboard.format import many, markdown, usd

_NO_DOUBTS: Final = Doubts()
_PROVISIONAL: Final = (
    "They came within the last minutes. When the whole trace is here, a call that two witnesses told of counts once, an"
    " agent is charged only where nothing below it is, and tags of spans above count for those below."
)

_ESTIMATED: Final = (
    "Nobody reported the tokens of these calls (streams that were left early, servers without counts), so they were"
    " worked out from the text."
)


def show_heading(
    answer: str,
    reading: str,
    doubts: Doubts = _NO_DOUBTS,
    reasons: pl.DataFrame | None = None,
) -> None:
    """Write the answer (plain text, foreign names may be in it), the hint, and badges for what may be wrong with it.

    `reasons` says why calls have no price: the columns reason, model and calls.
    """
    with st.container(gap="xxsmall", width="stretch"):
        st.subheader(markdown(answer, 300), anchor=False)
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.caption(markdown(reading, 300), width="content")
            if doubts.unpriced_calls:
                st.badge(
                    f"{many(doubts.unpriced_calls, 'call')} without a price, not in the sums",
                    color="orange",
                    help=_listed(reasons),
                )
            if doubts.estimated_calls:
                st.badge(
                    f"{_dollars(doubts)} of it estimated, {many(doubts.estimated_calls, 'call')}",
                    color="blue",
                    help=_ESTIMATED,
                )
            if doubts.provisional_calls:
                st.badge(f"{many(doubts.provisional_calls, 'call')} may still change", color="gray", help=_PROVISIONAL)


def _dollars(doubts: Doubts) -> str:
    return usd(doubts.estimated_usd).replace("$", r"\$")


def _listed(reasons: pl.DataFrame | None) -> str | None:
    if reasons is None or not reasons.height:
        return None
    return "  \n".join(
        f"{many(row['calls'], 'call')} of {markdown(row['model'] or 'no model')}: {markdown(row['reason'])}"
        for row in reasons.head(8).iter_rows(named=True)
    )

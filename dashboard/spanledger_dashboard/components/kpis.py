"""The row of four numbers over a chart, and the badge for calls that nobody has priced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import polars as pl
import streamlit as st

from ..format import change, many, markdown, visible


@dataclass(frozen=True, slots=True)
class Kpi:
    """One number with what it is compared to."""

    label: str
    value: str
    delta: str | None = None
    """Signed change, or None."""
    compared: str | None = None
    """What the change is against."""
    help: str | None = None
    """The exact value, or how it is counted."""
    good: str = "inverse"
    """`inverse`: a rise is bad news; `off`: neither is."""


def against(now: Decimal | None, before: Decimal | None) -> str | None:
    """Return a change for `Kpi.delta`."""
    return change(now, before)


def show_kpis(kpis: Sequence[Kpi]) -> None:
    """Draw the numbers as cards of one height."""
    with st.container(horizontal=True):
        for kpi in kpis:
            st.metric(
                kpi.label,
                kpi.value,
                kpi.delta,
                delta_color="inverse" if kpi.good == "inverse" else "off",
                delta_description=kpi.compared,
                help=kpi.help,
                border=True,
                height="stretch",
            )


def show_unpriced(unpriced_calls: int, reasons: pl.DataFrame | None = None) -> None:
    """Say how many calls are not in the sum; nothing where all have a price."""
    if not unpriced_calls:
        return
    listed = None
    if reasons is not None and reasons.height:
        listed = "  \n".join(
            f"{row['calls']:,} × {markdown(row['model'] or 'no model')}: {markdown(row['reason'])}"
            for row in reasons.head(8).iter_rows(named=True)
        )
    st.badge(f"{many(unpriced_calls, 'call')} without a price, not in the sums", color="orange", help=listed)


def text(value: str | None, missing: str) -> str:
    """Write a tag, or what its absence is called."""
    return visible(value, 28) if value else missing

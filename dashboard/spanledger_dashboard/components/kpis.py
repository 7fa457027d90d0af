"""The row of four numbers over a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st

_NARROWEST_PX: Final = 150
"""Two stand beside each other on a phone."""


@dataclass(frozen=True, slots=True)
class Kpi:
    """One number with what it is compared to."""

    label: str
    value: str
    delta: str | None = None
    """Signed change, or None."""
    compared: str | None = None
    """What the change is against; a remark where there is no change."""
    help: str | None = None
    """The exact value."""
    rise_is_bad: bool = True


def show_kpis(kpis: Sequence[Kpi]) -> None:
    """Draw the numbers as cards of one size."""
    with st.grid(len(kpis), min_column_width=_NARROWEST_PX):
        for kpi in kpis:
            show_kpi(kpi, border=True)


def show_kpi(kpi: Kpi, *, border: bool = False) -> None:
    """Draw one number."""
    st.metric(
        kpi.label,
        kpi.value,
        kpi.delta,
        delta_color="inverse" if kpi.rise_is_bad else "off",
        delta_description=kpi.compared.replace("$", r"\$") if kpi.compared else None,
        help=kpi.help.replace("$", r"\$") if kpi.help else None,
        border=border,
        height="stretch" if border else "content",
    )


def show_picture(svg: str, alt: str) -> None:
    """Draw one of `charts.mini` under a number."""
    st.image(svg, width="stretch", alt=alt)

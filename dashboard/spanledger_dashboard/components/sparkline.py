"""A line of the last minutes without axes, as a picture with words: st.metric has none for who can't see its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

_WIDTH: Final = 300
_HEIGHT: Final = 44
_STROKE: Final = 2


def show_sparkline(values: Sequence[float], alt: str, colour: str) -> None:
    """Draw the values (at least one), the first at the left, from zero; `alt` says what they are."""
    st.image(sparkline(values, colour), width="stretch", alt=alt)


def sparkline(values: Sequence[float], colour: str) -> str:
    """Return the SVG."""
    top = max(*values, 0) or 1
    step = _WIDTH / max(1, len(values) - 1)
    points = [
        f"{place * step:.1f},{_HEIGHT - _STROKE - value / top * (_HEIGHT - 2 * _STROKE):.1f}"
        for place, value in enumerate(values)
    ]
    area = f"0,{_HEIGHT} {' '.join(points)} {_WIDTH},{_HEIGHT}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">'
        f'<polygon points="{area}" fill="{colour}" fill-opacity="0.15"/>'
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="{_STROKE}"/></svg>'
    )

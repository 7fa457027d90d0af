"""What is inside what: two levels of the cost beside each other, such as teams and their features.

It is drawn as bars, because those take clicks everywhere; an icicle of plotly's own tells nobody where it was clicked.
Below half a percent of the whole, parts are one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import plotly.graph_objects as go
import polars as pl

from spanledger_dashboard.format import figure_text, many, share, usd, usd_exact

from .colours import BLUE, DARK, GREY, PALE, WHITE
from .layout import CLEAR, base

_HEIGHT_PX: Final = 460
_SMALLEST: Final = Decimal("0.005")
"""Part of the whole that has a slab of its own."""
_TEXT_PX: Final = 21
"""Height that a line of words needs."""
_LONGEST: Final = 26
_RAMP: Final = ("#0072B2", "#2A8BC4", "#56A3D3", "#7DB9DE", "#A3CEE9")
"""Ranks of the first level; their parts are paler."""
_PALER: Final = ("#4D9DCB", "#6AAED5", "#88BFDF", "#A4CEE7", "#BFDDEF")


@dataclass(frozen=True, slots=True)
class Slab:
    """A part of the whole; `start` and `size` are from 0 to 1, from the top down."""

    level: int
    start: float
    size: float
    path: tuple[str, ...]
    """Values from the first level on; empty: several that are too small to be told apart."""
    name: str
    """Plain text."""
    cost_usd: Decimal
    calls: int
    colour: str
    above: Decimal
    """Cost of what it is a part of."""


def icicle_figure(slabs: Sequence[Slab], levels: Sequence[str], whole: Decimal) -> go.Figure:
    """Draw the slabs; a click's `customdata[0]` is a JSON list of the values from the first level on, or empty."""
    figure = base(_HEIGHT_PX, barmode="overlay", bargap=0, showlegend=False, margin={"l": 4, "r": 4, "t": 28, "b": 4})
    figure.add_bar(
        x=[slab.level for slab in slabs],
        y=[slab.size for slab in slabs],
        base=[slab.start for slab in slabs],
        width=0.985,
        marker={"color": [slab.colour for slab in slabs], "line": {"width": 1, "color": "rgba(255, 255, 255, 0.85)"}},
        text=[_words(slab, whole) for slab in slabs],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        insidetextfont={"color": [_ink(slab.colour) for slab in slabs]},
        customdata=[[json.dumps(slab.path) if slab.path else "", _hover(slab, levels, whole)] for slab in slabs],
        hovertemplate="%{customdata[1]}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )
    figure.update_layout(
        uniformtext={"mode": "hide", "minsize": 11},
        xaxis={
            "range": [-0.5, len(levels) - 0.5],
            "side": "top",
            "tickvals": list(range(len(levels))),
            "ticktext": [f"by {level}" for level in levels],
        },
        yaxis={"range": [1, 0], "visible": False},
        plot_bgcolor=CLEAR,
    )
    return figure


def slabs_of(
    totals: pl.DataFrame, levels: Sequence[str], names: Mapping[str, str], models: Mapping[str, str]
) -> list[Slab]:
    """Return the slabs of a frame of totals by one or two levels, dearest first; `names` are for calls without one.

    `models` has the colours of models.
    """
    known = totals.filter(pl.col("cost_usd") > 0)
    whole = sum(known["cost_usd"], Decimal(0))
    found: list[Slab] = []
    first = _parts(known, levels[0], whole)
    place = 0.0
    for rank, (values, cost, calls) in enumerate(first):
        size = float(cost / whole)
        colour = _colour(levels[0], values, models, _RAMP[min(rank, len(_RAMP) - 1)])
        path = tuple(values) if len(values) == 1 else ()
        found.append(Slab(0, place, size, path, _name(values, levels[0], names), cost, calls, colour, whole))
        if path and len(levels) > 1:
            paler = _PALER[min(rank, len(_PALER) - 1)]
            inside = known.filter(pl.col(levels[0]).fill_null("") == values[0])
            found += _inside(inside, levels[1], found[-1], whole, names, models, paler)
        place += size
    return found


def _inside(
    part: pl.DataFrame,
    level: str,
    parent: Slab,
    whole: Decimal,
    names: Mapping[str, str],
    models: Mapping[str, str],
    paler: str,
) -> Iterator[Slab]:
    place = parent.start
    for values, cost, calls in _parts(part, level, whole):
        size = float(cost / whole)
        path = (*parent.path, values[0]) if len(values) == 1 else ()
        colour = _colour(level, values, models, paler)
        yield Slab(1, place, size, path, _name(values, level, names), cost, calls, colour, parent.cost_usd)
        place += size


def _parts(frame: pl.DataFrame, level: str, whole: Decimal) -> list[tuple[list[str], Decimal, int]]:
    """Return values with their cost and calls, dearest first; those too small to be told apart as one, at the end."""
    summed = frame.group_by(pl.col(level).fill_null("")).agg(pl.col("cost_usd").sum(), pl.col("calls").sum())
    rows = summed.sort("cost_usd", level, descending=[True, False]).rows()
    large = [([value], cost, calls) for value, cost, calls in rows if cost >= whole * _SMALLEST]
    small = rows[len(large) :]
    if not small:
        return large
    rest = sum((cost for _, cost, _ in small), Decimal(0))
    return [*large, ([value for value, _, _ in small], rest, sum(calls for _, _, calls in small))]


def _colour(level: str, values: Sequence[str], models: Mapping[str, str], other: str) -> str:
    if len(values) > 1 or not values[0]:
        return PALE if len(values) > 1 else GREY
    return models.get(values[0], BLUE) if level == "model" else other


def _name(values: Sequence[str], level: str, names: Mapping[str, str]) -> str:
    return (values[0] or names[level]) if len(values) == 1 else f"{len(values)} more {level}s"


def _words(slab: Slab, whole: Decimal) -> str:
    if slab.size * _HEIGHT_PX < _TEXT_PX:
        return ""
    return f"{figure_text(slab.name, _LONGEST)}  {usd(slab.cost_usd)} · {share(slab.cost_usd, whole)}"


def _ink(colour: str) -> str:
    """Return the colour of words on another: by its luminance (WCAG 2), white or dark."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return WHITE if luminance < 0.18 else DARK


def _hover(slab: Slab, levels: Sequence[str], whole: Decimal) -> str:
    lines = [
        f"<b>{figure_text(slab.name)}</b>",
        f"<b>{usd_exact(slab.cost_usd)}</b> · {share(slab.cost_usd, whole)} of the total",
        many(slab.calls, "call"),
    ]
    if slab.level:
        lines.insert(2, f"{share(slab.cost_usd, slab.above)} of its {levels[0]}")
    return "<br>".join(lines)

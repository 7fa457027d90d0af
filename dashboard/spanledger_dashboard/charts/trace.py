"""One trace: what was paid for, and how its history grew; `waterfall` has its steps."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import plotly.graph_objects as go

from spanledger_analytics.parts import Part
from spanledger_analytics.resent import CallInput, Resent
from spanledger_dashboard.format import count, figure_text, share, usd, usd_exact

from .colours import BLUE, DARK, GREEN, GREY, ORANGE, PALE, SKY, VERMILLION, WHITE
from .layout import GRID, add_beside, base

_MOST_LYING: Final = 12
_MOST_BARS: Final = 150
_PALE_PARTS: Final = frozenset({"cache read", "output"})
"""Those whose colour needs dark words on it."""
PART_COLOURS: Final = {
    "input, uncached": BLUE,
    "cache read": SKY,
    "cache write": GREEN,
    "output": ORANGE,
    "reasoning": VERMILLION,
    "searches and fees": GREY,
}


def twin_figure(parts: Sequence[Part]) -> go.Figure:
    """Draw each part's share of the tokens above its share of the cost."""
    figure = base(150, margin={"l": 4, "r": 8, "t": 8, "b": 4}, bargap=0.28)
    tokens = sum(part.tokens for part in parts)
    cost = sum((part.cost_usd for part in parts), Decimal(0))
    for part in parts:
        shares = [part.tokens / tokens * 100 if tokens else 0, float(part.cost_usd / cost) * 100 if cost else 0]
        figure.add_bar(
            name=part.name,
            y=["tokens", "cost"],
            x=shares,
            orientation="h",
            marker={"color": PART_COLOURS[part.name], "line": {"width": 0}},
            text=[f"{value:.0f} %" if value >= 5 else "" for value in shares],
            textposition="inside",
            insidetextanchor="middle",
            insidetextfont={"color": DARK if part.name in _PALE_PARTS else WHITE},
            textangle=0,
            customdata=[[f"{part.tokens:,} tokens"], [usd_exact(part.cost_usd)]],
            hovertemplate=f"<b>{part.name}</b><br>%{{customdata[0]}} · %{{x:.1f}} %<extra></extra>",
        )
    figure.update_layout(
        xaxis={"visible": False, "range": [0, 100]}, yaxis={"autorange": "reversed", "showgrid": False}
    )
    return figure


def history_figure(split: Resent) -> go.Figure:
    """Draw each call's input as new text and re-sent history, with its output, by start.

    A few calls lie below each other with their cost; many stand side by side, where growth shows. Hundreds become
    areas, which a browser draws much faster than bars.
    """
    if len(split.calls) > _MOST_BARS:
        return _history_areas(split)
    numbers = list(range(1, len(split.calls) + 1))
    lying = len(numbers) <= _MOST_LYING
    figure = base(34 * len(numbers) + 56 if lying else 340, bargap=0.3 if lying else 0.02)
    for name, colour, tokens in _series(split):
        figure.add_bar(
            name=name,
            x=tokens if lying else numbers,
            y=numbers if lying else tokens,
            orientation="h" if lying else "v",
            marker={"color": colour, "line": {"width": 0}},
            customdata=[[number, _call_hover(call)] for number, call in zip(numbers, split.calls, strict=True)],
            hovertemplate=f"<b>call %{{customdata[0]}}</b> · {name}: %{{{'x' if lying else 'y'}:,}} tokens"
            "<br>%{customdata[1]}<extra></extra>",
        )
    if lying:
        _add_call_costs(figure, split, numbers)
    else:
        figure.update_layout(xaxis={"title": {"text": "call"}}, yaxis={"title": {"text": "tokens"}})
    return figure


def _history_areas(split: Resent) -> go.Figure:
    """Draw the same as areas above each other; the whole call is told where the pointer is."""
    figure = base(340, hovermode="x")
    told = {
        "customdata": [_call_hover(call) for call in split.calls],
        "hovertemplate": "<b>call %{x}</b><br>%{customdata}<extra></extra>",
    }
    for place, (name, colour, tokens) in enumerate(_series(split)):
        figure.add_scatter(
            name=name,
            x=list(range(1, len(tokens) + 1)),
            y=tokens,
            mode="lines",
            line={"width": 0, "shape": "hvh", "color": colour},
            fillcolor=colour,
            stackgroup="tokens",
            **({"hoverinfo": "skip"} if place else told),
        )
    figure.update_layout(xaxis={"title": {"text": "call"}}, yaxis={"title": {"text": "tokens"}})
    return figure


def _series(split: Resent) -> tuple[tuple[str, str, list[int]], ...]:
    """Return what is stacked for each call: name, colour, tokens of each call."""
    return (
        ("new text", GREEN, [call.new_tokens for call in split.calls]),
        ("history, sent again", VERMILLION, [call.resent_tokens for call in split.calls]),
        ("output", PALE, [call.output_tokens for call in split.calls]),
    )


def _add_call_costs(figure: go.Figure, split: Resent, numbers: list[int]) -> None:
    ends = [call.input_tokens + call.output_tokens for call in split.calls]
    add_beside(figure, ends, numbers, [f"  {usd(call.cost_usd, 4)}" for call in split.calls])
    figure.update_layout(
        xaxis={"range": [0, max(ends, default=1) * 1.14], "showgrid": True, "gridcolor": GRID},
        yaxis={
            "range": [len(numbers) + 0.5, 0.5],
            "tickvals": numbers,
            "ticktext": [f"call {number}" for number in numbers],
            "showgrid": False,
        },
    )


def _call_hover(call: CallInput) -> str:
    part = "" if call.cost_usd is None else f"; {share(call.resent_usd, call.cost_usd)} of it for history"
    return (
        f"{figure_text(call.model)}: {count(call.input_tokens)} in, {count(call.output_tokens)} out, "
        f"{usd_exact(call.cost_usd)}{part}"
    )

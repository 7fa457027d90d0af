"""One trace: when each step ran and what it cost, what was paid for, and how its history grew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import plotly.graph_objects as go

from spanledger_analytics.parts import Part
from spanledger_analytics.resent import CallInput, Resent
from spanledger_analytics.tree import Node, is_charged
from spanledger_dashboard.format import count, duration, figure_text, many, share, usd, usd_exact

from .colours import BLUE, DARK, GREEN, GREY, ORANGE, PALE, RED, SKY, VERMILLION, WHITE
from .layout import CLEAR, GRID, add_hit_rows, base

_NAMES: Final = (0.0, 0.30)
_TIME: Final = (0.31, 0.80)
_MONEY: Final = (0.82, 1.0)
_DENSE: Final = 60
"""Spans above which rows are drawn narrower."""
_MOST_INDENT: Final = 12
_MOST_LYING: Final = 12
_TOP: Final = {
    "side": "top",
    "anchor": "y",
    "gridcolor": GRID,
    "showgrid": False,
    "zeroline": False,
    "fixedrange": True,
}
"""An axis over a column of the waterfall."""
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


def waterfall_figure(nodes: Sequence[Node], colours: Mapping[str, str], picked: str | None) -> go.Figure:
    """Draw the tree of spans: name on the left, time in the middle, cost on the right.

    A click's `customdata[0]` is the span id; the picked span's row is tinted, failed spans have a red edge.
    """
    row_height = 26 if len(nodes) <= _DENSE else 18
    margin = {"l": 4, "r": 4, "t": 32, "b": 4}
    height = row_height * len(nodes) + margin["t"] + margin["b"]
    figure = base(height, bargap=0.34, barmode="overlay", showlegend=False, margin=margin)
    places = list(range(len(nodes)))
    spans = (
        ("x", _add_names(figure, nodes, places)),
        ("x2", _add_times(figure, nodes, places, colours)),
        ("x3", _add_costs(figure, nodes, places)),
    )
    ids, hovers = [str(node.span["span_id"]) for node in nodes], [_hover(node) for node in nodes]
    for axis, span in spans:
        add_hit_rows(figure, ids, hovers, axis, span)
    if picked in ids:
        place = ids.index(picked)
        figure.add_shape(
            type="rect", xref="paper", x0=0, x1=1, y0=place - 0.5, y1=place + 0.5,
            fillcolor=SKY, opacity=0.2, line_width=0, layer="below",
        )  # fmt: skip
    figure.update_yaxes(range=[len(nodes) - 0.5, -0.5], visible=False)
    return figure


def _add_names(figure: go.Figure, nodes: Sequence[Node], places: list[int]) -> tuple[float, float]:
    depths = [min(node.depth, _MOST_INDENT) for node in nodes]
    figure.add_scatter(
        x=depths,
        y=places,
        mode="text",
        text=[_label(node) for node in nodes],
        textposition="middle right",
        hoverinfo="skip",
    )
    span = (-0.1, max(14.0, max(depths, default=0) * 1.6))
    figure.update_layout(xaxis={"domain": _NAMES, "range": span, "visible": False, "fixedrange": True})
    return span


def _add_times(
    figure: go.Figure, nodes: Sequence[Node], places: list[int], colours: Mapping[str, str]
) -> tuple[float, float]:
    whole = max((node.offset_us + node.duration_us for node in nodes), default=1) or 1
    unit, name = (1e6, "s") if whole >= 2e6 else (1e3, "ms")
    failed = [node.span["status"] == "error" for node in nodes]
    figure.add_bar(
        # A span of no length still gets a visible mark.
        x=[max(node.duration_us, whole // 400) / unit for node in nodes],
        base=[node.offset_us / unit for node in nodes],
        y=places,
        orientation="h",
        xaxis="x2",
        marker={
            "color": [_colour(node, colours) for node in nodes],
            "line": {
                "color": [RED if each else CLEAR for each in failed],
                "width": [2 if each else 0 for each in failed],
            },
        },
        hoverinfo="skip",
    )
    span = (0.0, whole / unit * 1.01)
    figure.update_layout(
        xaxis2={**_TOP, "domain": _TIME, "range": span, "ticksuffix": f" {name}", "nticks": 6, "showgrid": True}
    )
    return span


def _add_costs(figure: go.Figure, nodes: Sequence[Node], places: list[int]) -> tuple[float, float]:
    own = [float(_cost(node) or 0) if is_charged(node.span) else 0.0 for node in nodes]
    figure.add_bar(
        x=own,
        y=places,
        orientation="h",
        xaxis="x3",
        marker={"color": ORANGE, "opacity": 0.55},
        text=[_gutter(node) for node in nodes],
        textposition="outside",
        constraintext="none",
        cliponaxis=False,
        hoverinfo="skip",
    )
    span = (0.0, (max(own, default=0.0) or 1.0) * 1.9)
    figure.update_layout(
        xaxis3={
            **_TOP,
            "domain": _MONEY,
            "range": span,
            "tickvals": [0],
            "ticktext": ["cost"],
            "ticklabelposition": "outside right",
        }
    )
    return span


def _cost(node: Node) -> Decimal | None:
    cost = node.span["cost_usd"]
    return cost if isinstance(cost, Decimal) else None


def _gutter(node: Node) -> str:
    if is_charged(node.span):
        return usd(_cost(node))
    if node.calls > 0:
        return f"Σ {usd(node.cost_usd)}"
    return ""


def _label(node: Node) -> str:
    mark = {"inference": "", "tool": "⚙ ", "agent": "◆ "}.get(str(node.span["role"]), "")
    failed = "✕ " if node.span["status"] == "error" else ""
    room = max(14, 36 - 2 * min(node.depth, _MOST_INDENT))
    return failed + mark + figure_text(str(node.span["name"] or "(no name)"), room)


def _colour(node: Node, colours: Mapping[str, str]) -> str:
    if node.span["role"] == "inference":
        return colours.get(str(node.span["model"] or ""), BLUE)
    return GREY if node.span["role"] == "tool" else PALE


def _hover(node: Node) -> str:
    span = node.span
    lines = [
        f"<b>{figure_text(str(span['name'] or '(no name)'))}</b>",
        f"starts at {duration(node.offset_us)} · takes {duration(node.duration_us)}",
    ]
    if is_charged(span):
        lines.append(f"<b>{usd_exact(_cost(node))}</b> · {figure_text(str(span['model'] or ''))}")
        if _cost(node) is None:
            lines.append(f"unpriced: {figure_text(str(span['unpriced_reason'] or 'unknown'))}")
        lines.append(f"{span['input_tokens'] or 0:,} tokens in · {span['output_tokens'] or 0:,} out")
    elif node.calls:
        lines.append(f"<b>{usd_exact(node.cost_usd)}</b> in {many(node.calls, 'call')} below")
    if span["status"] == "error":
        lines.append(f"failed: {figure_text(str(span['error_type'] or span['status_message'] or 'error'))}")
    return "<br>".join(lines)


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

    A few calls lie below each other with their cost; many stand side by side, where growth shows.
    """
    series = (
        ("new text", GREEN, [call.new_tokens for call in split.calls]),
        ("history, sent again", VERMILLION, [call.resent_tokens for call in split.calls]),
        ("output", PALE, [call.output_tokens for call in split.calls]),
    )
    numbers = list(range(1, len(split.calls) + 1))
    lying = len(numbers) <= _MOST_LYING
    figure = base(34 * len(numbers) + 56 if lying else 340, bargap=0.3 if lying else 0.02)
    for name, colour, tokens in series:
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


def _add_call_costs(figure: go.Figure, split: Resent, numbers: list[int]) -> None:
    ends = [call.input_tokens + call.output_tokens for call in split.calls]
    figure.add_scatter(
        x=ends,
        y=numbers,
        mode="text",
        text=[f"  {usd(call.cost_usd, 4)}" for call in split.calls],
        textposition="middle right",
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
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
    return (
        f"{figure_text(call.model)}: {count(call.input_tokens)} in, {count(call.output_tokens)} out, "
        f"{usd_exact(call.cost_usd)}; {share(call.resent_usd, call.cost_usd)} of it for history"
    )

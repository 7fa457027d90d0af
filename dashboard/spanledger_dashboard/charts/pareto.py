"""Who makes most of the cost: bars by rank, the running share over them, and what is nobody's beside them.

The running share is of what names somebody, as the 80/20 line of the report on concentration is: nobody's money would
look like one big spender.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from spanledger_analytics.reports.concentration import needed, pico
from spanledger_dashboard.format import figure_text, many, share, usd_exact

from .colours import BLUE, GREY, ORANGE, PALE
from .layout import add_hit_columns, base

MOST_BARS: Final = 60
"""Ranks with a bar of their own; what is left is one."""
_MOST_NAMED: Final = 14
"""Bars that have room for their names."""
_WIDEST: Final = 0.82
"""Part of its column that a bar takes up; less where there are few."""
_COLUMNS: Final = 9
_APART: Final = 4
"""Ranks before nobody's bar that have no room for a number."""
_LINE: Final = 80
"""Percent."""
_TICK: Final = 20


@dataclass(frozen=True, slots=True)
class Pareto:
    """Cost by rank."""

    by: str
    ranked: pl.DataFrame
    """Rows of the report on concentration that name one and have a price, dearest first."""
    nobody: dict[str, Any] | None
    """Its row of calls that name none."""
    needed: int
    """How many of the dearest make 80 %."""
    whole_usd: Decimal
    """Cost of all that names one."""
    needed_usd: Decimal

    @property
    def is_named(self) -> bool:
        """Whether bars have names rather than ranks."""
        return self.ranked.height <= _MOST_NAMED


def pareto(found: pl.DataFrame, by: str) -> Pareto:
    """Return what there is to tell of a report on concentration by one dimension."""
    ranked = found.filter(pl.col("rank").is_not_null() & pl.col("cost_usd").is_not_null())
    nobody = found.filter(pl.col("rank").is_null() & pl.col("cost_usd").is_not_null())
    count = needed(pico(ranked))
    return Pareto(
        by,
        ranked,
        nobody.row(0, named=True) if nobody.height else None,
        count,
        sum(ranked["cost_usd"], Decimal(0)),
        sum(ranked["cost_usd"][:count], Decimal(0)),
    )


def pareto_figure(told: Pareto) -> go.Figure:
    """Draw it; a click's `customdata[0]` is a JSON list of the value (empty: nobody's), or empty over many."""
    shown, rest = told.ranked.head(MOST_BARS), told.ranked.slice(MOST_BARS)
    figure = base(400, barmode="overlay", showlegend=False, margin={"l": 4, "r": 4, "t": 16, "b": 4})
    rows = list(shown.iter_rows(named=True))
    bars = [float(row["cost_usd"]) for row in rows]
    colours = [BLUE if place < told.needed else PALE for place in range(len(rows))]
    ids, hovers = [json.dumps([row[told.by]]) for row in rows], [_hover(row, told) for row in rows]
    if rest.height:
        bars.append(float(sum(rest["cost_usd"], Decimal(0))))
        colours.append(PALE)
        ids.append("")
        hovers.append(_rest_hover(rest, told))
    running = _running(bars)
    if told.nobody is not None:
        bars.append(float(told.nobody["cost_usd"]))
        colours.append(GREY)
        ids.append(json.dumps([""]))
        hovers.append(_nobody_hover(told.nobody, told))
    places = list(range(len(bars)))
    width = min(_WIDEST, len(bars) / _COLUMNS)
    figure.add_bar(x=places, y=bars, width=width, marker={"color": colours, "line": {"width": 0}}, hoverinfo="skip")
    _add_running(figure, running, told)
    add_hit_columns(figure, places, ids, hovers)
    figure.update_layout(yaxis={"tickprefix": "$", "rangemode": "tozero", "nticks": 6})
    figure.update_xaxes(range=[-0.6, len(bars) - 0.4], **_ticks(told, rows, rest.height))
    return figure


def _add_running(figure: go.Figure, running: Sequence[float], told: Pareto) -> None:
    figure.add_scatter(
        x=list(range(len(running))),
        y=running,
        yaxis="y3",
        mode="lines+markers" if told.is_named else "lines",
        line={"color": ORANGE, "width": 2},
        marker={"size": 6},
        hoverinfo="skip",
    )
    if 0 < told.needed <= len(running):
        figure.add_scatter(
            x=[told.needed - 1],
            y=[running[told.needed - 1]],
            yaxis="y3",
            mode="markers",
            marker={"color": ORANGE, "size": 11},
            hoverinfo="skip",
        )
    figure.add_shape(
        type="line",
        xref="paper",
        x0=0,
        x1=1,
        yref="y3",
        y0=_LINE,
        y1=_LINE,
        line={"color": GREY, "width": 1, "dash": "dot"},
    )
    figure.update_layout(
        yaxis3={
            "overlaying": "y",
            "side": "right",
            "range": [0, 104],
            "tickmode": "linear",
            "dtick": _TICK,
            "ticksuffix": " %",
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
            "fixedrange": True,
        }
    )


def _running(costs: Sequence[float]) -> list[float]:
    whole, sums, so_far = sum(costs) or 1.0, [], 0.0
    for cost in costs:
        so_far += cost
        sums.append(so_far / whole * 100)
    return sums


def _ticks(told: Pareto, rows: Sequence[dict[str, Any]], rest: int) -> dict[str, Any]:
    """Return names, or every tenth rank where there are many; nobody's is named in any case."""
    nobody = [(len(rows) + bool(rest), "none")] if told.nobody is not None else []
    if told.is_named:
        ticks = [(place, figure_text(row[told.by], 16)) for place, row in enumerate(rows)]
        return _written([*ticks, *nobody])
    clear = len(rows) - (_APART if nobody else 0)
    ranks = [(place, f"{place + 1}") for place in range(clear) if place == 0 or (place + 1) % 10 == 0]
    return _written([*ranks, *nobody]) | {"tickangle": 0}


def _written(ticks: Sequence[tuple[int, str]]) -> dict[str, Any]:
    return {"tickvals": [place for place, _ in ticks], "ticktext": [text for _, text in ticks]}


def _hover(row: dict[str, Any], told: Pareto) -> str:
    lines = [
        f"<b>{figure_text(row[told.by])}</b>, rank {row['rank']:,} of {told.ranked.height:,}",
        f"<b>{usd_exact(row['cost_usd'])}</b> · {share(row['cost_usd'], told.whole_usd)} of what names a {told.by}",
        many(row["calls"], "call"),
    ]
    return "<br>".join([*lines, *_doubts(row)])


def _rest_hover(rest: pl.DataFrame, told: Pareto) -> str:
    cost = sum(rest["cost_usd"], Decimal(0))
    return f"<b>{many(rest.height, f'more {told.by}')}</b><br><b>{usd_exact(cost)}</b> · {share(cost, told.whole_usd)}"


def _nobody_hover(row: dict[str, Any], told: Pareto) -> str:
    whole = told.whole_usd + row["cost_usd"]
    lines = [
        f"<b>names no {told.by}</b>",
        f"<b>{usd_exact(row['cost_usd'])}</b> · {share(row['cost_usd'], whole)} of all that was spent",
        many(row["calls"], "call"),
    ]
    return "<br>".join([*lines, *_doubts(row)])


def _doubts(row: dict[str, Any]) -> list[str]:
    return [
        f"{many(row[name], 'call')} {words}"
        for name, words in (("unpriced_calls", "without a price"), ("estimated_calls", "with estimated tokens"))
        if row[name]
    ]

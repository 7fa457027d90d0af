"""What rose and what fell: bars to either side of nothing, with what moved them written beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from spanledger_analytics.reports.decomposition import PARTS
from spanledger_dashboard.format import change, figure_text, usd, usd_exact

from .colours import BLUE, GREY, VERMILLION
from .layout import add_hit_rows, base

CAUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "volume_usd": "number of calls",
        "price_usd": "prices",
        "mix_usd": "mix of models",
        "input_usd": "input per call",
        "output_usd": "output per call",
        "cache_usd": "share cached",
        "other_usd": "other charges",
    }
)
"""Part of a change to the words for it."""
_ROW_PX: Final = 32
_ROOM: Final = 0.55
"""Of the longest bar, kept free on a side for words."""


@dataclass(frozen=True, slots=True)
class Move:
    """One bar."""

    id: str
    """Handed to whoever clicks it."""
    name: str
    """Plain text."""
    row: Mapping[str, Any]
    """Of the report on movers; its change_usd is known."""

    @property
    def change_usd(self) -> Decimal:
        """Up or down."""
        return Decimal(self.row["change_usd"])


def moves_of(frame: pl.DataFrame, dimension: str, nameless: str, most: int) -> list[Move]:
    """Return the largest changes of a report on movers by one dimension; unknown and absent ones are left out."""
    known = frame.filter(pl.col("change_usd").is_not_null() & (pl.col("change_usd") != 0)).head(most)
    return [Move(row[dimension] or "", row[dimension] or nameless, row) for row in known.iter_rows(named=True)]


def movers_figure(moves: Sequence[Move]) -> go.Figure:
    """Draw changes, largest first; a click's `customdata[0]` is the id."""
    figure = base(_ROW_PX * len(moves) + 16, bargap=0.36, barmode="overlay")
    costs = [float(move.change_usd) for move in moves]
    figure.add_bar(
        y=list(range(len(moves))),
        x=costs,
        orientation="h",
        marker={"color": [VERMILLION if cost > 0 else BLUE for cost in costs]},
        text=[_beside(move) for move in moves],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
    span = _span(costs)
    add_hit_rows(figure, [move.id for move in moves], [_hover(move) for move in moves], "x", span)
    figure.update_layout(
        xaxis={"showticklabels": False, "range": span, "zeroline": True, "zerolinecolor": GREY, "zerolinewidth": 1}
    )
    figure.update_yaxes(
        tickvals=list(range(len(moves))),
        ticktext=[figure_text(move.name, 26) for move in moves],
        range=[len(moves) - 0.5, -0.5],
        showgrid=False,
        ticklabelstandoff=8,
    )
    return figure


def cause(move: Move) -> str:
    """Name the part that most of a change is."""
    if move.row["state"] != "both":
        return str(move.row["state"])
    sign = 1 if move.change_usd > 0 else -1
    return CAUSES[max(PARTS, key=lambda part: sign * Decimal(move.row[part]))]


def signed(amount: Decimal) -> str:
    """Write an amount with its sign."""
    return f"{'+' if amount > 0 else ''}{usd(amount)}"


def _span(costs: Sequence[float]) -> tuple[float, float]:
    low, high = min(*costs, 0.0, 0.0), max(*costs, 0.0, 0.0)
    room = max(high, -low) * _ROOM or 1.0
    return (low - room if low else 0.0), (high + room if high else 0.0)


def _beside(move: Move) -> str:
    changed = change(move.row["cost_usd"], move.row["cost_before_usd"]) if move.row["state"] == "both" else None
    return "  ·  ".join(part for part in (signed(move.change_usd), changed, cause(move)) if part)


def _hover(move: Move) -> str:
    row = move.row
    lines = [
        f"<b>{figure_text(move.name)}</b>",
        f"<b>{usd_exact(row['cost_usd'])}</b>, before {usd_exact(row['cost_before_usd'])}",
    ]
    parts = sorted(CAUSES, key=lambda part: -abs(Decimal(row[part])))
    lines += [f"{CAUSES[part]}  {signed(Decimal(row[part]))}" for part in parts if row[part]]
    return "<br>".join(lines)

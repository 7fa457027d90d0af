"""How much of each budget is spent and held: lying bars up to what may be spent, with marks where something is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go

from spanledger.guard.decisions import exact
from spanledger.guard.store import Unit
from spanledger_analytics.controls.balances import BudgetBalance
from spanledger_dashboard.format import figure_text, share_used, usd, visible

from .colours import BLUE, BROWN, GREY, OLIVE, ORANGE, PURPLE, SKY, VERMILLION
from .layout import add_beside, add_hit_rows, base

_ROW_PX: Final = 34
_ROOM: Final = 1.9
"""Width of the figure, for bars that end at 1 and the words beside them."""
_LONGEST: Final = 1.08
"""A bar of more than the budget ends here."""
_COLOURS: Final = {
    "ok": BLUE,
    "warn": OLIVE,
    "throttle": PURPLE,
    "degrade": ORANGE,
    "defer": BROWN,
    "block": VERMILLION,
}
"""By what is done to the next call, the mildest first."""
_IN_SHADOW: Final = 0.45
_LEGEND_PX: Final = 26
DONE: Final = {
    "warn": "warned of",
    "throttle": "slowed down",
    "degrade": "answered by a cheaper model",
    "defer": "put off",
    "block": "refused",
}
"""Action to what becomes of calls."""
_SHORT: Final = {**DONE, "ok": "room left", "degrade": "cheaper model"}
"""The same in few words, for what stands beside a bar and explains its colour."""


def holds_figure(rows: Sequence[BudgetBalance]) -> go.Figure:
    """Draw budgets that have an account, in the order given."""
    legend_px = _LEGEND_PX if any(one.held for one in rows) or {one.state for one in rows} != {"ok"} else 0
    figure = base(_ROW_PX * len(rows) + 24 + legend_px, bargap=0.45, barmode="overlay")
    places = list(range(len(rows)))
    spent = [min(_LONGEST, _part(one.spent, one)) for one in rows]
    held = [max(0.0, min(_LONGEST - most, _part(one.held, one))) for one, most in zip(rows, spent, strict=True)]
    for state in _COLOURS:
        _add_spent(figure, state, [(place, spent[place], one) for place, one in enumerate(rows) if one.state == state])
    figure.add_bar(
        name="held by calls under way",
        y=places,
        x=held,
        base=spent,
        orientation="h",
        marker={"color": SKY, "pattern": {"shape": "/", "size": 6, "fgopacity": 0.5}, "line": {"width": 0}},
        hoverinfo="skip",
        showlegend=any(held),
    )
    figure.update_layout(showlegend=legend_px > 0)
    for place, one in enumerate(rows):
        for threshold in one.budget.at:
            _add_mark(figure, place, float(threshold.share))
    ends = [max(1.0, most + more) + 0.02 for most, more in zip(spent, held, strict=True)]
    add_beside(figure, ends, places, [figure_text(beside(one)) for one in rows])
    figure.update_layout(xaxis={"visible": False, "range": [0, _ROOM]})
    add_hit_rows(figure, [str(place) for place in places], [_hover(one) for one in rows], "x", (0.0, _ROOM))
    figure.update_yaxes(
        tickvals=places,
        ticktext=[figure_text(_label(one)) for one in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        ticklabelstandoff=8,
    )
    return figure


def amount_words(amount: int | None, unit: Unit) -> str:
    """Write nano-dollars, tokens or calls as all pages do."""
    return usd(exact(amount or 0, unit)) if unit == "usd" else f"{amount or 0:,} {unit}"


def name_of(one: BudgetBalance) -> str:
    """Name an account: the budget, and whose it is where there are several."""
    exact = all(value is not None for _, _, value, _ in one.budget.match.keys)
    whose = "" if exact else f", {one.scope}"
    session = f", {one.window.removeprefix('session:')}" if one.budget.per == "session" else ""
    return f"{one.budget.name}{whose}{session}"


def _label(one: BudgetBalance) -> str:
    """Name an account in little room: the end of what tells it from others of its budget."""
    name, whose = one.budget.name, name_of(one).removeprefix(one.budget.name)
    return visible(name, 30) if not whose else f"{visible(name, 18)}, …{visible(whose[-12:], 12)}"


def beside(one: BudgetBalance) -> str:
    """Say what part is used of how much, and what is done about it."""
    done = "" if one.state == "ok" else f", {_SHORT[one.state]}{' in shadow' if one.budget.shadow else ''}"
    return f"{share_used(one.used, one.budget.cap)} of {amount_words(one.budget.cap, one.budget.unit)}{done}"


def _part(amount: int | None, one: BudgetBalance) -> float:
    """Money becomes a float here, where it becomes a length."""
    return (amount or 0) / one.budget.cap


def _add_spent(figure: go.Figure, state: str, rows: Sequence[tuple[int, float, BudgetBalance]]) -> None:
    """Draw what is spent of accounts that do the same to the next call; pale where it is done in shadow."""
    if not rows:
        return
    opacity = [_IN_SHADOW if one.budget.shadow and state != "ok" else 1 for *_, one in rows]
    figure.add_bar(
        name=_SHORT[state],
        y=[place for place, *_ in rows],
        x=[length for _, length, _ in rows],
        orientation="h",
        marker={"color": _COLOURS[state], "opacity": opacity, "line": {"width": 0}},
        hoverinfo="skip",
    )


def _add_mark(figure: go.Figure, place: int, share: float) -> None:
    figure.add_shape(
        type="line",
        x0=min(share, _LONGEST),
        x1=min(share, _LONGEST),
        y0=place - 0.42,
        y1=place + 0.42,
        line={"color": GREY, "width": 2},
    )


def _hover(one: BudgetBalance) -> str:
    unit = one.budget.unit
    lines = [
        f"<b>{figure_text(name_of(one), 60)}</b>",
        f"{amount_words(one.spent, unit)} spent, {amount_words(one.held, unit)} held"
        f" of {amount_words(one.budget.cap, unit)}",
    ]
    lines += [
        f"at {float(threshold.share * 100):g} %: {DONE.get(threshold.action, threshold.action)}"
        for threshold in one.budget.at
    ]
    if one.flagged:
        lines.append(f"{amount_words(one.flagged, unit)} of it by estimate: nobody came to settle it")
    return "<br>".join(lines)

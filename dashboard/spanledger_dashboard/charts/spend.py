"""Spend over time, models stacked: days, and the hours of a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from spanledger_dashboard.format import day_name, figure_text, hour_name, many, share, usd, usd_exact

from .colours import GREY
from .layout import add_hit_columns, base, keep_margins

MOST_MODELS: Final = 8
"""Series in one chart; what is left is "other"."""
OTHER: Final = "other"
NO_MODEL: Final = "(no model)"
_MOST_NAMED: Final = 6
"""Models in a hover."""
_LONGEST_MONEY: Final = "$00000"
"""What is written at the axis: plotly writes thousands as k."""


def days_figure(
    days: pl.DataFrame,
    by_model: pl.DataFrame,
    colours: Mapping[str, str],
    first: date,
    last: date,
    today: date,
) -> go.Figure:
    """Draw cost by day with models stacked (frames `days` and `days_by_model`); today is hatched."""
    places = [first + timedelta(days=step) for step in range((last - first).days + 1)]
    labels = [f"{place:%Y-%m-%d}" for place in places]
    figure = base(360)
    _stack(figure, by_model, "dt", places, labels, colours, {today})
    totals = {row["dt"]: row for row in days.iter_rows(named=True)}
    models = _dearest_models(by_model, "dt")
    hovers = [
        _hover(
            f"{day_name(place)}{' so far' if place == today else ''}",
            totals.get(place),
            models.get(place, []),
        )
        for place in places
    ]
    add_hit_columns(figure, labels, labels, hovers)
    _money_axis(figure)
    figure.update_xaxes(type="date", tickformat="%-d %b", range=_padded(places))
    keep_margins(figure, [_LONGEST_MONEY])
    return figure


def hours_figure(
    hours: pl.DataFrame,
    by_model: pl.DataFrame,
    before: pl.DataFrame,
    before_name: str,
    colours: Mapping[str, str],
    current_hour: int | None,
) -> go.Figure:
    """Draw cost by hour with models stacked; `before` is the same weekday a week earlier, as a line."""
    places = list(range(24))
    figure = base(360)
    current = set() if current_hour is None else {current_hour}
    _stack(figure, by_model, "hour", places, places, colours, current)
    if before.height:
        costs = {row["hour"]: _pixels(row["cost_usd"]) for row in before.iter_rows(named=True)}
        figure.add_scatter(
            name=before_name,
            x=places,
            y=[costs.get(place, 0) for place in places],
            mode="lines",
            line={"dash": "dot", "width": 2, "color": GREY, "shape": "hvh"},
            hoverinfo="skip",
        )
    totals = {row["hour"]: row for row in hours.iter_rows(named=True)}
    past = {row["hour"]: row["cost_usd"] for row in before.iter_rows(named=True)}
    models = _dearest_models(by_model, "hour")
    hovers = [
        _hover(
            f"{hour_name(place)} UTC{' so far' if place in current else ''}",
            totals.get(place),
            models.get(place, []),
            f"<br>{before_name}: {usd(past.get(place, Decimal(0)))}" if before.height else "",
        )
        for place in places
    ]
    add_hit_columns(figure, places, [str(place) for place in places], hovers)
    _money_axis(figure)
    figure.update_xaxes(tickvals=places[::2], ticktext=[f"{place:02d}:00" for place in places[::2]], range=[-0.6, 23.6])
    keep_margins(figure, [_LONGEST_MONEY])
    return figure


def _stack(
    figure: go.Figure,
    by_model: pl.DataFrame,
    column: str,
    places: Sequence[object],
    labels: Sequence[object],
    colours: Mapping[str, str],
    unfinished: set[Any],
) -> None:
    order = by_model.group_by("model").agg(pl.col("cost_usd").sum()).sort("cost_usd", "model", descending=[True, False])
    models = [model for model, cost in order.iter_rows() if cost]
    shown = models[:MOST_MODELS] if len(models) > MOST_MODELS + 1 else models
    costs: dict[tuple[str, object], float] = {}
    for model, place, cost in by_model.select("model", column, "cost_usd").iter_rows():
        key = (model if model in shown else OTHER, place)
        costs[key] = costs.get(key, 0.0) + _pixels(cost)
    series_shown = [*shown, OTHER] if len(shown) < len(models) else shown
    fill: dict[str, Any] = {"line": {"width": 0}}
    if unfinished:
        hatch = ["/" if place in unfinished else "" for place in places]
        fill["pattern"] = {"shape": hatch, "fillmode": "overlay", "size": 6, "fgopacity": 0.5}
    for series in series_shown:
        figure.add_bar(
            name=figure_text(series, 32) or NO_MODEL,
            x=list(labels),
            y=[costs.get((series, place), 0.0) for place in places],
            marker={"color": colours.get(series, GREY), **fill},
            hoverinfo="skip",
        )


def _dearest_models(by_model: pl.DataFrame, column: str) -> dict[object, list[dict[str, Any]]]:
    """Return the rows of each place whose cost is known and not nothing, dearest first."""
    told = by_model.select(column, "model", "cost_usd").filter(pl.col("cost_usd") > 0)
    rows = told.sort("cost_usd", "model", descending=[True, False])
    found: dict[object, list[dict[str, Any]]] = {}
    for row in rows.iter_rows(named=True):
        found.setdefault(row[column], []).append(row)
    return found


def _hover(title: str, totals: dict[str, Any] | None, models: Sequence[dict[str, Any]], more: str = "") -> str:
    if totals is None:
        return f"<b>{title}</b><br>no calls{more}"
    lines = [
        f"<b>{title}</b>",
        f"<b>{usd_exact(totals['cost_usd'])}</b> · {many(totals['requests'], 'request')} · "
        f"{many(totals['calls'], 'call')}",
    ]
    lines += [
        f"{figure_text(row['model'], 32) or NO_MODEL}  {usd(row['cost_usd'])}"
        f" ({share(row['cost_usd'], totals['cost_usd'])})"
        for row in models[:_MOST_NAMED]
    ]
    if totals["unpriced_calls"]:
        lines.append(f"{many(totals['unpriced_calls'], 'call')} without a price")
    if totals["estimated_calls"]:
        lines.append(f"{usd_exact(totals['estimated_usd'])} of it estimated, {many(totals['estimated_calls'], 'call')}")
    return "<br>".join(lines) + more


def _money_axis(figure: go.Figure) -> None:
    figure.update_layout(
        yaxis={
            "tickprefix": "$",
            "rangemode": "tozero",
            "nticks": 6,
        },
    )


def _padded(places: Sequence[date]) -> list[str]:
    return [f"{places[0] - timedelta(days=1)} 12:00", f"{places[-1]} 12:00"]


def _pixels(cost: Decimal | None) -> float:
    """Money becomes a float here, where it becomes a length."""
    return float(cost or 0)

"""How a budget burns down: what is left of it by the hour, and what will be, with the interval of 80 % as a cone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from spanledger_dashboard.format import day_name, share, usd, usd_exact

from .colours import BLUE, GREY, RED
from .layout import TIMES, base

_HEIGHT_PX: Final = 280
_CONE: Final = "rgba(86, 180, 233, 0.28)"
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Burn:
    """Where a budget stands; moments in the reader's zone, None: not within the period."""

    spent_usd: Decimal
    forecast_usd: Decimal | None
    low_usd: Decimal | None
    high_usd: Decimal | None
    begin: datetime
    end: datetime
    used_up: datetime | None
    """End of the hour by which all of it was spent."""
    early: datetime | None
    expected: datetime | None
    late: datetime | None
    """Ends of the hours by which it will be: if as much is spent as the interval allows, by the forecast, as little."""


def burn_of(frame: pl.DataFrame, budget: Decimal | None) -> Burn | None:
    """Return where a budget stands by the frame of the report `burn-down`; None where nothing has a price."""
    if not frame.height:
        return None
    last, begin = frame.row(-1, named=True), frame["at"][0]
    spent = frame["spent_usd"].drop_nulls().to_list()[-1]
    used_up = _reached(frame, "spent_usd", budget)
    names = ("high_usd", "forecast_usd", "low_usd") if used_up is None else ()
    early, expected, late = [_reached(frame, name, budget) for name in names] or (None, None, None)
    return Burn(
        spent,
        last["forecast_usd"],
        last["low_usd"],
        last["high_usd"],
        begin,
        last["at"],
        used_up,
        early,
        expected,
        late,
    )


def _reached(frame: pl.DataFrame, column: str, budget: Decimal | None) -> datetime | None:
    if budget is None:
        return None
    found = frame.filter(pl.col(column) >= budget)["at"].to_list()
    return found[0] if found else None


def moment_name(moment: datetime, *, is_day: bool) -> str:
    """Name the day of the hour that ends at a moment; within a day the hour itself."""
    return f"{moment:%H:%M}" if is_day else day_name((moment - _INSTANT).date())


def burn_figure(frame: pl.DataFrame, budget: Decimal | None) -> go.Figure:
    """Draw the frame of the report `burn-down`: what is left of a budget; without one what is spent."""
    figure = base(_HEIGHT_PX, hovermode="closest")
    past = frame.filter(pl.col("spent_usd").is_not_null())
    ahead = frame.filter(pl.col("forecast_usd").is_not_null())
    _add_cone(figure, ahead, budget)
    if budget is not None:
        ends = [_local(frame["at"][0]), _local(frame["at"][-1])]
        _add_line(figure, "even pace", ends, [float(budget), 0.0], {"color": GREY, "dash": "dot", "width": 1.5})
    for name, rows, column, line in (
        ("left" if budget is not None else "spent", past, "spent_usd", {"color": BLUE, "width": 3}),
        ("forecast", ahead, "forecast_usd", {"color": BLUE, "dash": "dash", "width": 2}),
    ):
        if rows.height:
            heights = [_height(cost, budget) for cost in rows[column]]
            hovers = [_hover(row, column, budget) for row in rows.to_dicts()]
            _add_line(figure, name, _times(rows), heights, line, hovers)
    figure.update_layout(xaxis=TIMES, yaxis={"tickprefix": "$", "nticks": 6})
    if budget is not None:
        figure.add_shape(
            type="line", xref="paper", x0=0, x1=1, y0=0, y1=0, line={"color": RED, "width": 1.5}, layer="below"
        )
    return figure


def _add_cone(figure: go.Figure, ahead: pl.DataFrame, budget: Decimal | None) -> None:
    for column, more in (("low_usd", {}), ("high_usd", {"fill": "tonexty", "fillcolor": _CONE})):
        figure.add_scatter(
            name="80 % interval",
            x=_times(ahead),
            y=[_height(cost, budget) for cost in ahead[column]],
            mode="lines",
            line={"width": 0},
            hoverinfo="skip",
            showlegend=bool(more) and ahead.height > 0,
            **more,
        )


def _add_line(
    figure: go.Figure,
    name: str,
    times: list[str],
    heights: list[float],
    line: dict[str, Any],
    hovers: list[str] | None = None,
) -> None:
    told = {"hoverinfo": "skip"} if hovers is None else {"customdata": [[hover] for hover in hovers]}
    template = {} if hovers is None else {"hovertemplate": "%{customdata[0]}<extra></extra>"}
    figure.add_scatter(name=name, x=times, y=heights, mode="lines", line=line, **told, **template)


def _times(rows: pl.DataFrame) -> list[str]:
    return [_local(at) for at in rows["at"]]


def _local(at: datetime) -> str:
    """Write a moment as the clock of its zone has it; plotly knows no zones."""
    return f"{at:%Y-%m-%d %H:%M}"


def _height(cost: Decimal, budget: Decimal | None) -> float:
    """Money becomes a float here, where it becomes a length."""
    return float(cost if budget is None else budget - cost)


def _hover(row: dict[str, Any], column: str, budget: Decimal | None) -> str:
    cost = row[column]
    verb = "spent" if column == "spent_usd" else "will be spent"
    lines = [f"<b>{day_name(row['at'].date())} {row['at']:%H:%M}</b>", f"{usd_exact(cost)} {verb}"]
    if column != "spent_usd":
        lines.append(f"80 %: {usd(row['low_usd'])} to {usd(row['high_usd'])}")
    if budget is not None:
        lines.append(f"{usd_exact(budget - cost)} left, {share(cost, budget)} used")
    return "<br>".join(lines)

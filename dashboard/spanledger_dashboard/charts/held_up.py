"""Calls that rules refused, or in shadow would have, and dollars that controls saved: bars over time, stacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from spanledger_analytics.reports.calendar import Period
from spanledger_dashboard.format import day_name, figure_text, many, usd, usd_exact

from .colours import BLUE, GREEN, GREY, ORANGE, SKY
from .layout import add_hit_columns, base

WAYS: Final[Mapping[str, tuple[str, str]]] = {
    "cache": ("response cache", GREEN),
    "step": ("kept steps", "#7CCFB4"),
    "degrade": ("cheaper model, by budget", ORANGE),
    "route": ("cheaper model, by router", BLUE),
}
"""Way of the report `avoided` to its name and colour."""
_RULES: Final = ("#7E57A0", BLUE, ORANGE, GREEN, "#CC79A7", SKY, "#8C6A1A")
MOST_RULES: Final = len(_RULES)
"""Rules that have a colour; what is left is "other rules"."""
OTHER: Final = "other rules"
_HOURS: Final = 3
"""Periods of so many days, at most, are drawn by the hour."""
_HEIGHT_PX: Final = 260
_FEW: Final = 5
"""Calls, each of which has a tick of its own."""
_PALE: Final = 0.4
"""Opacity of what would have been."""


@dataclass(frozen=True, slots=True)
class Times:
    """The places of a time axis, and which of them isn't over."""

    unit: str
    """hour | day: the unit of `by` that reports are asked for."""
    places: tuple[Any, ...]
    current: Any

    def label(self, place: Any) -> str:
        """Name a place as plotly's axis takes it."""
        return f"{place:%Y-%m-%d %H:%M}" if self.unit == "hour" else f"{place:%Y-%m-%d}"

    def name(self, place: Any) -> str:
        """Name a place for a reader."""
        day: date = place.date() if isinstance(place, datetime) else place
        hour = f" {place:%H:%M}" if self.unit == "hour" else ""
        return f"{day_name(day)}{hour}{' so far' if place == self.current else ''}"


def times_of(period: Period, now: datetime) -> Times:
    """Return the hours of a short period up to now, else its days."""
    local = period.calendar.local(now)
    if period.days > _HOURS:
        days = [period.first + timedelta(days=step) for step in range(period.days)]
        return Times("day", tuple(days), local.date())
    hour = timedelta(hours=1)
    count = max(1, -(-(min(period.end, now) - period.begin) // hour))
    hours = [period.calendar.local(period.begin + step * hour) for step in range(count)]
    return Times("hour", tuple(hours), local.replace(minute=0, second=0, microsecond=0))


def rule_colours(rules: Sequence[str]) -> Mapping[str, str]:
    """Give rules their colours, in the order of their names."""
    return dict(zip(sorted(set(rules)), _RULES, strict=False))


def refused_figure(frame: pl.DataFrame, times: Times) -> go.Figure:
    """Draw calls by rule (frame of the report `refusals`, of refusals alone), those in shadow pale."""
    colours = rule_colours([row["rule"] or "" for row in frame.to_dicts()])
    counts: dict[tuple[str, bool], dict[Any, int]] = {}
    for row in frame.to_dicts():
        rule = row["rule"] if row["rule"] in colours else OTHER
        of_rule = counts.setdefault((rule, row["shadow"]), {})
        of_rule[row[times.unit]] = of_rule.get(row[times.unit], 0) + row["calls"]
    figure = base(_HEIGHT_PX)
    order = sorted(counts, key=lambda key: (key[1], -sum(counts[key].values()), key[0]))
    for rule, shadow in order:
        name = f"{figure_text(rule, 32)}{', in shadow' if shadow else ''}"
        values = [counts[rule, shadow].get(place, 0) for place in times.places]
        _add_bars(figure, name, times, values, colours.get(rule, GREY), _PALE if shadow else 1.0)
    hovers = [_refused_hover(times.name(place), place, order, counts) for place in times.places]
    _finish(figure, times, hovers)
    tallest = max((sum(of_rule.get(place, 0) for of_rule in counts.values()) for place in times.places), default=0)
    # There is no half a call: left to itself, an axis up to 1 says 0, 1, 1.
    figure.update_yaxes(rangemode="tozero", nticks=5, tickformat=",d", dtick=1 if tallest <= _FEW else None)
    return figure


def avoided_figure(frame: pl.DataFrame, times: Times) -> go.Figure:
    """Draw dollars that were avoided (frame of the report `avoided`) by way."""
    sums: dict[str, dict[Any, Decimal]] = {}
    calls: dict[tuple[str, Any], int] = {}
    for row in frame.to_dicts():
        place = row[times.unit]
        of_way = sums.setdefault(row["way"], {})
        of_way[place] = of_way.get(place, Decimal(0)) + (row["avoided_usd"] or 0)
        calls[row["way"], place] = calls.get((row["way"], place), 0) + row["calls"]
    figure = base(_HEIGHT_PX)
    ways = [way for way in WAYS if way in sums]
    for way in ways:
        name, colour = WAYS[way]
        _add_bars(figure, name, times, [float(sums[way].get(place, 0)) for place in times.places], colour)
    hovers = [
        _lines(
            times.name(place),
            [
                f"{WAYS[way][0]}: {usd_exact(sums[way][place])}, {many(calls[way, place], 'call')}"
                for way in ways
                if place in sums[way]
            ],
            "nothing avoided",
        )
        for place in times.places
    ]
    _finish(figure, times, hovers)
    figure.update_yaxes(rangemode="tozero", nticks=5, tickprefix="$")
    return figure


def _add_bars(
    figure: go.Figure, name: str, times: Times, values: Sequence[float], colour: str, opacity: float = 1.0
) -> None:
    shapes = ["/" if place == times.current else "" for place in times.places]
    figure.add_bar(
        name=name,
        x=[times.label(place) for place in times.places],
        y=list(values),
        marker={
            "color": colour,
            "opacity": opacity,
            "pattern": {"shape": shapes, "fillmode": "overlay", "size": 6, "fgopacity": 0.5},
            "line": {"width": 0},
        },
        hoverinfo="skip",
    )


def _finish(figure: go.Figure, times: Times, hovers: Sequence[str]) -> None:
    labels = [times.label(place) for place in times.places]
    add_hit_columns(figure, labels, labels, hovers)
    half = timedelta(minutes=30) if times.unit == "hour" else timedelta(hours=12)
    ends = [datetime.fromisoformat(labels[0]) - half, datetime.fromisoformat(labels[-1]) + half]
    figure.update_xaxes(
        type="date",
        tickformat="%H:%M\n%-d %b" if times.unit == "hour" else "%-d %b",
        range=[f"{end:%Y-%m-%d %H:%M}" for end in ends],
    )
    figure.update_layout(showlegend=True)


def _refused_hover(
    title: str, place: Any, order: Sequence[tuple[str, bool]], counts: Mapping[tuple[str, bool], Mapping[Any, int]]
) -> str:
    lines = [
        f"{figure_text(rule, 40)}: {many(counts[rule, shadow][place], 'call')}"
        f"{' would have been refused' if shadow else ' refused'}"
        for rule, shadow in order
        if counts[rule, shadow].get(place)
    ]
    return _lines(title, lines, "no call refused")


def _lines(title: str, lines: Sequence[str], nothing: str) -> str:
    return "<br>".join([f"<b>{title}</b>", *(lines or [nothing])])


def saved_words(frame: pl.DataFrame) -> str:
    """Say what was avoided, in dollars."""
    return usd(sum(frame["avoided_usd"].drop_nulls(), Decimal(0)))

"""Pictures of a number's company, small enough to stand under it: SVG, because a figure of plotly costs too much there.

They have no words and no colour of the theme; whoever shows one says in its alt text what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .colours import BLUE, GREY, RED, SKY

WIDTH: Final = 300
HEIGHT: Final = 44
_STROKE: Final = 2
_GAP: Final = 0.25
"""Of a bar's place."""
_LANE: Final = 12
"""Height of a lying bar."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Part of a lying bar or of a time line, from 0 to 1."""

    begin: float
    end: float
    colour: str


def line(values: Sequence[float], colour: str) -> str:
    """Draw values (at least one) as a line over its area, from zero."""
    top = max(*values, 0) or 1
    step = WIDTH / max(1, len(values) - 1)
    room = HEIGHT - 2 * _STROKE
    points = " ".join(
        f"{place * step:.1f},{HEIGHT - _STROKE - value / top * room:.1f}" for place, value in enumerate(values)
    )
    return _svg(
        f'<polygon points="0,{HEIGHT} {points} {WIDTH},{HEIGHT}" fill="{colour}" fill-opacity="0.15"/>'
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{_STROKE}"/>'
    )


def bars(values: Sequence[float], before: Sequence[float], current: int | None) -> str:
    """Draw bars from zero, each with the mark of what it is compared with; the `current` one isn't complete."""
    top = max(*values, *before, 0) or 1
    place = WIDTH / len(values)
    width = place * (1 - _GAP)
    parts = []
    for number, (value, past) in enumerate(zip(values, before, strict=True)):
        left, height, mark = number * place, value / top * (HEIGHT - 2), HEIGHT - past / top * (HEIGHT - 2)
        faint = ' fill-opacity="0.5"' if number == current else ""
        parts.append(_rectangle(left, HEIGHT - height, width, height, BLUE, faint))
        if past:
            parts.append(_rectangle(left - place * _GAP / 2, mark - 1, place, _STROKE, GREY))
    return _svg("".join(parts))


def bullet(spent: float, expected: float, low: float, high: float, budget: float | None) -> str:
    """Draw what is spent, what will be with its interval, and the mark of what may be."""
    top = max(high, expected, spent, budget or 0) * 1.04 or 1
    middle, upper = HEIGHT / 2, HEIGHT / 2 - _LANE / 2

    def at(value: float) -> float:
        return value / top * WIDTH

    over = budget is not None and expected > budget
    parts = [
        _rectangle(0, upper, at(expected), _LANE, SKY, ' fill-opacity="0.45"'),
        _rectangle(0, upper, at(spent), _LANE, BLUE),
        _rectangle(at(low), middle - 1, at(high) - at(low), _STROKE, GREY),
        *(_rectangle(at(end) - 1, middle - 5, _STROKE, 10, GREY) for end in (low, high)),
    ]
    if budget is not None:
        parts.append(_rectangle(at(budget) - 1.5, 4, 3, HEIGHT - 8, RED if over else GREY))
    return _svg("".join(parts))


def stretches(parts: Sequence[Stretch]) -> str:
    """Draw stretches of one lane, the rest of it pale."""
    upper = HEIGHT / 2 - _LANE / 2
    drawn = [_rectangle(0, upper, WIDTH, _LANE, GREY, ' fill-opacity="0.18"')]
    for part in parts:
        width = max(_STROKE, (part.end - part.begin) * WIDTH)
        drawn.append(_rectangle(min(part.begin * WIDTH, WIDTH - width), upper, width, _LANE, part.colour))
    return _svg("".join(drawn))


def _rectangle(left: float, upper: float, width: float, height: float, colour: str, more: str = "") -> str:
    return (
        f'<rect x="{left:.1f}" y="{upper:.1f}" width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}" '
        f'fill="{colour}"{more}/>'
    )


def _svg(inside: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f"{inside}</svg>"
    )

"""A chart of whatever was answered: the reader chooses columns and kind, or takes what suggests itself.

Nothing is added up here: a row is a bar, a point or a step of a line. What may be added up only the reader's SQL knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

import plotly.graph_objects as go
import polars as pl

from spanledger_analytics.plain_values import cell
from spanledger_dashboard.format import figure_text, many, visible

from .colours import BLUE, GREEN, GREY, ORANGE, SKY, VERMILLION
from .layout import GRID, base

Kind = Literal["bar", "line", "area", "points"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind: kind for kind in KINDS})
MOST_SERIES: Final = 9
MOST_BARS: Final = 60
MOST_POINTS: Final = 5_000
NULL: Final = "NULL"
_HEIGHT_PX: Final = 400
_ROW_PX: Final = 26
_NAME_CHARACTERS: Final = 36
_COLOURS: Final = (BLUE, ORANGE, GREEN, VERMILLION, SKY, "#CC79A7", "#8C6A1A", "#7E57A0", GREY)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a reader wants drawn."""

    kind: Kind
    x: str
    y: str
    colour: str | None = None
    """Column whose values are series; None: one series."""


@dataclass(frozen=True, slots=True)
class Built:
    """A figure, and what has to be said of it."""

    figure: go.Figure
    notes: tuple[str, ...]
    """What of the answer it doesn't show; plain text."""
    alt: str
    """For who can't see it; plain text."""


def measures(frame: pl.DataFrame) -> list[str]:
    """Return the columns that can be a length: numbers that aren't NULL throughout."""
    return [name for name, type_ in frame.schema.items() if type_.is_numeric() and frame[name].count()]


def places(frame: pl.DataFrame) -> list[str]:
    """Return the columns that can be an axis: all but lists, maps and structures."""
    return [name for name, type_ in frame.schema.items() if not type_.is_nested()]


def groups(frame: pl.DataFrame) -> list[str]:
    """Return the columns that can be a colour: texts, dates, whole numbers and truths."""
    schema = frame.schema
    return [name for name in places(frame) if not _is_measured(schema[name])]


def suggested(frame: pl.DataFrame) -> Choice | None:
    """Return the chart that suggests itself; None where there is no number to draw or nothing to draw it by.

    Along time if a column has it, else a bar a row; money before other numbers.
    """
    numbers, schema = measures(frame), frame.schema
    along = [name for name in places(frame) if schema[name].is_temporal()]
    names = [name for name in groups(frame) if name not in numbers and name not in along]
    x = next(iter(along or names), None)
    y = next((name for name in numbers if _is_money(name)), next((name for name in numbers if name != x), None))
    if x is None or y is None:
        return None
    repeats = frame[x].n_unique() < len(frame)
    colour = next((name for name in names if name != x), None) if repeats else None
    return Choice("line" if along and len(frame) > MOST_BARS else "bar", x, y, colour)


def fits(frame: pl.DataFrame, choice: Choice) -> bool:
    """Tell whether an answer has the columns of a choice, and they can be drawn."""
    colour_fits = choice.colour is None or choice.colour in groups(frame)
    return choice.x in places(frame) and choice.y in measures(frame) and colour_fits


def build(frame: pl.DataFrame, choice: Choice, colours: Mapping[str, str]) -> Built:
    """Draw an answer; `colours` are those that values have everywhere, as models do.

    `choice` has to fit. The first series, bars and points are drawn, in the order of the answer, and a note says so.
    """
    shown, notes = _cut(frame, choice)
    named = {} if _is_scale(frame.schema[choice.x]) else _numbered(shown[choice.x])
    lying = choice.kind == "bar" and bool(named)
    series = _series(shown, choice)
    height = _ROW_PX * max(3, len(named)) + 70 if lying else _HEIGHT_PX
    figure = base(height, barmode="relative", bargap=0.22, showlegend=choice.colour is not None)
    given = {name: colours[name] for name, _ in series if name in colours}
    for number, (name, rows) in enumerate(series):
        colour = given.get(name, _COLOURS[number % len(_COLOURS)])
        _add(figure, choice, rows, name, colour, named)
    _label_axes(figure, choice, named)
    if (lacking := shown[choice.y].null_count()) > 0:
        notes.append(f"not drawn, because there is no {visible(choice.y)}: {many(lacking, 'row')}")
    return Built(figure, tuple(notes), _alt(shown, choice))


def _is_measured(type_: pl.DataType) -> bool:
    return type_.is_float() or (type_.is_decimal() and getattr(type_, "scale", 0) > 0)


def _is_money(name: str) -> bool:
    words = name.lower().split("_")
    return "usd" in words or "cost" in words


def _cut(frame: pl.DataFrame, choice: Choice) -> tuple[pl.DataFrame, list[str]]:
    """Return the rows that are drawn, and what isn't."""
    shown, notes = frame, []
    if choice.colour:
        kept = frame[choice.colour].unique(maintain_order=True).head(MOST_SERIES)
        if (every := frame[choice.colour].n_unique()) > MOST_SERIES:
            shown = shown.filter(pl.col(choice.colour).is_in(kept.implode(), nulls_equal=True))
            notes.append(f"the first {MOST_SERIES} of {every:,} values of {visible(choice.colour)} are drawn")
    if choice.kind == "bar" and (every := shown[choice.x].n_unique()) > MOST_BARS:
        kept = shown[choice.x].unique(maintain_order=True).head(MOST_BARS)
        shown = shown.filter(pl.col(choice.x).is_in(kept.implode(), nulls_equal=True))
        notes.append(f"the first {MOST_BARS} of {every:,} values of {visible(choice.x)} are drawn")
    if _is_scale(frame.schema[choice.x]) and (lacking := shown[choice.x].null_count()):
        notes.append(f"not drawn, because there is no {visible(choice.x)}: {many(lacking, 'row')}")
        shown = shown.drop_nulls(choice.x)
    if len(shown) > MOST_POINTS:
        notes.append(f"the first {MOST_POINTS:,} of {len(shown):,} rows are drawn")
        shown = shown.head(MOST_POINTS)
    return shown, notes


def _series(shown: pl.DataFrame, choice: Choice) -> list[tuple[str, pl.DataFrame]]:
    if choice.colour is None:
        return [(choice.y, shown)]
    split = shown.partition_by(choice.colour, maintain_order=True)
    return [(_text(rows[choice.colour][0]), rows) for rows in split]


def _add(
    figure: go.Figure, choice: Choice, rows: pl.DataFrame, name: str, colour: str, named: Mapping[object, int]
) -> None:
    ordered = rows.sort(choice.x, maintain_order=True) if choice.kind in ("line", "area") and not named else rows
    lying = choice.kind == "bar" and bool(named)
    along = [named[value] if named else _scaled(value) for value in ordered[choice.x]]
    lengths = [_pixels(value) for value in ordered[choice.y]]
    hovers = [
        [figure_text(_text(x)), figure_text(_text(y)), figure_text(name)]
        for x, y in zip(ordered[choice.x], ordered[choice.y], strict=True)
    ]
    told: dict[str, Any] = {
        "name": figure_text(name, _NAME_CHARACTERS),
        "x": lengths if lying else along,
        "y": along if lying else lengths,
        "customdata": hovers,
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{customdata[2]}: %{customdata[1]}<extra></extra>",
    }
    if choice.kind == "bar":
        figure.add_bar(orientation="h" if lying else "v", marker={"color": colour, "line": {"width": 0}}, **told)
    elif choice.kind == "points":
        figure.add_scatter(mode="markers", marker={"color": colour, "size": 8, "opacity": 0.75}, **told)
    else:
        area = {"stackgroup": "one", "fillcolor": _faint(colour)} if choice.kind == "area" else {}
        mode = "lines+markers" if len(ordered) <= MOST_BARS else "lines"
        figure.add_scatter(mode=mode, line={"color": colour, "width": 2}, marker={"size": 5}, **area, **told)


def _label_axes(figure: go.Figure, choice: Choice, named: Mapping[object, int]) -> None:
    lying = choice.kind == "bar" and bool(named)
    length = {
        "title": {"text": figure_text(choice.y, _NAME_CHARACTERS)},
        "tickprefix": "$" if _is_money(choice.y) else "",
        "rangemode": "normal" if choice.kind == "points" else "tozero",
        "showgrid": True,
        "gridcolor": GRID,
        "nticks": 6,
    }
    along: dict[str, Any] = {"title": {"text": "" if lying else figure_text(choice.x, _NAME_CHARACTERS)}}
    if named:
        along |= {
            "tickvals": list(named.values()),
            "ticktext": [figure_text(_text(value), _NAME_CHARACTERS) for value in named],
            "range": [len(named) - 0.5, -0.5] if lying else [-0.5, len(named) - 0.5],
            "showgrid": False,
        }
    figure.update_layout(xaxis=length if lying else along, yaxis=along if lying else length)


def _alt(shown: pl.DataFrame, choice: Choice) -> str:
    words = {"bar": "Bars", "line": "Lines", "area": "Areas", "points": "Points"}[choice.kind]
    by = f", coloured by {visible(choice.colour)}" if choice.colour else ""
    known = shown.drop_nulls(choice.y).sort(choice.y, descending=True).head(1)
    top = f"; the most is {_text(known[choice.y][0])} at {_text(known[choice.x][0])}" if len(known) else ""
    return f"{words} of {visible(choice.y)} by {visible(choice.x)}{by}{top}."


def _is_scale(type_: pl.DataType) -> bool:
    """Tell whether values have places on a scale; others are names, side by side as they come."""
    return type_.is_numeric() or type_ == pl.Date or type_ == pl.Datetime


def _numbered(values: pl.Series) -> dict[object, int]:
    return {value: number for number, value in enumerate(values.unique(maintain_order=True))}


def _scaled(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def _pixels(value: Decimal | float | None) -> float | None:
    """A number becomes a float here, where it becomes a length."""
    return None if value is None else float(value)


def _text(value: object) -> str:
    """Write a value out, every digit of it."""
    if value is None:
        return NULL
    return f"{value.normalize():f}" if isinstance(value, Decimal) else visible(cell(value))


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.55)"


def choice_of(parameters: Mapping[str, str], known: Sequence[str]) -> Choice | None:
    """Read a choice from query parameters; None where none is made or it isn't about the columns `known`."""
    kind = _KINDS.get(parameters.get("kind", ""))
    x, y, colour = (parameters.get(name) for name in ("x", "y", "colour"))
    if kind is None or x is None or y is None or not {x, y, colour or x}.issubset(known):
        return None
    return Choice(kind, x, y, colour)

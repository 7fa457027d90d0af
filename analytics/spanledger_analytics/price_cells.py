"""What every class of calls can cost, as tables that SQL can join: a row a cell of time, week and total input.

A class (`price_classes`) has windows of which the first that holds wins. A join knows no first, so they are cut at each
other's edges into cells, of which exactly one holds a call; one that no window covers says why there is no price. Edges
outside of what the rows have are left out, so that most classes come down to a single cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar

import pyarrow as pa

from spanledger.instants import DAY_NS, END_OF_TIME
from spanledger.pricing import MAX_PICO, token_pico
from spanledger.rates import TOKEN_METERS, Rates, Window
from spanledger_collector.price_classes import CLASS_COLUMNS, class_rates
from spanledger_collector.row import SCHEMA

_What = TypeVar("_What")

_DAY_US: Final = DAY_NS // 1000
_WEEK_US: Final = 7 * _DAY_US
_PICO_ATTO: Final = 10**6
_MICRO_UNITS: Final = 10**6
_TOO_DEAR: Final = MAX_PICO + 1
"""Pico-dollars: any count of what costs as much, or more, is no call."""
_PLAIN_RATE: Final = 2**32
"""Pico-dollars a token: at less, twelve meters of counts in 24 bits fit in 64 bits, and in DECIMAL(18, 12)."""
_RATE: Final = pa.struct([(name, pa.int64()) for name in ("pico", "rest", "least")])
"""Pico-dollars a millionth of a unit, 1e-12 of them beyond, and the least quantity that is billed."""
CELLS: Final = pa.schema(
    [
        *(SCHEMA.field(name).with_name(f"of_{name}") for name in CLASS_COLUMNS),
        *((name, pa.int64()) for name in ("from_us", "to_us", "week_from_us", "week_to_us", "above", "up_to", "cell")),
        *((name, pa.string()) for name in ("cell_reason", "cell_model", "cell_source", "cell_price_id")),
        ("lacking", pa.int64()),
        ("is_plain", pa.bool_()),
        ("has_rests", pa.bool_()),
        *((f"pico_{meter}", pa.int64()) for meter in range(len(TOKEN_METERS))),
        *((f"rest_{meter}", pa.int64()) for meter in range(len(TOKEN_METERS))),
        ("request_pico", pa.int64()),
    ]
)
"""Half-open times in microseconds since 1970 UTC and since Monday, input as in `Window`; the class's columns, `of_`.

Rates are pico-dollars a token and the millionths beyond them; `lacking` has a bit for each meter without a price."""
UNIT_RATES: Final = pa.schema(
    [("of_cell", pa.int64()), ("is_free", pa.bool_()), ("rates", pa.map_(pa.string(), _RATE))]
)


@dataclass(frozen=True, slots=True)
class _Cell:
    """Where one window holds, or none does."""

    from_us: int
    to_us: int
    week_from_us: int
    week_to_us: int
    above: int
    up_to: int
    window: Window | None


def price_cells(classes: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the cells of classes, and what units cost in each, by CELLS and UNIT_RATES.

    `classes` has CLASS_COLUMNS and, of the rows of each, first_us and last_us (start_time). Cell -1 has no rates.
    """
    cells: list[dict[str, Any]] = []
    units: list[dict[str, Any]] = [{"of_cell": -1}]
    for values, rates in _looked_up(classes):
        of_class = {f"of_{name}": values[name] for name in CLASS_COLUMNS}
        for cell in _cells(rates, values["first_us"], values["last_us"]):
            row = _priced(cell.window) if cell.window else _unpriced(rates)
            units.append({"of_cell": len(cells), **(_unit_rates(cell.window) if cell.window else {})})
            cells.append({**of_class, **_bounds(cell), "cell": len(cells), **row})
    return pa.Table.from_pylist(cells, schema=CELLS), pa.Table.from_pylist(units, schema=UNIT_RATES)


def _looked_up(classes: pa.Table) -> Iterator[tuple[dict[str, Any], Rates]]:
    found, of_row = class_rates(classes) if classes.num_rows else ([], None)
    numbers = [] if of_row is None else of_row.tolist()
    return zip(classes.to_pylist(), (found[number] for number in numbers), strict=True)


# Cutting


def _cells(rates: Rates, first_us: int, last_us: int) -> Iterator[_Cell]:
    """Yield cells that hold every call of a class once; neighbours in time that cost the same are one."""
    windows = [
        window for window in rates.windows if window.from_ns <= last_us * 1000 and window.to_ns > first_us * 1000
    ]
    times = _edges(first_us, last_us + 1, (-(-edge // 1000) for one in windows for edge in (one.from_ns, one.to_ns)))
    inputs = _edges(-1, END_OF_TIME, (edge for one in windows for edge in (one.above, one.up_to)))
    for above, up_to in pairwise(inputs):
        weeks = [(start, end, _week(windows, start, above)) for start, end in pairwise(times)]
        for start, end, week in _merged(weeks):
            yield from (_Cell(start, end, since, until, above, up_to, window) for since, until, window in week)


def _edges(first: int, last: int, edges: Iterator[int]) -> list[int]:
    return sorted({first, last, *(edge for edge in edges if first < edge < last)})


def _week(windows: list[Window], at_us: int, above: int) -> list[tuple[int, int, Window | None]]:
    """Return which window holds in each part of a week, in the time and tier that begin there."""
    held = [one for one in windows if one.from_ns <= at_us * 1000 < one.to_ns and one.above <= above < one.up_to]
    hours = [(_hours(window), window) for window in held]
    edges = _edges(0, _WEEK_US, (edge for parts, _ in hours for part in parts for edge in part))
    return list(
        _merged(
            (start, end, next((window for parts, window in hours if any(a <= start < b for a, b in parts)), None))
            for start, end in pairwise(edges)
        )
    )


def _hours(window: Window) -> list[tuple[int, int]]:
    """Return the parts of a week in which a window holds, in microseconds since Monday."""
    days = [day * _DAY_US for day in range(7) if window.weekdays >> day & 1]
    return [(day + window.daily_from_ns // 1000, day + window.daily_to_ns // 1000) for day in days]


def _merged(parts: Iterable[tuple[int, int, _What]]) -> Iterator[tuple[int, int, _What]]:
    """Yield (start, end, what) with neighbours of the same as one."""
    last: tuple[int, int, _What] | None = None
    for start, end, what in parts:
        if last is not None and last[2] == what:
            last = (last[0], end, what)
            continue
        if last is not None:
            yield last
        last = (start, end, what)
    if last is not None:
        yield last


# Rows


def _bounds(cell: _Cell) -> dict[str, int]:
    names = ("from_us", "to_us", "week_from_us", "week_to_us", "above", "up_to")
    return {name: getattr(cell, name) for name in names}


def _unpriced(rates: Rates) -> dict[str, Any]:
    reason = rates.unpriced_reason if not rates.windows and rates.unpriced_reason else "no_price"
    return {"cell_reason": reason, "cell_model": rates.matched_model, "lacking": 0}


def _priced(window: Window) -> dict[str, Any]:
    split = [divmod(rate or 0, _PICO_ATTO) for rate in window.token_rates]
    return {
        "cell_model": window.matched_model,
        "cell_source": window.cost_source,
        "cell_price_id": window.price_id,
        "lacking": sum(1 << meter for meter, rate in enumerate(window.token_rates) if rate is None),
        "is_plain": max(pico for pico, _ in split) < _PLAIN_RATE,
        "has_rests": any(rest for _, rest in split),
        **{f"pico_{meter}": min(pico, _TOO_DEAR) for meter, (pico, _) in enumerate(split)},
        **{f"rest_{meter}": rest for meter, (_, rest) in enumerate(split)},
        "request_pico": min(token_pico(1, window.request_rate), _TOO_DEAR),
    }


def _unit_rates(window: Window) -> dict[str, Any]:
    split = [(unit, *divmod(rate, _PICO_ATTO * _MICRO_UNITS)) for unit, rate in window.unit_rates.items()]
    rates = [
        (unit, {"pico": min(pico, _TOO_DEAR), "rest": rest, "least": window.minimums.get(unit, 0)})
        for unit, pico, rest in split
    ]
    return {"is_free": window.free, "rates": rates}

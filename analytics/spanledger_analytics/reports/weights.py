"""Values that name several at once, `a:0.7|b:0.3` or `a|b`: what was spent for them is divided, never counted twice.

The parts of an amount are whole pico-dollars (parts of a count whole calls) and add up to it exactly: each part is
rounded down, and what is left over goes to those that lost most, the first named of equal ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

import polars as pl

from .totals import COUNTS, MEASURES, add_up

BETWEEN: Final = "|"
_PLACES: Final = 12


def parts_of(value: str) -> dict[str, Fraction]:
    """Return whom a value names, each with its share; the shares add up to 1.

    Weights need not add up to anything, `a:7|b:3` says the same as `a:0.7|b:0.3`; without any all shares are equal. A
    value that names one, or can't be read (a weight for some only, one below 0, an empty name), is one by itself.
    """
    named = [part.strip() for part in value.split(BETWEEN)]
    weighted = [_weighted(part) for part in named]
    if all(one is None for one in weighted):
        weighted = [(part, Fraction(1)) for part in named]
    told = [one for one in weighted if one is not None]
    whole = sum((weight for _, weight in told), Fraction(0))
    if len(named) == 1 or len(told) < len(named) or not all(name for name, _ in told) or not whole:
        return {value: Fraction(1)}
    found: dict[str, Fraction] = {}
    for name, weight in told:
        found[name] = found.get(name, Fraction(0)) + weight / whole
    return found


def _weighted(part: str) -> tuple[str, Fraction] | None:
    name, colon, said = part.rpartition(":")
    try:
        weight = Decimal(said) if colon else None
    except InvalidOperation:
        return None
    if weight is None or not weight.is_finite() or weight < 0:
        return None
    return name.strip(), Fraction(weight)


def divided(whole: int, shares: Sequence[Fraction]) -> list[int]:
    """Return whole parts of a number in these shares, which add up to 1; the parts add up to the number."""
    exact = [whole * share for share in shares]
    parts = [part.__floor__() for part in exact]
    left = whole - sum(parts)
    losers = sorted(range(len(parts)), key=lambda place: (parts[place] - exact[place], place))
    for place in losers[:left]:
        parts[place] += 1
    return parts


def divide(frame: pl.DataFrame, by: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """Return an answer of `totals` with the values of the dimensions `by` divided, and how many rows that were.

    A row whose values name several becomes a row for each (for each combination, where that are several dimensions).
    """
    rows: list[dict[str, object]] = []
    count = 0
    for row in frame.to_dicts():
        parts = _parts(row, by)
        count += len(parts) > 1
        rows += _shared(row, parts)
    divided_rows = pl.DataFrame(rows, schema=frame.schema)
    keys = [name for name in frame.columns if name not in MEASURES]
    return add_up(divided_rows, keys), count


def _parts(row: dict[str, object], by: Sequence[str]) -> list[tuple[dict[str, object], Fraction]]:
    parts: list[tuple[dict[str, object], Fraction]] = [({}, Fraction(1))]
    for name in by:
        value = row[name]
        named = parts_of(value) if isinstance(value, str) else {None: Fraction(1)}
        parts = [(told | {name: part}, share * more) for told, share in parts for part, more in named.items()]
    return parts


def _shared(row: dict[str, object], parts: Sequence[tuple[dict[str, object], Fraction]]) -> list[dict[str, object]]:
    if len(parts) == 1:
        return [row]
    shares = [share for _, share in parts]
    found = [row | told for told, _ in parts]
    for name, value in row.items():
        if name in MEASURES and value is not None:
            for one, part in zip(found, _amounts(name, value, shares), strict=True):
                one[name] = part
    return found


def _amounts(name: str, value: object, shares: Sequence[Fraction]) -> Sequence[object]:
    if name in COUNTS:
        return divided(int(str(value)), shares)
    return [Decimal(pico).scaleb(-_PLACES) for pico in divided(int(Decimal(str(value)).scaleb(_PLACES)), shares)]

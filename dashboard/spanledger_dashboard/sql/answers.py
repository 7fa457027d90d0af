"""An answer in SQL as the page shows it and as files have it.

On screen texts are made fit to be seen, and what is no text, number, time or truth (lists, maps, intervals) is written
out. Files have everything as it is, the CSV as `spanledger sql --format csv` writes it.
"""

from __future__ import annotations

import io
from decimal import Decimal
from itertools import count
from typing import Final

import polars as pl
import pyarrow as pa

from spanledger_analytics.plain_values import cell, write_csv, write_parquet
from spanledger_dashboard.format import visible

MOST_COLUMNS: Final = 500
"""On screen: an answer may have tens of thousands, which neither a browser nor this process could do with."""
_TEXT_CHARACTERS: Final = 2_000
"""Of a text on screen."""
_DIGITS: Final = 15
_ODD: Final = r"[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}]"


def shown(table: pa.Table, rows: int) -> pl.DataFrame:
    """Return the first rows of an answer's first columns for the screen; columns of one name are numbered."""
    part = table.slice(0, rows).select(list(range(min(MOST_COLUMNS, table.num_columns))))
    return pl.DataFrame([_column(name, column) for name, column in zip(_names(part), part.columns, strict=True)])


def _names(table: pa.Table) -> list[str]:
    told = set(table.column_names)
    names: dict[str, None] = {}
    for name in table.column_names:
        numbered = (f"{name} ({number})" for number in count(2))
        free = name if name not in names else next(one for one in numbered if one not in told and one not in names)
        names[free] = None
    return list(names)


def _column(name: str, column: pa.ChunkedArray) -> pl.Series:
    if _is_plain(column.type):
        values = pl.Series(name, column)
        return values.cast(pl.Decimal(38, 0)) if column.type == pa.uint64() else values
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _seen(pl.Series(name, column, pl.String))
    told = [None if value is None else cell(value) for value in column.to_pylist(maps_as_pydicts="lossy")]
    return _seen(pl.Series(name, told, pl.String))


def _is_plain(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(type_)
        or pa.types.is_floating(type_)
        or pa.types.is_decimal(type_)
        or pa.types.is_boolean(type_)
        or pa.types.is_date(type_)
        or pa.types.is_timestamp(type_)
    )


def _seen(texts: pl.Series) -> pl.Series:
    """Make the texts visible that need it; few do, so that only these are looked at by character."""
    odd = texts.str.contains(_ODD) | (texts.str.len_chars() > _TEXT_CHARACTERS)
    if not odd.any():
        return texts
    told = [
        visible(text, _TEXT_CHARACTERS) if text is not None and is_odd else text
        for text, is_odd in zip(texts, odd, strict=True)
    ]
    return pl.Series(texts.name, told, pl.String)


def places_of(values: pl.Series) -> int:
    """Return how many decimals the values of a column need, at most."""
    return max((_digits(value)[1] for value in values.drop_nulls()), default=0)


def as_held(values: pl.Series) -> pl.Series:
    """Return a column of numbers as texts where one has more digits than a browser's numbers hold."""
    if not values.dtype.is_decimal() and not values.dtype.is_integer():
        return values
    if all(sum(_digits(value)) <= _DIGITS for value in values.drop_nulls()):
        return values
    return pl.Series(values.name, [None if value is None else cell(value) for value in values], pl.String)


def _digits(value: Decimal | int) -> tuple[int, int]:
    """Return how many digits a number has before and behind the point, without zeros at its end."""
    whole, _, rest = f"{abs(value):f}".partition(".") if isinstance(value, Decimal) else (str(abs(value)), "", "")
    return len(whole), len(rest.rstrip("0"))


def as_csv(table: pa.Table) -> bytes:
    """Return every row as CSV: exact decimals, times in UTC, NULL as nothing."""
    written = io.StringIO(newline="")
    write_csv(table, written)
    return written.getvalue().encode()


def as_parquet(table: pa.Table) -> bytes:
    """Return every row as Parquet, types and all."""
    target = io.BytesIO()
    write_parquet(table, target)
    return target.getvalue()

"""Values of an answer as text and JSON have them, the same in every command, file and page.

Decimals are exact texts, times are UTC with Z, NULL is empty.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import IO, Final, cast
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BATCH_ROWS: Final = 10_000
"""Rows that are made Python's at once."""
_ENDLESS: Final = {
    sign * (2**bits - 1): told for sign, told in ((1, "infinity"), (-1, "-infinity")) for bits in (31, 63)
}
"""How DuckDB counts days and moments that are never."""


def in_reach(answer: pa.Table) -> pa.Table:
    """Return an answer whose columns with days beyond Python's, which end with the year 9999, are texts."""
    return _with(answer, {place: _far(column) for place, column in enumerate(answer.columns) if _is_far(column)})


def _is_far(column: pa.ChunkedArray) -> bool:
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        try:
            pc.min_max(column).as_py()
        except (OverflowError, ValueError):
            return True
    return False


def _with(answer: pa.Table, texts: Mapping[int, Iterable[str | None]]) -> pa.Table:
    """Return an answer with texts in place of some columns, all at once: an answer may have thousands of columns."""
    if not texts:
        return answer
    written = {place: pa.array(told, pa.string()) for place, told in texts.items()}
    return pa.table([written.get(place, old) for place, old in enumerate(answer.columns)], names=answer.column_names)


def _far(column: pa.ChunkedArray) -> Iterator[str | None]:
    """Yield days or moments as texts, also those that Python has no value for."""
    for value in column:
        try:
            yield cell(value.as_py()) if value.is_valid else None
        except (OverflowError, ValueError):
            yield _ENDLESS.get(value.value) or str(value.cast(pa.string()))


def write_csv(answer: pa.Table, target: IO[str]) -> None:
    """Write an answer as CSV, with a head."""
    answer = in_reach(answer)
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(answer.column_names)
    for batch in answer.to_batches(BATCH_ROWS):
        for row in zip(*(column.to_pylist(maps_as_pydicts="lossy") for column in batch.columns), strict=True):
            writer.writerow([cell(value) for value in row])


def write_parquet(answer: pa.Table, target: IO[bytes]) -> None:
    """Write an answer as Parquet, types and all; intervals and unions, which Arrow can't write, become texts."""
    others = (place for place, type_ in enumerate(answer.schema.types) if not _is_written(type_))
    told = {place: map(_text, answer.column(place).to_pylist(maps_as_pydicts="lossy")) for place in others}
    answer = _with(answer, told)
    pq.write_table(answer, target, compression="zstd")


def _is_written(type_: pa.DataType) -> bool:
    """Say whether Arrow can write a type to Parquet, what is in it included."""
    inside = (type_.field(place).type for place in range(type_.num_fields))
    return not (pa.types.is_interval(type_) or pa.types.is_union(type_)) and all(map(_is_written, inside))


def _text(value: object) -> str | None:
    return None if value is None else cell(value)


def cell(value: object) -> str:
    """Return a value as text for people and CSV: NULL is empty, exact decimals, times in UTC with Z."""
    if value is None:
        return ""
    told = plain(value)
    return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)


def plain(value: object) -> object:
    """Return a value as JSON has it: decimals as strings, times as RFC 3339 with Z."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, pa.MonthDayNano):
        months, days, nanoseconds = cast("tuple[int, int, int]", value)
        return f"{months} months {days} days {timedelta(microseconds=nanoseconds // 1000)}"
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time | timedelta | UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    return value

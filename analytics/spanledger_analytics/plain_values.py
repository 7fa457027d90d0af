"""Values of an answer as text and JSON have them, the same in every command, file and page.

Decimals are exact texts, times are UTC with Z, NULL is empty.
"""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import IO, Final, cast
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS: Final = 10_000
"""Rows that are made Python's at once."""


def write_csv(answer: pa.Table, target: IO[str]) -> None:
    """Write an answer as CSV, with a head."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(answer.column_names)
    for batch in answer.to_batches(BATCH_ROWS):
        for row in zip(*(column.to_pylist(maps_as_pydicts="lossy") for column in batch.columns), strict=True):
            writer.writerow([cell(value) for value in row])


def write_parquet(answer: pa.Table, target: IO[bytes]) -> None:
    """Write an answer as Parquet, types and all; intervals, which Arrow can't write there, become texts."""
    for place, field in enumerate(answer.schema):
        if pa.types.is_interval(field.type):
            texts = [None if value is None else cell(value) for value in answer.column(place).to_pylist()]
            answer = answer.set_column(place, field.name, pa.array(texts, pa.string()))
    pq.write_table(answer, target, compression="zstd")


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

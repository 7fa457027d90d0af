"""An answer to a question in SQL, written for people (a table, or a record a row) or for programs.

DuckDB could write CSV, JSON and Parquet itself; it does not, because the thread that runs a query may write nothing,
and because the product's JSON (decimals as text, times in UTC with Z) is the same in every command.
"""

from __future__ import annotations

import io
import json
from typing import IO, Final

import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from spanledger_analytics.plain_values import BATCH_ROWS, cell, in_reach, plain, write_csv, write_parquet

FORMATS: Final = ("table", "csv", "json", "parquet")
MOST_TABLE_ROWS: Final = 500
"""Rows shown as a table; the other formats give all."""
MOST_RECORDS: Final = 20
"""Rows shown where they are too wide for a table."""
_PLAN: Final = ["explain_key", "explain_value"]
"""Columns of the answer to `explain`: a drawing of many lines."""
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {9: " ", 10: "\\n", 13: "\\r"}
"""What a terminal would obey; names in spans are whatever a program put there."""


def write(answer: pa.Table, form: str, target: IO[bytes], width: int | None = None) -> str | None:
    """Write an answer in one of `FORMATS`; return a sentence on what a table leaves out, None if nothing.

    `width` is that of the terminal; None: a table may be as wide as it needs.
    """
    if form == "parquet":
        write_parquet(answer, target)
        return None
    text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
    try:
        return _write_text(answer, form, text, width)
    finally:
        text.flush()
        text.detach()


def _write_text(answer: pa.Table, form: str, target: IO[str], width: int | None) -> str | None:
    answer = in_reach(answer)
    if form == "csv":
        write_csv(answer, target)
        return None
    if form == "json":
        _write_json(answer, target)
        return None
    if answer.column_names == _PLAN:
        for plan in answer.column("explain_value").to_pylist():
            target.write("".join(_printable(line) + "\n" for line in str(plan).splitlines()))
        return None
    table = _table(answer.slice(0, MOST_TABLE_ROWS))
    console = Console(file=target, width=100_000, color_system=None)
    needed = Measurement.get(console, console.options, table).maximum
    if width is not None and needed > width:
        return _write_records(answer, target)
    console.width = needed
    console.print(table)
    if answer.num_rows <= MOST_TABLE_ROWS:
        return None
    return f"the first {MOST_TABLE_ROWS} rows are shown; --format csv, json or parquet gives all"


def _write_json(answer: pa.Table, target: IO[str]) -> None:
    separator = "[\n"
    for batch in answer.to_batches(BATCH_ROWS):
        for row in batch.to_pylist(maps_as_pydicts="lossy"):
            target.write(separator + json.dumps(plain(row), ensure_ascii=False))
            separator = ",\n"
    target.write("[]\n" if separator == "[\n" else "\n]\n")


def _table(answer: pa.Table) -> Table:
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for field in answer.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
        shown.add_column(Text(field.name), justify="right" if number else "left", no_wrap=True)
    for row in zip(*(column.to_pylist(maps_as_pydicts="lossy") for column in answer.columns), strict=True):
        shown.add_row(*(Text(_printable(value)) for value in row))
    return shown


def _write_records(answer: pa.Table, target: IO[str]) -> str:
    """Write a line a column, and leave out the columns that are NULL in every row shown."""
    shown = answer.slice(0, MOST_RECORDS)
    kept = [
        (name, column) for name, column in zip(shown.column_names, shown.columns, strict=True) if not _empty(column)
    ]
    pad = max((len(name) for name, _ in kept), default=0)
    values = [column.to_pylist(maps_as_pydicts="lossy") for _, column in kept]
    for number in range(shown.num_rows):
        target.write(f"── row {number + 1} ".ljust(pad + 12, "─") + "\n")
        for (name, _), column in zip(kept, values, strict=True):
            target.write(f"{name:<{pad}}  {_printable(column[number])}".rstrip() + "\n")
    return _left_out(answer, len(kept))


def _left_out(answer: pa.Table, kept: int) -> str:
    words = ["too wide for this terminal, so a line a column"]
    if kept < answer.num_columns:
        words.append(f"{answer.num_columns - kept} columns that are NULL left out")
    if answer.num_rows > MOST_RECORDS:
        words.append(f"the first {MOST_RECORDS} rows shown")
    return f"{'; '.join(words)}. Name fewer columns for a table, or take --format csv, json or parquet for all"


def _empty(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count == len(column))


def _printable(value: object) -> str:
    return cell(value).translate(_CONTROL)

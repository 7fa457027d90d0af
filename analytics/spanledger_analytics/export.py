"""The lake out again: its spans as OTLP, or as Parquet with the columns of the view.

Rows are streamed through the view `spans`, so that what is superseded or settled by now is so in what is written, and
memory is bounded by a batch. Nothing is opened here: the caller gives the files, because what a condition that somebody
typed may do is read the lake, and the thread it runs in can open no file for writing (`sandbox`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import IO, Final, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from spanledger.lake_path import LakePath
from spanledger_collector.datafiles import ROW_GROUP_ROWS
from spanledger_collector.emission import request_of
from spanledger_collector.json_messages import document_of
from spanledger_collector.lake import live_files, open_for_reading
from spanledger_collector.row import PARTITION

from .connection import connect_files
from .snapshot import LakeFiles

Form = Literal["otlp-json", "otlp-proto", "parquet"]
FORMS: Final[tuple[Form, ...]] = ("otlp-json", "otlp-proto", "parquet")
_BATCH_ROWS: Final = 2_000
"""Spans of one body: about a megabyte."""
_LENGTH: Final = struct.Struct(">I")

Advance = Callable[[int], None]
Opened = Callable[[duckdb.DuckDBPyConnection], None]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which spans."""

    first: date | None = None
    """UTC day, inclusive; None for no bound."""
    last: date | None = None
    where: str = ""
    """A condition in SQL over the columns of the view `spans`; empty for all."""


def days_of(lake: LakePath, choice: Choice) -> dict[date, int]:
    """Return the days of the lake that are chosen, with the rows of their files: an upper bound for progress bars."""
    table = open_for_reading(lake)
    days: dict[date, int] = {}
    for file in live_files(table) if table else []:
        if (choice.first is None or file.dt >= choice.first) and (choice.last is None or file.dt <= choice.last):
            days[file.dt] = days.get(file.dt, 0) + file.rows
    return days


def export(files: LakeFiles, choice: Choice, form: Form, target: IO[bytes], advance: Advance, opened: Opened) -> int:
    """Write the chosen spans of `files` to `target` and return how many they are.

    `opened` is given the connection before it is asked anything, so that another thread can interrupt it.

    Raises:
        duckdb.Error: the condition is wrong.
    """
    connection = connect_files(files, locked=True)
    opened(connection)
    reader = _rows(connection, choice)
    count = 0
    if form == "parquet":
        with pq.ParquetWriter(target, reader.schema, compression="zstd") as writer:
            for table in _grouped(reader):
                writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
                count += table.num_rows
                advance(table.num_rows)
        return count
    for batch in reader:
        if batch.num_rows:
            target.write(_body(pa.Table.from_batches([batch]), form))
            count += batch.num_rows
            advance(batch.num_rows)
    return count


def _rows(connection: duckdb.DuckDBPyConnection, choice: Choice) -> pa.RecordBatchReader:
    relation = connection.view("spans")
    column = duckdb.ColumnExpression(PARTITION)
    if choice.first is not None:
        relation = relation.filter(column >= duckdb.ConstantExpression(choice.first))
    if choice.last is not None:
        relation = relation.filter(column <= duckdb.ConstantExpression(choice.last))
    if choice.where:
        relation = relation.filter(choice.where)
    return relation.to_arrow_reader(_BATCH_ROWS)


def _grouped(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Yield the rows in groups of which each is a row group of a file."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in reader:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= ROW_GROUP_ROWS:
            yield pa.Table.from_batches(waiting, reader.schema)
            waiting, rows = [], 0
    if rows:
        yield pa.Table.from_batches(waiting, reader.schema)


def _body(rows: pa.Table, form: Form) -> bytes:
    request = request_of(rows)
    if form == "otlp-json":
        return json.dumps(document_of(request), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    data = request.SerializeToString()
    return _LENGTH.pack(len(data)) + data

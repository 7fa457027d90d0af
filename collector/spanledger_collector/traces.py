"""Whole traces out of the lake: every span of them, and the calls of other traces that may be the same calls.

A trace has its spans wherever its services sent them, so a day's files are looked through by trace id, a row group at
a time, and only rows that are wanted are kept. Nothing is read but what `settlement` looks at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .ancestry import version_keys
from .duplicates import LONG_ID
from .lake import DataFile, committed_version, file_path, live_files, open_for_reading
from .rawspans import is_word
from .row import PARTITION
from .settlement import CALL_COLUMNS, SPAN_COLUMNS, may_be_charged
from .tables import SETTLEMENTS, SPANS, SUPERSEDED, LakeTable
from .worker import LOG

LONGEST_CALL: Final = timedelta(hours=1)
"""Another trace's call that began longer before one of ours is not looked for."""
DAY: Final = timedelta(days=1)
_CALLS: Final = pa.schema([SPANS.full_schema.field(name) for name in CALL_COLUMNS])
_SPANS: Final = pa.schema([SPANS.full_schema.field(name) for name in (*SPAN_COLUMNS, "ingested_at")])
_BOTH: Final = pa.unify_schemas([_SPANS, _CALLS])


@dataclass(frozen=True, slots=True)
class Rows:
    """Spans of some traces, each once."""

    spans: pa.Table
    """All of them, with the columns of `settlement.SPAN_COLUMNS`."""
    calls: pa.Table
    """Those that may be charged, with the columns of `settlement.CALL_COLUMNS`."""


class Snapshot:
    """The live files of the lake at one moment."""

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self._spans = open_for_reading(lake)
        self._files = {SPANS.name: live_files(self._spans) if self._spans else []}
        # What is said about spans is read after them, so that all that is said about these is there.
        self._files |= {table.name: _files(lake, table) for table in (SUPERSEDED, SETTLEMENTS)}

    def days(self) -> list[date]:
        """Return the days that have spans."""
        return sorted({file.dt for file in self._files[SPANS.name]})

    def spans_of(self, first: date, last: date) -> list[DataFile]:
        """Return the files of `spans` of the days `first` to `last`."""
        return [file for file in self._files[SPANS.name] if first <= file.dt <= last]

    def day(self, dt: date, trace_ids: pa.Array) -> Rows:
        """Return the spans of traces on one day."""
        found = self._rows(SPANS, _BOTH, dt, dt, "trace_id", trace_ids)
        found = _each_once(self._without_superseded(found, dt, dt, trace_ids))
        charged = pa.array(may_be_charged(found))
        return Rows(found.select(_SPANS.names), found.filter(charged).select(_CALLS.names))

    def calls_like(self, calls: pa.Table, trace_ids: pa.Array) -> pa.Table:
        """Return calls of other traces than `trace_ids` that have the provider's id of one of `calls`."""
        told = pc.greater_equal(pc.utf8_length(calls["response_id"]), LONG_ID)
        known = calls.filter(pc.and_(pc.fill_null(told, False), pa.array(is_word(calls["role"], "inference"))))
        if not known.num_rows:
            return _CALLS.empty_table()
        bounds = pc.min_max(known["start_time"])
        first, last = bounds["min"].as_py() - LONGEST_CALL, bounds["max"].as_py() + LONGEST_CALL
        ids = pc.unique(known["response_id"])
        span = (first.date(), last.date())
        found = self._rows(SPANS, _CALLS, *span, "response_id", ids, (first, last))
        found = found.filter(pa.array(is_word(found["role"], "inference")))
        found = found.filter(pc.invert(pc.is_in(found["trace_id"], value_set=trace_ids)))
        return _each_once(self._without_superseded(found, *span, pc.unique(found["trace_id"])))

    def settled(self, first: date, last: date, trace_ids: pa.Array) -> pa.Table:
        """Return what counts of the settlements of traces on the days `first` to `last`."""
        rows = self._rows(SETTLEMENTS, SETTLEMENTS.full_schema, first, last, "trace_id", trace_ids)
        replaced = rows.filter(pc.is_valid(rows["replaces"]))
        keys = version_keys(replaced, "replaces")
        return rows.filter(pc.invert(pc.is_in(version_keys(rows, "settled_at"), value_set=keys)))

    def _without_superseded(self, rows: pa.Table, first: date, last: date, trace_ids: pa.Array) -> pa.Table:
        gone = self._rows(SUPERSEDED, SUPERSEDED.full_schema, first, last, "trace_id", trace_ids)
        if not gone.num_rows or self._spans is None:
            return rows
        writers = {writer: committed_version(self._spans, writer) for writer in pc.unique(gone["writer"]).to_pylist()}
        known = zip(gone["writer"].to_pylist(), gone["segment"].to_pylist(), strict=True)
        gone = gone.filter(pa.array([segment <= writers[writer] for writer, segment in known]))
        return rows.filter(pc.invert(pc.is_in(version_keys(rows), value_set=version_keys(gone))))

    def _rows(
        self,
        table: LakeTable,
        schema: pa.Schema,
        first: date,
        last: date,
        column: str,
        values: pa.Array,
        started: tuple[datetime, datetime] | None = None,
    ) -> pa.Table:
        """Read the rows of the days whose `column` is one of `values`, where they may have started in that time."""
        parts = [schema.empty_table()]
        for file in self._files[table.name]:
            if first <= file.dt <= last and (started is None or _overlaps(file.start_min, file.start_max, started)):
                parts += _matching(self._lake, file, schema, column, values, started)
        return pa.concat_tables(parts)


def trace_ids_in(lake: Path, files: Sequence[DataFile]) -> pa.Array:
    """Return the ids of the traces that have spans in files."""
    read = [pq.read_table(file_path(lake, file), columns=["trace_id"], partitioning=None) for file in files]
    return pc.unique(pa.concat_tables(read)["trace_id"]) if read else pa.array([], pa.string())


def _files(lake: Path, table: LakeTable) -> list[DataFile]:
    delta = open_for_reading(lake, table)
    return live_files(delta, table) if delta else []


def _matching(
    lake: Path,
    file: DataFile,
    schema: pa.Schema,
    column: str,
    values: pa.Array,
    started: tuple[datetime, datetime] | None,
) -> Iterator[pa.Table]:
    try:
        parquet = pq.ParquetFile(file_path(lake, file))
    except FileNotFoundError:
        LOG.warning("%s is in the log of the lake but not on disk; what it holds can't be settled", file.path)
        return
    with parquet:
        names = [name for name in schema.names if name in parquet.schema_arrow.names]
        for group in range(parquet.num_row_groups):
            if started is not None and not _may_start_in(parquet, group, started):
                continue
            hit = pc.is_in(parquet.read_row_group(group, [column])[column], value_set=values)
            if pc.any(hit).as_py():
                rows = parquet.read_row_group(group, names)
                yield _conform(rows if pc.all(hit).as_py() else rows.filter(hit), schema, file.dt)


def _conform(rows: pa.Table, schema: pa.Schema, dt: date) -> pa.Table:
    """Return rows with every column; files from before a column was added hold NULL."""
    columns: dict[str, Any] = {field.name: pa.nulls(rows.num_rows, field.type) for field in schema}
    columns |= {name: rows[name] for name in rows.column_names}
    columns[PARTITION] = pa.repeat(pa.scalar(dt, pa.date32()), rows.num_rows)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _may_start_in(parquet: pq.ParquetFile, group: int, span: tuple[datetime, datetime]) -> bool:
    column = parquet.metadata.row_group(group).column(parquet.schema.names.index(SPANS.clock))
    bounds = column.statistics
    return bounds is None or not bounds.has_min_max or _overlaps(bounds.min, bounds.max, span)


def _overlaps(first: datetime, last: datetime, span: tuple[datetime, datetime]) -> bool:
    return first.timestamp() <= span[1].timestamp() and last.timestamp() >= span[0].timestamp()


def _each_once(rows: pa.Table) -> pa.Table:
    """Return rows with one copy of each span, the one that was taken first."""
    keys = pc.binary_join_element_wise(rows["trace_id"], rows["span_id"], "").combine_chunks()
    codes = keys.dictionary_encode()
    if len(codes.dictionary) == len(keys):
        return rows
    order = np.argsort(rows["ingested_at"].cast(pa.int64()).to_numpy(), kind="stable")
    _, first = np.unique(codes.indices.to_numpy()[order], return_index=True)
    return rows.take(pa.array(np.sort(order[first])))

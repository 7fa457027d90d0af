"""Whole traces out of the lake: every span of them, and the calls of other traces that may be the same calls.

A trace has its spans wherever its services sent them, so a day's files are looked through by trace id, a row group at
a time, and only rows that are wanted are kept. Nothing is read but what `settlement` looks at, as it was booked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spanledger.lake_path import LakePath

from . import survey
from .ancestry import version_keys
from .duplicates import LONG_ID
from .folding import unfold
from .lake import DataFile, committed_version, file_path, live_files, open_for_reading
from .rawspans import Flags, flags, is_word
from .row import AS_BOOKED, PARTITION, TIME
from .settlement import CALL_COLUMNS, SPAN_COLUMNS, may_be_charged
from .storage import parquet
from .tables import SETTLED, SETTLEMENTS, SPANS, SUPERSEDED, LakeTable
from .worker import LOG

LONGEST_CALL: Final = timedelta(hours=1)
"""Another trace's call that began longer before one of ours is not looked for."""
DAY: Final = timedelta(days=1)
_CALLS: Final = pa.schema([SPANS.full_schema.field(name) for name in CALL_COLUMNS])
_SPANS: Final = pa.schema([SPANS.full_schema.field(name) for name in (*SPAN_COLUMNS, "ingested_at")])
_BOTH: Final = pa.unify_schemas([_SPANS, _CALLS])
_MOST_ROWS: Final = 2_000_000
"""Rows that are looked through at once."""
_MOST_FILES: Final = 256
"""Files that are open at once."""
_HEAVY: Final = ("attributes", "resource")
_EVER: Final = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
Days = tuple[date, date]
"""First and last, inclusive."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Spans of some traces, each once."""

    spans: pa.Table
    """All of them, with the columns of `settlement.SPAN_COLUMNS`."""
    calls: pa.Table
    """Those that may be charged, with the columns of `settlement.CALL_COLUMNS`."""


class Snapshot:
    """The live files of the lake at one moment."""

    def __init__(self, lake: LakePath) -> None:
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

    def overview(self, days: Collection[date], trace_ids: pa.Array) -> pa.Table:
        """Return what `survey` looks at of the spans of traces on some days."""
        found = (self._rows(SPANS, survey.SCHEMA, (day, day), _Wanted("trace_id", trace_ids)) for day in sorted(days))
        return pa.concat_tables([survey.SCHEMA.empty_table(), *found])

    def day(self, dt: date, trace_ids: pa.Array, *, whole: bool) -> Rows:
        """Return the spans of traces on one day; without `whole`, calls have NULL for attributes and resource."""
        wanted = _Wanted("trace_id", trace_ids, leave_out=() if whole else _HEAVY)
        found = self._rows(SPANS, _BOTH, (dt, dt), wanted)
        found = _each_once(self._without_superseded(found, (dt, dt), trace_ids))
        charged = pa.array(may_be_charged(found))
        return Rows(found.select(_SPANS.names), found.filter(charged).select(_CALLS.names))

    def calls_like(self, spans: pa.Table, trace_ids: pa.Array) -> pa.Table:
        """Return calls of other traces than `trace_ids` that have the provider's id of one of `spans`."""
        told = pc.fill_null(pc.greater_equal(pc.utf8_length(spans["response_id"]), LONG_ID), False)
        calls = spans.filter(pc.and_(told, pa.array(is_word(spans["role"], "inference"))))
        if not calls.num_rows:
            return _CALLS.empty_table()
        bounds = pc.min_max(calls["start_time"])
        first, last = bounds["min"].as_py() - LONGEST_CALL, bounds["max"].as_py() + LONGEST_CALL
        days = (first.date(), last.date())
        wanted = _Wanted("response_id", pc.unique(calls["response_id"]), (first, last), trace_ids)
        found = self._rows(SPANS, _CALLS, days, wanted)
        found = found.filter(pa.array(is_word(found["role"], "inference")))
        return _each_once(self._without_superseded(found, days, pc.unique(found["trace_id"])))

    def settled(self, days: Days, trace_ids: pa.Array) -> pa.Table:
        """Return what counts of the settlements of traces on some days."""
        wanted = _Wanted("trace_id", trace_ids)
        return self._last_said(self._rows(SETTLEMENTS, SETTLEMENTS.full_schema, days, wanted))

    def said_of(self, dt: date) -> list[DataFile]:
        """Return the files in which something is said about spans of a day."""
        return [file for table in (SETTLEMENTS, SUPERSEDED) for file in self._files[table.name] if file.dt == dt]

    def rows_of(self, dt: date) -> Iterator[pa.Table]:
        """Yield every row of a day, a row group at a time, as booked.

        Raises:
            FileNotFoundError: a live file isn't on disk.
        """
        for file in self.spans_of(dt, dt):
            with contextlib.ExitStack() as opened:
                for group in _opened(self._lake, file, opened):
                    yield group.rows(SPANS.schema)

    def settled_on(self, dt: date, started: tuple[datetime, datetime] | None = None) -> pa.Table:
        """Return what counts of the settlements of one day; of spans that began in half-open time, if that is given."""
        blocks = self.blocks(SETTLEMENTS, dt)
        parts = [_started(group.rows(SETTLEMENTS.full_schema), started) for block in blocks for group in block]
        return self._last_said(pa.concat_tables([SETTLEMENTS.full_schema.empty_table(), *parts]))

    def blocks(self, table: LakeTable, dt: date) -> Iterator[list[Group]]:
        """Yield the row groups of a day's files, about `_MOST_ROWS` rows at once; they are open until the next ones."""
        files = [file for file in self._files[table.name] if file.dt == dt]
        while files:
            rows = np.cumsum([file.rows for file in files[:_MOST_FILES]])
            block = max(1, int(np.searchsorted(rows, _MOST_ROWS, side="right")))
            with contextlib.ExitStack() as opened:
                yield [group for file in files[:block] for group in _groups(self._lake, file, opened)]
            files = files[block:]

    def superseded_on(self, dt: date) -> pa.Array | None:
        """Return the keys of the versions of a day's rows that fuller copies replaced.

        None where a commit says so that is still to come.
        """
        parts = [SUPERSEDED.full_schema.empty_table()]
        with contextlib.ExitStack() as opened:
            for file in self._files[SUPERSEDED.name]:
                if file.dt == dt:
                    parts += [group.rows(SUPERSEDED.full_schema) for group in _groups(self._lake, file, opened)]
        said = pa.concat_tables(parts)
        counts = self._counts(said)
        return version_keys(said) if all(counts) else None

    def _last_said(self, rows: pa.Table) -> pa.Table:
        replaced = rows.filter(pc.is_valid(rows["replaces"]))
        if not replaced.num_rows:
            return rows
        keys = version_keys(replaced, "replaces")
        return rows.filter(pc.invert(pc.is_in(version_keys(rows, "settled_at"), value_set=keys)))

    def settled_traces(self, days: Collection[date], trace_ids: pa.Array) -> pa.Array:
        """Return which of some traces have settlements on some days."""
        schema = pa.schema([SETTLEMENTS.schema.field("trace_id")])
        span = (min(days), max(days)) if days else (date.max, date.min)
        return pc.unique(self._rows(SETTLEMENTS, schema, span, _Wanted("trace_id", trace_ids))["trace_id"])

    def last_versions(self, rows: pa.Table, dt: date) -> Flags:
        """Say which rows of a day no fuller copy has taken the place of."""
        if not any(file.dt == dt for file in self._files[SUPERSEDED.name]):
            return np.ones(rows.num_rows, np.bool_)
        return self._last_versions(rows, (dt, dt), pc.unique(rows["trace_id"]))

    def _without_superseded(self, rows: pa.Table, days: Days, trace_ids: pa.Array) -> pa.Table:
        return rows.filter(pa.array(self._last_versions(rows, days, trace_ids)))

    def _last_versions(self, rows: pa.Table, days: Days, trace_ids: pa.Array) -> Flags:
        gone = self._rows(SUPERSEDED, SUPERSEDED.full_schema, days, _Wanted("trace_id", trace_ids))
        if not gone.num_rows or self._spans is None:
            return np.ones(rows.num_rows, np.bool_)
        gone = gone.filter(pa.array(self._counts(gone), pa.bool_()))
        return ~flags(pc.is_in(version_keys(rows), value_set=version_keys(gone)))

    def _counts(self, said: pa.Table) -> list[bool]:
        """Say of rows of `superseded` whether `spans` holds the segment that they name."""
        writers = pc.unique(said["writer"]).to_pylist()
        done = {writer: committed_version(self._spans, writer) for writer in writers if self._spans is not None}
        named = zip(said["writer"].to_pylist(), said["segment"].to_pylist(), strict=True)
        return [segment <= done.get(writer, -1) for writer, segment in named]

    def _rows(self, table: LakeTable, schema: pa.Schema, days: Days, wanted: _Wanted) -> pa.Table:
        """Read the rows of the days, first to last, that are wanted."""
        parts = [schema.empty_table()]
        batch: list[DataFile] = []
        for file in self._files[table.name]:
            if days[0] <= file.dt <= days[1] and wanted.may_start(file.start_min, file.start_max):
                if batch and sum(one.rows for one in batch) + file.rows > _MOST_ROWS:
                    parts += _matching(self._lake, batch, schema, wanted)
                    batch = []
                batch.append(file)
        return pa.concat_tables([*parts, *_matching(self._lake, batch, schema, wanted)])


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which rows of a file are read."""

    column: str
    values: pa.Array
    """What is wanted has one of these in `column`."""
    started: tuple[datetime, datetime] | None = None
    """Spans that may have started in this time."""
    but_traces: pa.Array | None = None
    leave_out: tuple[str, ...] = ()
    """Columns that are NULL in place of being read."""

    def may_start(self, first: datetime, last: datetime) -> bool:
        """Say whether a span between the two may have started in time."""
        if self.started is None:
            return True
        return first.timestamp() <= self.started[1].timestamp() and last.timestamp() >= self.started[0].timestamp()


@dataclass(frozen=True, slots=True)
class Group:
    """A row group of an open file; its length is that of its rows."""

    parquet: pq.ParquetFile
    number: int
    dt: date

    def __len__(self) -> int:
        rows: int = self.parquet.metadata.row_group(self.number).num_rows
        return rows

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column, which the file has."""
        return self.parquet.read_row_group(self.number, [name])[name]

    def rows(self, schema: pa.Schema, leave_out: tuple[str, ...] = ()) -> pa.Table:
        """Return rows as booked, with every column; files from before a column was added hold NULL."""
        present = set(self.parquet.schema_arrow.names).difference(leave_out)
        wanted = {name for name in schema.names if name in present}
        if AS_BOOKED in present and wanted.intersection(SETTLED):
            wanted.add(AS_BOOKED)
        read = unfold(self.parquet.read_row_group(self.number, sorted(wanted)))
        columns: dict[str, Any] = {name: read[name] for name in read.column_names}
        if PARTITION in schema.names:
            columns[PARTITION] = pa.repeat(pa.scalar(self.dt, pa.date32()), read.num_rows)
        columns |= {one.name: pa.nulls(read.num_rows, one.type) for one in schema if one.name not in columns}
        return pa.table([columns[name] for name in schema.names], schema=schema)

    def starts(self) -> tuple[datetime, datetime]:
        """Return the first and last start in it, as far as it says."""
        names = self.parquet.schema.names
        if SPANS.clock in names:
            bounds = self.parquet.metadata.row_group(self.number).column(names.index(SPANS.clock)).statistics
            if bounds is not None and bounds.has_min_max:
                return bounds.min, bounds.max
        return _EVER


def trace_ids_in(lake: LakePath, files: Sequence[DataFile]) -> pa.Array:
    """Return the ids of the traces that have spans in files."""
    read = [pq.read_table(parquet(file_path(lake, file)), columns=["trace_id"], partitioning=None) for file in files]
    return pc.unique(pa.concat_tables(read)["trace_id"]) if read else pa.array([], pa.string())


def _files(lake: LakePath, table: LakeTable) -> list[DataFile]:
    delta = open_for_reading(lake, table)
    return live_files(delta, table) if delta else []


def _matching(lake: LakePath, files: Sequence[DataFile], schema: pa.Schema, wanted: _Wanted) -> Iterator[pa.Table]:
    with contextlib.ExitStack() as opened:
        groups = [group for file in files for group in _groups(lake, file, opened) if wanted.may_start(*group.starts())]
        if not groups:
            return
        hits = _in(groups, wanted.column, wanted.values)
        if wanted.but_traces is not None:
            hits &= ~_in(groups, "trace_id", wanted.but_traces)
        for group, hit in zip(groups, np.split(hits, np.cumsum([len(group) for group in groups[:-1]])), strict=True):
            if hit.any():
                rows = group.rows(schema, wanted.leave_out)
                yield rows if hit.all() else rows.filter(pa.array(hit))


def _in(groups: Sequence[Group], column: str, values: pa.Array) -> Flags:
    """Say which rows of the groups have one of the values: all at once, for to make a table of these costs the most."""
    chunks = [chunk for group in groups for chunk in group.column(column).chunks]
    return flags(pc.is_in(pa.chunked_array(chunks), value_set=values))


def _groups(lake: LakePath, file: DataFile, opened: contextlib.ExitStack) -> list[Group]:
    try:
        return _opened(lake, file, opened)
    except FileNotFoundError:
        LOG.warning("%s is in the log of the lake but not on disk; what it holds can't be settled", file.path)
        return []


def _opened(lake: LakePath, file: DataFile, opened: contextlib.ExitStack) -> list[Group]:
    source = opened.enter_context(pq.ParquetFile(parquet(file_path(lake, file))))
    return [Group(source, number, file.dt) for number in range(source.num_row_groups)]


def _started(rows: pa.Table, started: tuple[datetime, datetime] | None) -> pa.Table:
    if started is None:
        return rows
    first, end = (pa.scalar(moment, TIME) for moment in started)
    return rows.filter(pc.and_(pc.greater_equal(rows["start_time"], first), pc.less(rows["start_time"], end)))


def _each_once(rows: pa.Table) -> pa.Table:
    """Return rows with one copy of each span, the one that was taken first."""
    keys = pc.binary_join_element_wise(rows["trace_id"], rows["span_id"], "").combine_chunks()
    codes = keys.dictionary_encode()
    if len(codes.dictionary) == len(keys):
        return rows
    order = np.argsort(rows["ingested_at"].cast(pa.int64()).to_numpy(), kind="stable")
    _, first = np.unique(codes.indices.to_numpy()[order], return_index=True)
    return rows.take(pa.array(np.sort(order[first])))

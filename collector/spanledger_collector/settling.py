"""Settling a lake: which traces are to be looked at, and what was decided about them, in one commit.

How far settling has come is a version of `spans`, kept as `txn` of the commit that holds the decisions up to there, so
that whoever dies before it does it all again, and whoever dies after it has nothing left to do. That commit has to
come right after the version of `settlements` that was read: of several who settle one lake, one at a time gets
through, and the others begin anew from what it decided.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from spanledger.lake_path import LakePath

from .ancestry import version_keys
from .changes import START, Changes, Mark, changes_since
from .lake import (
    DataFile,
    append_marked,
    committed_version,
    file_path,
    live_files,
    open_for_reading,
    open_table,
    write_days,
)
from .row import PARTITION
from .settlement import Traces, settle
from .storage import each, parquet
from .survey import told_by_others, traces_that_may_change
from .tables import SETTLED_UNTIL, SETTLEMENTS, SETTLER
from .traces import DAY, Rows, Snapshot, trace_ids_in

MOST_ROWS: Final = 500_000
"""Rows that are new, of the traces that are settled at once."""
_MOST_PARTS: Final = 256


@dataclass(frozen=True, slots=True)
class Settled:
    """What one go of settling did."""

    traces: int
    decisions: int
    left: bool
    """Whether there is more: spans that came too lately, or traces that others settled at the same time."""


def settle_new(lake: LakePath, quiet: timedelta) -> Settled:
    """Settle the traces of the spans that came since the last time, and are in the lake for `quiet` or longer."""
    spans = open_for_reading(lake)
    if spans is None:
        return Settled(0, 0, False)
    mark = mark_of(open_for_reading(lake, SETTLEMENTS))
    changes = changes_since(lake, spans, mark, _ms(datetime.now(UTC) - quiet))
    if changes is None:
        return Settled(0, 0, mark.version < spans.version())
    done = _settle_files(lake, changes.files, _taken_before(lake, changes))
    return replace(done, left=done.left or changes.until.version < spans.version())


def settle_again(lake: LakePath, first: date) -> Settled:
    """Settle every trace that has spans on the UTC day `first` or later, whether anything is new or not."""
    return _settle_files(lake, Snapshot(lake).spans_of(first, date.max), None)


def mark_of(settlements: DeltaTable | None) -> Mark:
    """Return how far a lake is settled."""
    if settlements is None:
        return START
    return Mark(committed_version(settlements, SETTLER), max(committed_version(settlements, SETTLED_UNTIL), 0))


def _taken_before(lake: LakePath, changes: Changes) -> Mark:
    """Return the mark, with a time before which every span was taken that the lake holds beyond it."""
    waiting = each(lake, _first_taken_ms, [file_path(lake, file) for file in changes.newer])
    return replace(changes.until, at_ms=min([changes.until.at_ms, *(at for at in waiting if at is not None)]))


@lru_cache(maxsize=10_000)
def _first_taken_ms(path: LakePath) -> int | None:
    """Return the earliest ingested_at of a data file by its footer, None where that says nothing."""
    with contextlib.suppress(FileNotFoundError):
        footer = pq.read_metadata(parquet(path))
        place = footer.schema.names.index("ingested_at")
        bounds = [footer.row_group(group).column(place).statistics for group in range(footer.num_row_groups)]
        return min((_ms(bound.min) for bound in bounds if bound is not None and bound.has_min_max), default=None)
    return None


def _settle_files(lake: LakePath, files: Sequence[DataFile], until: Mark | None) -> Settled:
    """Settle the traces that have spans in files; `until` is reached with the last portion."""
    traces = decisions = 0
    portions = _portions(files)
    for place, portion in enumerate(portions, start=1):
        delta = open_table(lake, SETTLEMENTS)
        trace_ids = portion.trace_ids(lake)
        decided = _decide(Snapshot(lake), portion.days(), trace_ids, _next_moment(delta))
        reached = until if place == len(portions) else None
        if not _commit(lake, delta, decided, reached):
            return Settled(traces, decisions, True)
        traces, decisions = traces + len(trace_ids), decisions + decided.num_rows
    return Settled(traces, decisions, False)


def _commit(lake: LakePath, delta: DeltaTable, decided: pa.Table, reached: Mark | None) -> bool:
    marks: dict[str, int] = {}
    if reached is not None and reached.version > mark_of(delta).version:
        marks = {SETTLER: reached.version, SETTLED_UNTIL: reached.at_ms}
    if not marks and not decided.num_rows:
        return True
    files = write_days(lake, uuid.uuid4().hex, decided, SETTLEMENTS) if decided.num_rows else []
    return append_marked(delta, files, marks, SETTLEMENTS)


@dataclass(frozen=True, slots=True)
class _Portion:
    """Traces that are settled at once: those of some files, or of a part of them by the ends of their ids."""

    files: tuple[DataFile, ...]
    part: int = 0
    parts: int = 1

    def days(self) -> set[date]:
        return {file.dt for file in self.files}

    def trace_ids(self, lake: LakePath) -> pa.Array:
        ids = trace_ids_in(lake, self.files)
        if self.parts == 1:
            return ids
        ends = pc.utf8_slice_codeunits(ids, -2).to_pylist()
        return ids.filter(pa.array([int(end, 16) % self.parts == self.part for end in ends], pa.bool_()))


def _portions(files: Sequence[DataFile]) -> list[_Portion]:
    """Return files in portions of about `MOST_ROWS`, by day; at least one, that has none."""
    portions: list[_Portion] = []
    gathered: list[DataFile] = []
    for file in sorted(files, key=lambda file: (file.dt, file.path)):
        if sum(one.rows for one in gathered) + file.rows > MOST_ROWS and gathered:
            portions.append(_Portion(tuple(gathered)))
            gathered = []
        gathered.append(file)
        if file.rows > MOST_ROWS:
            parts = min(-(-file.rows // MOST_ROWS), _MOST_PARTS)
            portions += [_Portion((file,), part, parts) for part in range(parts)]
            gathered = []
    return [*portions, _Portion(tuple(gathered))] if gathered or not portions else portions


def _decide(snapshot: Snapshot, days: set[date], trace_ids: pa.Array, settled_at: datetime) -> pa.Table:
    """Return what is to be decided of traces that have new spans on `days`.

    Each day is decided on with the day before and the day after in sight, and nothing further.
    """
    near = {day + step * DAY for day in days for step in (-1, 0, 1)}.intersection(snapshot.days())
    overview = snapshot.overview(near, trace_ids)
    alike = snapshot.calls_like(overview, trace_ids)
    may_change = traces_that_may_change(overview, alike)
    may_change = pc.unique(pa.concat_arrays([may_change, snapshot.settled_traces(near, trace_ids)]))
    whole = told_by_others(overview)
    del overview
    return _decide_days(snapshot, near, may_change, alike, settled_at, whole=whole)


def _decide_days(
    snapshot: Snapshot, days: set[date], trace_ids: pa.Array, alike: pa.Table, settled_at: datetime, *, whole: bool
) -> pa.Table:
    decided = SETTLEMENTS.full_schema.empty_table()
    window: dict[date, Rows] = {}
    for day in sorted(days) if len(trace_ids) else ():
        seen = (day - DAY, day, day + DAY)
        window = {dt: window.get(dt) or snapshot.day(dt, trace_ids, whole=whole) for dt in seen}
        if window[day].calls.num_rows:
            near = alike.filter(pc.is_in(alike[PARTITION], value_set=pa.array(seen)))
            calls = pa.concat_tables([*(window[dt].calls for dt in seen), near])
            settled = snapshot.settled((seen[0], seen[-1]), pc.unique(calls["trace_id"]))
            spans = pa.concat_tables(window[dt].spans for dt in seen)
            new = settle(Traces(spans, calls, settled), settled_at)
            decided = pa.concat_tables([decided, _first_time(new, decided, day, trace_ids)])
    return decided


def _first_time(new: pa.Table, decided: pa.Table, day: date, trace_ids: pa.Array) -> pa.Table:
    """Return the decisions on a day's own spans, and those on calls of other traces that no other day made."""
    own_day = pc.equal(new[PARTITION], pa.scalar(day, pa.date32()))
    others = pc.invert(pc.is_in(new["trace_id"], value_set=trace_ids))
    again = pc.is_in(version_keys(new), value_set=version_keys(decided))
    return new.filter(pc.and_not(pc.or_(own_day, others).combine_chunks(), again))


def _next_moment(settlements: DeltaTable) -> datetime:
    """Return this moment, or one that is later than every settlement, should a clock have been ahead."""
    latest = [file.start_max.astimezone(UTC) for file in live_files(settlements, SETTLEMENTS)]
    return max([datetime.now(UTC), *(moment + timedelta(milliseconds=1) for moment in latest)])


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

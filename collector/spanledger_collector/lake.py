"""The lake: Delta tables, partitioned by the UTC date `dt`, on the user's own disk.

Data files are written by us and then added to the Delta log by name: adding a file takes 3 ms, where letting
Delta write the rows again takes 44. Each commit carries `txn` = (id of the write-ahead log, highest segment), so
a segment that is replayed after a crash is seen to be in already.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, overload
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, CommitProperties, RemoveAction, Transaction

from spanledger.lake_path import LakePath, lake_path

from .datafiles import ROW_GROUP_ROWS, parquet_writer
from .errors import LakeError
from .landed import Said, has_landed
from .row import PARTITION
from .storage import delta_options, draft_of, in_words, parquet, publish, sync_folder
from .tables import SPANS, LakeTable

LOG: Final = logging.getLogger("spanledger.collector")
_COMMIT_TRIES: Final = 8
_REPLACE_TRIES: Final = 50
"""More, because to write the files again takes long."""
_REFUSED_FEATURES: Final = frozenset({"deletionVectors", "columnMapping"})
_MAPPING: Final = "delta.columnMapping.mode"
_CONFIGURATION: Final[dict[str, str | None]] = {
    # Every commit and every opening lists the log's folder: with the entries of two hours at one a second a commit is
    # half as slow again (benchmarks/commits.py --log-seconds 7200), with those of two busy days it takes 2 s.
    "delta.logRetentionDuration": "interval 30 minutes",
    # Every checkpoint repeats the files removed in this time; the committer deletes them before it is over.
    "delta.deletedFileRetentionDuration": "interval 2 hours",
}


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file of one day, with what the log says about it."""

    path: str
    """Relative to the table, `dt=2026-11-22/name.parquet`."""
    dt: date
    rows: int
    size: int
    """Bytes."""
    start_min: datetime
    """Earliest time on its table's clock (of spans: start_time), UTC."""
    start_max: datetime
    """Latest one; of a file that Delta merged cut to a millisecond, as its log has it."""
    table: str = SPANS.name


@overload
def table_path(lake: Path, table: LakeTable = SPANS) -> Path: ...
@overload
def table_path(lake: LakePath, table: LakeTable = SPANS) -> LakePath: ...
def table_path(lake: LakePath, table: LakeTable = SPANS) -> LakePath:
    """Return where a table stands in a lake."""
    return lake / table.name


@overload
def file_path(lake: Path, file: DataFile) -> Path: ...
@overload
def file_path(lake: LakePath, file: DataFile) -> LakePath: ...
def file_path(lake: LakePath, file: DataFile) -> LakePath:
    """Return where a data file stands in a lake."""
    return lake / file.table / file.path


def open_table(lake: LakePath, table: LakeTable = SPANS) -> DeltaTable:
    """Open a table, making it where there is none.

    Raises:
        LakeError: the folder can't be used, or the table has a feature that plain Parquet readers would ignore.
    """
    path = table_path(lake, table)
    try:
        if isinstance(path, Path):
            path.mkdir(parents=True, exist_ok=True)
        with in_words(lake):
            delta = DeltaTable.create(
                str(path),
                table.full_schema,
                mode="ignore",
                storage_options=delta_options(path),
                partition_by=[PARTITION],
                name=table.name,
                description=f"spanledger: {table.sentence}",
                configuration=_CONFIGURATION,
            )
    except OSError as error:
        raise LakeError(lake, f"can't be made: {error.strerror}; choose another with --lake") from error
    except DeltaError as error:
        raise _unreadable(lake, error) from error
    _refuse_foreign(lake, table, delta)
    _add_columns(delta, table)
    return delta


def open_for_reading(lake: LakePath, table: LakeTable = SPANS) -> DeltaTable | None:
    """Open a table, or return None where nothing has been put into it yet; never writes."""
    path = table_path(lake, table)
    try:
        with in_words(lake):
            if not DeltaTable.is_deltatable(str(path), delta_options(path)):
                return None
            delta = DeltaTable(str(path), storage_options=delta_options(path))
    except DeltaError as error:
        raise _unreadable(lake, error) from error
    _refuse_foreign(lake, table, delta)
    return delta


def write_file(lake: LakePath, name: str, rows: pa.Table, table: LakeTable = SPANS, dt: date | None = None) -> DataFile:
    """Write the rows of one day as `dt=.../<name>.parquet` (fsync, rename, 0444); not visible until added.

    `rows` has the columns of the table, and all are of one UTC date: `dt`, or that of their column `dt`, or of the
    clock where they have none; there are none at all only with `dt`. Writing the same name again replaces it, which is
    safe as long as it has not been added.
    """
    dt = _days_of(rows, table)[0].as_py() if dt is None else dt
    bounds = pc.min_max(rows[table.clock])
    midnight = datetime.combine(dt, datetime.min.time(), UTC)
    start_min, start_max = (bounds[end].as_py() or midnight for end in ("min", "max"))
    relative = f"{PARTITION}={dt.isoformat()}/{name}.parquet"
    final = table_path(lake, table) / relative
    _make_day(lake, table, final.parent)
    draft = draft_of(lake, final)
    draft.unlink(missing_ok=True)  # one that a crash left may be read-only already
    with parquet_writer(draft, table.schema) as writer:
        writer.write_table(rows.select(table.schema.names).cast(table.schema), row_group_size=ROW_GROUP_ROWS)
    size = publish(draft, final)
    return DataFile(relative, dt, rows.num_rows, size, start_min, start_max, table.name)


def write_days(lake: LakePath, name: str, rows: pa.Table, table: LakeTable = SPANS) -> list[DataFile]:
    """Write rows as one file a day, as `write_file` does; returns the files, none for no rows."""
    days = _days_of(rows, table)
    distinct: list[date] = sorted(pc.unique(days).to_pylist())
    if len(distinct) == 1:
        return [write_file(lake, name, rows, table)]
    return [write_file(lake, name, rows.filter(pc.equal(days, day)), table) for day in distinct]


def read_rows(lake: LakePath, table: LakeTable, first: date | None = None, last: date | None = None) -> pa.Table:
    """Read the live rows of a side table for the UTC days `first` to `last` (inclusive; None: no bound), with `dt`.

    Where there is no table yet there are no rows; columns that a file doesn't have are NULL.
    """
    delta = open_for_reading(lake, table)
    parts = [table.full_schema.empty_table()]
    for file in live_files(delta, table) if delta else ():
        if (first is None or file.dt >= first) and (last is None or file.dt <= last):
            rows = pq.read_table(parquet(file_path(lake, file)), partitioning=None)
            parts.append(rows.append_column(PARTITION, pa.repeat(pa.scalar(file.dt, pa.date32()), rows.num_rows)))
    return pa.concat_tables(parts, promote_options="default")


def add_files(
    lake: LakePath, files: Sequence[DataFile], *, writer: str, version: int, table: LakeTable = SPANS
) -> None:
    """Open the table and `append_files` to it."""
    append_files(open_table(lake, table), files, writer=writer, version=version, table=table)


def append_files(
    delta: DeltaTable, files: Sequence[DataFile], *, writer: str, version: int, table: LakeTable = SPANS
) -> None:
    """Make written files part of the table in one atomic commit, with `txn` = (writer, version).

    When it returns, the commit survives a power cut.

    Raises:
        LakeError: other writers won the race every time.
    """
    delta.update_incremental()
    commit = _append_of(files, {writer: version}, table)
    first = delta.version()
    for tried in range(_COMMIT_TRIES):
        landed = tried and commit.has_landed(delta, first)  # one whose answer was late
        if landed or commit.try_on(delta):
            delta.update_incremental()
            return
        time.sleep(random.uniform(0.005, 0.01) * 2**tried)  # noqa: S311 - so that two don't keep meeting
        delta.update_incremental()
    raise LakeError(folder_of(delta), f"refused a commit {_COMMIT_TRIES} times; it is tried again")


def append_unless_changed(
    delta: DeltaTable, files: Sequence[DataFile], *, writer: str, version: int, table: LakeTable = SPANS
) -> bool:
    """Do what `append_files` does, unless somebody has committed since `delta` was read: then return False.

    `delta` stays as it was read.
    """
    return append_marked(delta, files, {writer: version}, table)


def append_marked(
    delta: DeltaTable, files: Sequence[DataFile], marks: Mapping[str, int], table: LakeTable = SPANS
) -> bool:
    """Do what `append_unless_changed` does, with a `txn` for each of `marks` (writer to version) and maybe no file."""
    return _append_of(files, marks, table).try_on(delta)


def _append_of(files: Sequence[DataFile], marks: Mapping[str, int], table: LakeTable) -> _Commit:
    return _Commit(table, [_add_action(file, table.clock) for file in files], [], marks)


def replace_files(
    delta: DeltaTable, gone: Sequence[DataFile], new: Sequence[DataFile], table: LakeTable = SPANS, *, same_rows: bool
) -> bool:
    """Put written files in the place of live ones, or take these out, in one atomic commit.

    With `same_rows` the log says that what is new holds the rows of what goes, and nothing else: whoever follows the
    table has nothing to look at. Returns False, and changes nothing, where one of `gone` isn't live any more.

    Raises:
        LakeError: other writers won the race every time.
    """
    paths = {file.path for file in gone}
    commit = _Commit(
        table,
        [_add_action(file, table.clock, not same_rows) for file in new],
        [_remove_action(file, data_change=not same_rows) for file in gone],
    )
    delta.update_incremental()
    first = delta.version()
    for tried in range(_REPLACE_TRIES):
        landed = tried and commit.has_landed(delta, first)
        if not landed and not paths <= {file.path for file in live_files(delta, table)}:
            return False
        if landed or commit.try_on(delta):
            delta.update_incremental()
            return True
        time.sleep(0.001 * tried)
        delta.update_incremental()
    raise LakeError(folder_of(delta), f"refused a commit {_REPLACE_TRIES} times; it is tried again")


@dataclass(frozen=True, slots=True)
class _Commit:
    """What is to be put into the log of a table at once."""

    table: LakeTable
    added: Sequence[AddAction]
    removed: Sequence[RemoveAction]
    marks: Mapping[str, int] = field(default_factory=dict)

    def try_on(self, delta: DeltaTable) -> bool:
        """Commit right after the version that was read; False where another commit came first."""
        transactions = [Transaction(writer, version) for writer, version in self.marks.items()]
        try:
            delta.create_write_transaction(
                [*self.removed, *self.added],
                "append",
                self.table.full_schema,
                [PARTITION],
                commit_properties=CommitProperties(app_transactions=transactions, max_commit_retries=0),
            )
        except (DeltaError, OSError) as error:
            if not self.has_landed(delta, delta.version()):
                if not isinstance(error, CommitFailedError):
                    raise
                LOG.info("another commit came first: %s", error)
                return False
            LOG.info("a commit is in the log, though it seemed to fail: %s", error)
        _sync_log(delta)
        return True

    def has_landed(self, delta: DeltaTable, after: int) -> bool:
        """Say whether this is in the log, after version `after`."""
        added, removed = ([action.path for action in actions] for actions in (self.added, self.removed))
        return has_landed(log_of(delta), after, Said.of(added, removed, self.marks))


def committed_version(table: DeltaTable, writer: str) -> int:
    """Return the highest segment that `writer` has committed, or -1."""
    version = table.transaction_version(writer)
    return -1 if version is None else version


def live_files(delta: DeltaTable, table: LakeTable = SPANS) -> list[DataFile]:
    """Return the files that make up the table now, by day and then name."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    if not actions.num_rows:
        return []
    bounds = [f"min.{table.clock}", f"max.{table.clock}"]
    wanted = ["path", f"partition.{PARTITION}", "num_records", "size_bytes", *bounds]
    rows = zip(*(actions[name].to_pylist() for name in wanted), strict=True)
    files = [DataFile(path, dt, count, size, low, high, table.name) for path, dt, count, size, low, high in rows]
    return sorted(files, key=lambda file: (file.dt, file.path))


def folder_of(table: DeltaTable) -> LakePath:
    """Return where a table stands; the address of one on disk is a quoted URI."""
    at = urlsplit(table.table_uri)
    return Path(unquote(at.path)) if at.scheme in ("", "file") else lake_path(table.table_uri)


def log_of(table: DeltaTable) -> LakePath:
    """Return the folder of a table's log."""
    return folder_of(table) / "_delta_log"


def _make_day(lake: LakePath, table: LakeTable, folder: LakePath) -> None:
    """Make the folder of a day, where there are folders, and the table if need be."""
    if isinstance(folder, Path) and not folder.exists():
        if not folder.parent.exists():
            open_table(lake, table)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def _sync_log(delta: DeltaTable) -> None:
    """Make the commit after what was read, and the one before it, survive a power cut: deltalake leaves that to us."""
    log = log_of(delta)
    if not isinstance(log, Path):
        return  # what a store has taken, it keeps
    for version in (delta.version(), delta.version() + 1):
        with contextlib.suppress(FileNotFoundError), (log / f"{version:020d}.json").open("rb") as handle:
            os.fsync(handle.fileno())
    sync_folder(log)


def _unreadable(lake: LakePath, error: DeltaError) -> LakeError:
    """Return what to say of a log that was written by a later version, or is damaged."""
    reason = str(error).split("\n", 1)[0]  # what follows is a trace of Rust's
    return LakeError(lake, f"can't be read: {reason}; upgrade spanledger, or choose another with --lake")


def _days_of(rows: pa.Table, table: LakeTable) -> pa.ChunkedArray:
    if PARTITION in rows.column_names:
        return rows[PARTITION]
    return pc.cast(pc.floor_temporal(rows[table.clock], unit="day"), pa.date32())


def _add_columns(delta: DeltaTable, table: LakeTable) -> None:
    """Tell the log of columns that came since the table was made: merging would take them out of the files."""
    known = {field.name for field in delta.schema().fields}
    missing = [field for field in table.full_schema if field.name not in known]
    if missing:
        delta.alter.add_columns(list(Schema.from_arrow(pa.schema(missing)).fields))
        delta.update_incremental()


def _refuse_foreign(lake: LakePath, table: LakeTable, delta: DeltaTable) -> None:
    if not {*table.key, table.clock} <= {field.name for field in delta.schema().fields}:
        raise LakeError(lake, f"holds another program's table `{table.name}`; choose another folder with --lake")
    features = set(delta.protocol().reader_features or ()) & _REFUSED_FEATURES
    if delta.metadata().configuration.get(_MAPPING, "none") != "none":  # older protocols don't name it as a feature
        features.add("columnMapping")
    if features:
        named = ", ".join(sorted(features))
        why = "which readers of plain Parquet would get wrong; rewrite it without, or choose another folder with --lake"
        raise LakeError(lake, f"has a table `{table.name}` with the Delta feature {named}, {why}")


def _add_action(file: DataFile, clock: str, data_change: bool = True) -> AddAction:
    stats: dict[str, Any] = {
        "numRecords": file.rows,
        "minValues": {clock: _log_time(file.start_min)},
        "maxValues": {clock: _log_time(file.start_max)},
        "nullCount": {clock: 0},
    }
    now_ms = time.time_ns() // 1_000_000
    return AddAction(file.path, file.size, {PARTITION: file.dt.isoformat()}, now_ms, data_change, json.dumps(stats))


def _remove_action(file: DataFile, *, data_change: bool) -> RemoveAction:
    now_ms, day = time.time_ns() // 1_000_000, {PARTITION: file.dt.isoformat()}
    return RemoveAction(file.path, data_change, now_ms, file.size, dict[str, str | None](day))


def _log_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

"""The lake: one Delta table `spans`, partitioned by the UTC date `dt`, on the user's own disk.

Data files are written by us and then added to the Delta log by name: adding a file takes 3 ms, where letting
Delta write the rows again takes 44. Each commit carries `txn` = (id of the write-ahead log, highest segment), so
a segment that is replayed after a crash is seen to be in already.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, CommitProperties, Transaction

from .errors import LakeError
from .row import PARTITION, SCHEMA, TABLE_SCHEMA

ROW_GROUP_ROWS: Final = 122_880
_COMMIT_TRIES: Final = 5
_REFUSED_FEATURES: Final = frozenset({"deletionVectors", "columnMapping"})
_CONFIGURATION: Final[dict[str, str | None]] = {
    # Every commit and every opening lists the log's folder: with the entries of two busy days a commit takes 2 s.
    "delta.logRetentionDuration": "interval 2 hours",
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
    """Earliest start_time in it, UTC."""
    start_max: datetime
    """Latest start_time in it; of a file that Delta merged cut to a millisecond, as its log has it."""


def table_path(lake: Path) -> Path:
    """Return where the table `spans` stands in a lake."""
    return lake / "spans"


def open_table(lake: Path) -> DeltaTable:
    """Open the table `spans`, making it where there is none.

    Raises:
        LakeError: the folder can't be used, or the table has a feature that plain Parquet readers would ignore.
    """
    path = table_path(lake)
    try:
        path.mkdir(parents=True, exist_ok=True)
        table = DeltaTable.create(
            str(path),
            TABLE_SCHEMA,
            mode="ignore",
            partition_by=[PARTITION],
            name="spans",
            description="spanledger: one row per span",
            configuration=_CONFIGURATION,
        )
    except OSError as error:
        raise LakeError(lake, f"can't be made: {error.strerror}; choose another with --lake") from error
    except DeltaError as error:
        raise _unreadable(lake, error) from error
    _refuse_foreign(lake, table)
    return table


def open_for_reading(lake: Path) -> DeltaTable | None:
    """Open the table `spans`, or return None where nothing has been collected yet; never writes."""
    path = table_path(lake)
    try:
        if not DeltaTable.is_deltatable(str(path)):
            return None
        table = DeltaTable(str(path))
    except DeltaError as error:
        raise _unreadable(lake, error) from error
    _refuse_foreign(lake, table)
    return table


def write_file(lake: Path, name: str, rows: pa.Table) -> DataFile:
    """Write the rows of one day as `dt=.../<name>.parquet` (fsync, rename, 0444); not visible until added.

    `rows` has the columns of `row.SCHEMA`, and all start on one UTC date. Writing the same name again replaces
    it, which is safe as long as it has not been added.
    """
    bounds = pc.min_max(rows["start_time"])
    start_min, start_max = bounds["min"].as_py(), bounds["max"].as_py()
    dt = start_min.astimezone(UTC).date()
    relative = f"{PARTITION}={dt.isoformat()}/{name}.parquet"
    final = table_path(lake) / relative
    _make_day(final.parent)
    draft = final.with_suffix(".tmp")
    draft.unlink(missing_ok=True)  # one that a crash left may be read-only already
    pq.write_table(rows.cast(SCHEMA), draft, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    with draft.open("rb") as handle:
        os.fsync(handle.fileno())
        size = os.fstat(handle.fileno()).st_size
    draft.chmod(0o444)
    draft.rename(final)
    sync_folder(final.parent)
    return DataFile(relative, dt, rows.num_rows, size, start_min, start_max)


def write_days(lake: Path, name: str, rows: pa.Table) -> list[DataFile]:
    """Write rows as one file a day; returns the files, none for no rows."""
    days = pc.cast(pc.floor_temporal(rows["start_time"], unit="day"), pa.date32())
    distinct: list[date] = sorted(pc.unique(days).to_pylist())
    if len(distinct) == 1:
        return [write_file(lake, name, rows)]
    return [write_file(lake, name, rows.filter(pc.equal(days, day))) for day in distinct]


def add_files(lake: Path, files: Sequence[DataFile], *, writer: str, version: int) -> None:
    """Open the table and `append_files` to it."""
    append_files(open_table(lake), files, writer=writer, version=version)


def append_files(table: DeltaTable, files: Sequence[DataFile], *, writer: str, version: int) -> None:
    """Make written files part of the table in one atomic commit, with `txn` = (writer, version).

    When it returns, the commit survives a power cut.

    Raises:
        LakeError: other writers won the race every time.
    """
    since = table.version()
    for tried in range(_COMMIT_TRIES):
        table.update_incremental()
        try:
            table.create_write_transaction(
                [_add_action(file) for file in files],
                "append",
                TABLE_SCHEMA,
                [PARTITION],
                commit_properties=CommitProperties(app_transactions=[Transaction(writer, version)]),
            )
        except CommitFailedError as error:
            if tried == _COMMIT_TRIES - 1:
                raise LakeError(folder_of(table), f"refused a commit {_COMMIT_TRIES} times: {error}") from error
            time.sleep(0.01 * 2**tried)
        else:
            _sync_log(table, since)
            return


def committed_version(table: DeltaTable, writer: str) -> int:
    """Return the highest segment that `writer` has committed, or -1."""
    version = table.transaction_version(writer)
    return -1 if version is None else version


def live_files(table: DeltaTable) -> list[DataFile]:
    """Return the files that make up the table now, by day and then name."""
    actions = pa.table(table.get_add_actions(flatten=True))
    wanted = [
        "path",
        f"partition.{PARTITION}",
        "num_records",
        "size_bytes",
        "min.start_time",
        "max.start_time",
    ]
    rows = actions.select(wanted).to_pylist()
    files = [
        DataFile(
            row["path"],
            row[f"partition.{PARTITION}"],
            row["num_records"],
            row["size_bytes"],
            row["min.start_time"],
            row["max.start_time"],
        )
        for row in rows
    ]
    return sorted(files, key=lambda file: (file.dt, file.path))


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut (no-op where folders can't be opened)."""
    with contextlib.suppress(PermissionError, IsADirectoryError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def folder_of(table: DeltaTable) -> Path:
    """Return the folder of a local table, whose address is a quoted URI."""
    return Path(unquote(urlsplit(table.table_uri).path))


def _make_day(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def _sync_log(table: DeltaTable, since: int) -> None:
    """Make the commits after version `since` survive a power cut: deltalake leaves that to the system."""
    table.update_incremental()
    log = folder_of(table) / "_delta_log"
    for version in range(since + 1, table.version() + 1):
        with contextlib.suppress(FileNotFoundError), (log / f"{version:020d}.json").open("rb") as handle:
            os.fsync(handle.fileno())
    sync_folder(log)


def _unreadable(lake: Path, error: DeltaError) -> LakeError:
    """Return what to say of a log that was written by a later version, or is damaged."""
    return LakeError(lake, f"can't be read: {error}; upgrade spanledger, or choose another with --lake")


def _refuse_foreign(lake: Path, table: DeltaTable) -> None:
    if not {"trace_id", "span_id", "start_time"} <= {field.name for field in table.schema().fields}:
        raise LakeError(lake, "holds another program's table `spans`; choose another folder with --lake")
    features = set(table.protocol().reader_features or ()) & _REFUSED_FEATURES
    if features:
        raise LakeError(lake, f"uses the Delta feature {', '.join(sorted(features))}, which isn't supported")


def _add_action(file: DataFile) -> AddAction:
    stats: dict[str, Any] = {
        "numRecords": file.rows,
        "minValues": {"start_time": _log_time(file.start_min)},
        "maxValues": {"start_time": _log_time(file.start_max)},
        "nullCount": {"start_time": 0},
    }
    now_ms = time.time_ns() // 1_000_000
    return AddAction(file.path, file.size, {PARTITION: file.dt.isoformat()}, now_ms, True, json.dumps(stats))


def _log_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

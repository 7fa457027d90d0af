"""Writing the files of a day that is over anew: sorted, few, with what was settled folded in.

Rows are sorted by (hour, user, start), which makes the smallest files and lets a question about an hour or a user skip
most of them. What goes in is spilled to disk by hour first, so memory holds a part of a day. Nobody has to wait for
it: rows that come meanwhile stay in files of their own, and the commit takes out only the files that were read. If
one of these is gone by then, somebody else was faster, and nothing changes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from spanledger.lake_path import LakePath

from .dayfiles import DayFiles
from .errors import LakeError
from .folding import fold, mark_in, mark_of
from .lake import DataFile, file_path, open_table, replace_files
from .storage import beside, changed_at, each
from .tables import SPANS
from .traces import Snapshot
from .worker import LOG

PART_ROWS: Final = 1_500_000
"""Rows in memory at once, unless an hour has more."""
QUIET: Final = timedelta(hours=1)
"""A day is written anew when nothing was added for so long."""
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What was written anew."""

    dt: date
    rows: int
    gone: list[DataFile]
    new: list[DataFile]


def days_to_rewrite(lake: LakePath, now: datetime, quiet: timedelta = QUIET) -> list[date]:
    """Return the days that are over, and have rows or settlements that aren't in their sorted files; oldest first."""
    snapshot = Snapshot(lake)
    return [dt for dt in snapshot.days() if dt < (now - quiet).date() and _is_due(lake, snapshot, dt, now - quiet)]


def _is_due(lake: LakePath, snapshot: Snapshot, dt: date, before: datetime) -> bool:
    files, said = snapshot.spans_of(dt, dt), snapshot.said_of(dt)
    mark = mark_of(said)
    if all(mark_in(file.path) == mark for file in files):
        return False
    with contextlib.suppress(FileNotFoundError):
        changed = [file_path(lake, file) for file in (*files, *said) if mark_in(file.path) != mark]
        return max(each(lake, changed_at, changed)) <= before.timestamp()
    return False


def rewrite_day(lake: LakePath, dt: date) -> Rewritten | None:
    """Write the files of a day anew; None where there is nothing to do, or somebody else changed them meanwhile."""
    spans = open_table(lake)
    snapshot = Snapshot(lake)
    gone = snapshot.spans_of(dt, dt)
    superseded = snapshot.superseded_on(dt)
    if not gone or superseded is None:
        return None
    with _scratch(lake) as folder, DayFiles(lake, dt, folder) as files:
        try:
            hours = _spill(snapshot.rows_of(dt), folder)
        except FileNotFoundError as error:
            LOG.warning("%s is in the log of the lake but not on disk; its day stays as it is", error.filename)
            return None
        for first, end in _parts(hours):
            settled = snapshot.settled_on(dt, (_moment(dt, first), _moment(dt, end)))
            for hour in range(first, end):
                files.add(fold(_read(folder, hour), settled), superseded)
        new = files.close(mark_of(snapshot.said_of(dt)))
        rows = sum(file.rows for file in new)
        if rows != sum(file.rows for file in gone):
            raise LakeError(
                lake, f"says that {dt} has other than the {rows} rows that its files have; it stays as it is"
            )
        files.keep()  # from here on they may be part of the table, whatever becomes of us
        if not replace_files(spans, gone, new, same_rows=True):
            files.discard(new)
            return None
    return Rewritten(dt, rows, gone, new)


def _moment(dt: date, hour: int) -> datetime:
    return datetime(dt.year, dt.month, dt.day, tzinfo=UTC) + hour * _HOUR


# Rows by hour, on disk


@contextlib.contextmanager
def _scratch(lake: LakePath) -> Iterator[Path]:
    """Give a folder beside the lake, and delete those that processes of this machine died over."""
    ours = f".rewrite-{socket.gethostname()}-"
    folder = beside(lake)
    for left in folder.glob(f"{ours}*"):
        try:
            os.kill(int(left.name.removeprefix(ours).split("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except PermissionError:
            pass  # it lives, and is somebody else's
    with tempfile.TemporaryDirectory(prefix=f"{ours}{os.getpid()}-", dir=folder) as scratch:
        yield Path(scratch)


def _spill(batches: Iterator[pa.Table], folder: Path) -> Counter[int]:
    """Write rows to a file an hour of the day; returns how many each has."""
    count: Counter[int] = Counter()
    with contextlib.ExitStack() as opened:
        sinks: dict[int, pa.RecordBatchFileWriter] = {}
        for rows in batches:
            hours = pc.hour(rows["start_time"]).combine_chunks()
            for hour in pc.unique(hours).to_pylist():
                if hour not in sinks:
                    options = pa.ipc.IpcWriteOptions(compression="lz4")
                    sink = pa.ipc.new_file(_spilled(folder, hour), SPANS.schema, options=options)
                    sinks[hour] = opened.enter_context(sink)
                some = rows.filter(pc.equal(hours, hour))
                sinks[hour].write_table(some)
                count[hour] += some.num_rows
    return count


def _read(folder: Path, hour: int) -> pa.Table:
    path = _spilled(folder, hour)
    if not path.exists():
        return SPANS.schema.empty_table()
    with pa.OSFile(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def _spilled(folder: Path, hour: int) -> Path:
    return folder / f"{hour:02}.arrow"


def _parts(count: Counter[int]) -> list[tuple[int, int]]:
    """Return the hours of a day, half-open, in parts of at most PART_ROWS rows or of one hour."""
    parts, first, rows = [], 0, 0
    for hour in range(24):
        if rows and rows + count[hour] > PART_ROWS:
            parts.append((first, hour))
            first, rows = hour, 0
        rows += count[hour]
    return [*parts, (first, 24)]

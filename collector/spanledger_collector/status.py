"""How a lake and its collector stand, in figures, for whoever looks after them; no data file is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from spanledger.lake_path import LakePath

from .catalog import TABLES
from .dead import dead_dir, letters
from .folding import mark_in
from .jobs import last_done
from .lake import DataFile, committed_version, live_files, open_for_reading
from .tables import SETTLED_UNTIL, SETTLEMENTS, SPANS
from .upkeep import small_files
from .wal import first_received_ns, segments, wal_dir


@dataclass(frozen=True, slots=True)
class TableStatus:
    """One table."""

    table: str
    files: int
    rows: int
    bytes: int
    small_files: int
    """That wait to be merged: those beyond one a day."""
    days: int
    first_day: date | None
    last_day: date | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a home holds that isn't in the lake."""

    segments: int
    bytes: int
    since: datetime | None
    """When the oldest request of it came, UTC."""
    dead_letters: int
    dead_bytes: int


@dataclass(frozen=True, slots=True)
class LakeStatus:
    """All of it."""

    tables: list[TableStatus]
    bytes_per_span: float | None
    """Of Parquet, live; None without spans."""
    oldest_day_to_write_anew: date | None
    """Of those that are over and stand as they were committed."""
    settled_until: datetime | None
    """What was taken before is settled, UTC."""
    last_maintenance: dict[str, str]
    """Job to when it was last done, RFC 3339."""
    backlog: Backlog


def status_of(lake: LakePath, home: Path) -> LakeStatus:
    """Look at a lake, and at the home of a collector.

    Raises:
        LakeError: the lake can't be read.
    """
    found = {table: open_for_reading(lake, table) for table in TABLES}
    live = {table: live_files(delta, table) for table, delta in found.items() if delta is not None}
    spans = live.get(SPANS, [])
    rows = sum(file.rows for file in spans)
    today = datetime.now(UTC).date()
    settlements = found[SETTLEMENTS]
    until = committed_version(settlements, SETTLED_UNTIL) if settlements is not None else -1
    return LakeStatus(
        [_table_status(table.name, live[table]) for table in reversed(TABLES) if table in live],
        sum(file.size for file in spans) / rows if rows else None,
        min((file.dt for file in spans if file.dt < today and mark_in(file.path) is None), default=None),
        None if until < 0 else datetime.fromtimestamp(until / 1000, UTC),
        {name: job["at"] for name, job in last_done(lake).items()},
        backlog_of(home),
    )


def _table_status(name: str, files: Sequence[DataFile]) -> TableStatus:
    days = Counter(file.dt for file in files)
    sums = sum(file.rows for file in files), sum(file.size for file in files)
    bounds = min(days, default=None), max(days, default=None)
    return TableStatus(name, len(files), *sums, small_files(files), len(days), *bounds)


def backlog_of(home: Path) -> Backlog:
    """Return what waits in a home, and what could not be read."""
    waiting = segments(wal_dir(home)) if wal_dir(home).is_dir() else []
    sizes = [path.stat().st_size for _, path in waiting if path.exists()]
    first_ns = first_received_ns(waiting[0].path) if waiting else None
    dead = list(letters(dead_dir(home)))
    since = None if first_ns is None else datetime.fromtimestamp(first_ns / 1e9, UTC)
    return Backlog(len(waiting), sum(sizes), since, len(dead), sum(letter.size for letter in dead))

"""Counting days into the rollups: which are to be counted, and their files put in the place of the old ones.

Each day is counted whole from what `llm_calls` shows, so spans that came late, were superseded, settled or repriced
end right without anybody following what changed. Two who count a new day at the same time may both add their files; a
day that stands there twice isn't counted, and the next look puts one file in the place of both.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from spanledger.lake_path import LakePath
from spanledger_collector.lake import DataFile, file_path, open_for_reading, open_table, replace_files, write_file
from spanledger_collector.rollups import MAKE, ROLLUPS, CountedFrom, counted_from
from spanledger_collector.row import PARTITION, TIME
from spanledger_collector.storage import changed_at
from spanledger_collector.tables import SETTLEMENTS, SUPERSEDED, LakeTable
from spanledger_collector.upkeep import delete_replaced

from .connection import lacks_columns, load_query, name_said, open_connection
from .snapshot import Snapshot, Snapshots

MOST_SPANS: Final = 1_000_000
"""Of the days that are counted at once, unless one alone has more."""
_MOST_DAYS: Final = 64
_MEMORY: Final = "1GB"
_NOBODY_SETTLES_MS: Final = 3_600_000
"""After so long a day is counted though it isn't settled."""
_NEVER_MS: Final = 2**53


@dataclass(slots=True)
class Refreshed:
    """What a look at the rollups of a lake did."""

    counted: list[date] = field(default_factory=list)
    """UTC days that were counted, or counted again."""
    dropped: list[date] = field(default_factory=list)
    """Days that were taken out, because no spans of them are left."""


def refresh_rollups(lake: LakePath) -> Refreshed:
    """Count every day of a lake that isn't counted as it is now, today included.

    Raises:
        LakeError: the lake can't be used, or other writers won every race.
        duckdb.Error: a file can't be read, or there is no room for what is in the works.
    """
    return refresh(Snapshots(lake, (SUPERSEDED, SETTLEMENTS)).now())


def refresh(snapshot: Snapshot, days: Iterable[date] | None = None) -> Refreshed:
    """Count those of `days` that aren't counted as they are in `snapshot`; None is all."""
    wanted = snapshot.fingerprints()
    chosen = set(wanted if days is None else days).intersection(wanted)
    done = Refreshed()
    for portion in portions(snapshot, sorted(chosen.difference(snapshot.counted()))):
        _count(snapshot, portion, wanted)
        done.counted += portion
    done.dropped = _drop(snapshot, wanted)
    return done


def tidy(lake: LakePath) -> None:
    """Delete the files of rollups that were replaced long enough ago that no question has them open."""
    for table in ROLLUPS:
        if (delta := open_for_reading(lake, table)) is not None:
            delete_replaced(delta)


def due_days(snapshot: Snapshot, now: datetime) -> list[date]:
    """Return the days that are over, not counted as they are, and quiet: all of their spans were looked at whole."""
    counted, wanted = snapshot.counted(), snapshot.fingerprints()
    now_ms = int(now.timestamp() * 1000)
    over = [dt for dt in wanted if dt < now.date() and dt not in counted]
    taken = _taken_ms(snapshot, over)
    waits = {dt: max(taken[dt], _provisional_until_ms(snapshot, dt, wanted[dt])) for dt in over}
    until = max(snapshot.settled_until_ms, now_ms - _NOBODY_SETTLES_MS)
    return [dt for dt in over if waits[dt] <= until]


def open_counting(snapshot: Snapshot, days: Sequence[date], scratch: str) -> duckdb.DuckDBPyConnection:
    """Open a connection whose `<rollup>_in($files)` counts these days, in little memory; `$files` is its variable."""
    files = snapshot.files_of(days)
    connection = open_connection(snapshot.lake, touched=len(files.touched) > 1)
    connection.execute(f"set memory_limit = '{_MEMORY}'")
    connection.execute("set threads = 1")
    connection.execute("set temp_directory = $scratch", {"scratch": scratch})
    some = any(map(lacks_columns, (*files.spans, *files.touched)))
    connection.execute("set variable some_lack_columns = $some", {"some": some})
    connection.execute("set variable live_files = $files", {"files": files.spans})
    connection.execute("set variable raw_days = $days::date[]", {"days": list(days)})
    name_said(connection, files)
    return connection


def _count(snapshot: Snapshot, days: Sequence[date], wanted: Mapping[date, str]) -> None:
    with tempfile.TemporaryDirectory(prefix="spanledger-") as scratch, open_counting(snapshot, days, scratch) as opened:
        until = dict(opened.execute(load_query("provisional_until")).fetchall())
        names = {
            dt: CountedFrom(MAKE, wanted[dt], snapshot.settled_until_ms, min(until.get(dt, -1), _NEVER_MS)).name()
            for dt in days
        }
        counted_at = datetime.now(UTC)
        for table in ROLLUPS:
            cells = opened.sql(load_query(f"rollups/{table.name}")).to_arrow_table()
            cells = cells.append_column("counted_at", pa.repeat(pa.scalar(counted_at, TIME), cells.num_rows))
            _replace(snapshot, table, _write(snapshot.lake, table, cells, names))


def _write(lake: LakePath, table: LakeTable, cells: pa.Table, names: Mapping[date, str]) -> list[DataFile]:
    order = [(PARTITION, "ascending"), *((name, "ascending") for name in table.key)]
    cells = cells.select(table.full_schema.names).cast(table.full_schema).sort_by(order)
    return [
        write_file(lake, name, cells.filter(pc.equal(cells[PARTITION], pa.scalar(dt, pa.date32()))), table, dt)
        for dt, name in names.items()
    ]


def _replace(snapshot: Snapshot, table: LakeTable, new: Sequence[DataFile]) -> None:
    days = {file.dt for file in new}
    gone = [file for file in snapshot.rollups[table.name] if file.dt in days]
    # Where somebody else has replaced one meanwhile, the next look counts again what doesn't hold.
    replace_files(open_table(snapshot.lake, table), gone, new, table, same_rows=False)


def _drop(snapshot: Snapshot, wanted: Mapping[date, str]) -> list[date]:
    dropped = set[date]()
    for table in ROLLUPS:
        gone = [file for file in snapshot.rollups[table.name] if file.dt not in wanted]
        if gone:
            replace_files(open_table(snapshot.lake, table), gone, [], table, same_rows=False)
        dropped.update(file.dt for file in gone)
    return sorted(dropped)


def portions(snapshot: Snapshot, days: Sequence[date]) -> Iterator[list[date]]:
    """Return days in portions that are counted at once."""
    rows: dict[date, int] = dict.fromkeys(days, 0)
    for file in snapshot.spans:
        if file.dt in rows:
            rows[file.dt] += file.rows
    portion: list[date] = []
    for dt in days:
        full = sum(rows[one] for one in portion) + rows[dt] > MOST_SPANS or len(portion) == _MOST_DAYS
        if portion and full:
            yield portion
            portion = []
        portion.append(dt)
    if portion:
        yield portion


def _taken_ms(snapshot: Snapshot, days: Iterable[date]) -> dict[date, int]:
    """Return by day when its last file was written, milliseconds since 1970."""
    taken = dict.fromkeys(days, 0)
    for file in snapshot.spans:
        if file.dt in taken:
            with contextlib.suppress(FileNotFoundError):
                written = int(changed_at(file_path(snapshot.lake, file)) * 1000)
                taken[file.dt] = max(taken[file.dt], written)
    return taken


def _provisional_until_ms(snapshot: Snapshot, dt: date, wanted: str) -> int:
    """Return how far the lake has to be settled before a day that was counted from these files is counted again."""
    for file in snapshot.rollups[ROLLUPS[0].name]:
        said = counted_from(file) if file.dt == dt else None
        if said is not None and said.make == MAKE and said.files == wanted:
            return said.provisional_until_ms
    return -1

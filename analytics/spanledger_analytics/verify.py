"""Counting a lake again: that its files are what the log says, and its rows what the views rely on.

Each check is a line of `CHECKS`: what it looks at, one unit after the other, and a function that says of a unit what is
wrong. Nothing is changed, and collectors may go on meanwhile: what they replace stays on disk for an hour, and all
checks stand on the files that were live at the start.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from spanledger.lake_path import LakePath
from spanledger_collector.catalog import TABLES
from spanledger_collector.lake import DataFile, committed_version, file_path, live_files, open_for_reading
from spanledger_collector.orphans import old_orphans
from spanledger_collector.storage import exists, parquet, size_of
from spanledger_collector.tables import CORRECTIONS, SETTLEMENTS, SPANS, SUPERSEDED, LakeTable

from .cells_check import CountedDay, counted_now
from .connection import load_query, open_connection
from .snapshot import template

MOST_SAID: Final = 20
"""Rows of one kind that are named; of more it is said how many there are."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    check: str
    where: str
    """A file of the lake, or a table and day."""
    words: str


class Subject:
    """A lake as it stood when the checking began."""

    def __init__(self, lake: LakePath) -> None:
        self.lake = lake
        # What is said of rows before the rows, or it would be of some that came later; but what replaced them after.
        order = (*(table for table in TABLES if table not in (SPANS, SUPERSEDED)), SPANS, SUPERSEDED)
        found = {table: open_for_reading(lake, table) for table in order}
        self.tables = {table: delta for table, delta in found.items() if delta is not None}
        self.live = {table: live_files(delta, table) for table, delta in self.tables.items()}
        self._connection = open_connection(lake)
        self._connection.execute("set variable as_of = null::timestamptz")
        self._connection.execute("set variable pending_commits = $said::varchar[]", {"said": self._pending()})

    def days(self, table: LakeTable) -> list[date]:
        """Return the UTC days for which a table has files."""
        return sorted({file.dt for file in self.live.get(table, ())})

    def paths(self, table: LakeTable, dt: date) -> list[str]:
        """Return the files of a table for a day, behind one that has its columns."""
        files = [file for file in self.live.get(table, ()) if file.dt == dt]
        return [template(table), *(str(file_path(self.lake, file)) for file in files)]

    def rows(self, query: str, **files: list[str]) -> list[tuple[Any, ...]]:
        """Run `sql/<query>.sql`."""
        return self._connection.execute(load_query(query), files).fetchall()

    def _pending(self) -> list[str]:
        """Return the commits, as writer/segment, that `superseded` names and `spans` doesn't hold."""
        commits: set[tuple[str, int]] = set()
        for file in self.live.get(SUPERSEDED, ()):
            path = file_path(self.lake, file)
            if exists(path):
                rows = pq.read_table(parquet(path), columns=["writer", "segment"], partitioning=None)
                commits.update(zip(rows["writer"].to_pylist(), rows["segment"].to_pylist(), strict=True))
        spans = self.tables.get(SPANS)
        held = {writer: committed_version(spans, writer) if spans else -1 for writer, _ in commits}
        return [f"{writer}/{segment}" for writer, segment in commits if segment > held[writer]]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `CHECKS`."""

    sentence: str
    """What holds where nothing is found."""
    units: Callable[[Subject], Sequence[Any]]
    look: Callable[[Subject, Any], Iterable[tuple[str, str]]]
    """Gives where something is wrong, and in words what."""


def _every_file(subject: Subject) -> list[DataFile]:
    return [file for files in subject.live.values() for file in files]


def _look_at_file(subject: Subject, file: DataFile) -> Iterator[tuple[str, str]]:
    path = file_path(subject.lake, file)
    where = f"{file.table}/{file.path}"
    try:
        size, rows = size_of(path), pq.read_metadata(parquet(path)).num_rows
    except FileNotFoundError:
        yield where, "is in the log and not on disk"
        return
    except (OSError, pa.ArrowInvalid) as error:
        yield where, f"can't be read: {error}"
        return
    if rows != file.rows:
        yield where, f"has {rows} rows, of which the log says {file.rows}"
    if size != file.size:
        yield where, f"has {size} bytes, of which the log says {file.size}"
    if isinstance(path, Path) and (mode := path.stat().st_mode) & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        yield where, f"can be written to (mode {stat.S_IMODE(mode):04o})"


def _every_table(subject: Subject) -> list[LakeTable]:
    return list(subject.tables)


def _look_for_orphans(subject: Subject, table: LakeTable) -> Iterator[tuple[str, str]]:
    for path in old_orphans(subject.tables[table], table):
        words = "is on disk for a day and in no commit: something died; `spanledger maintain` deletes it"
        yield str(path.relative_to(subject.lake)), words


def _days_of(table: LakeTable) -> Callable[[Subject], list[date]]:
    return lambda subject: subject.days(table)


def _look_for_repeats(subject: Subject, dt: date) -> Iterator[tuple[str, str]]:
    found = subject.rows("verify_repeats", files=subject.paths(SPANS, dt), superseded=subject.paths(SUPERSEDED, dt))
    yield from _named(f"spans of {dt}", found, lambda row: f"{row[0]}/{row[1]} counts {row[2]} times")


def _look_at_money(table: LakeTable) -> Callable[[Subject, date], Iterator[tuple[str, str]]]:
    def look(subject: Subject, dt: date) -> Iterator[tuple[str, str]]:
        found = subject.rows("verify_money", files=subject.paths(table, dt))
        where = f"{table.name} of {dt}"
        yield from _named(where, found, lambda row: f"{row[0]}/{row[1]} costs {row[2]}, and its parts {row[3]}")

    return look


def _look_at_said(table: LakeTable) -> Callable[[Subject, date], Iterator[tuple[str, str]]]:
    def look(subject: Subject, dt: date) -> Iterator[tuple[str, str]]:
        found = subject.rows("verify_said", said=subject.paths(table, dt), files=subject.paths(SPANS, dt))
        where = f"{table.name} of {dt}"
        yield from _named(where, found, lambda row: f"{row[0]}/{row[1]} of {row[2]} is no row of spans")

    return look


def _every_counted_day(subject: Subject) -> list[CountedDay]:
    return counted_now(subject.lake)


def _look_at_cells(_: Subject, day: CountedDay) -> Iterator[tuple[str, str]]:
    for one in day.differences():
        yield f"{one.rollup} of {one.dt}", f"has {one.rows} cells that its spans don't come to, or lacks them"


def _named(
    where: str, found: Sequence[tuple[Any, ...]], words: Callable[[tuple[Any, ...]], str]
) -> Iterator[tuple[str, str]]:
    for row in found[:MOST_SAID]:
        yield where, words(row)
    if len(found) > MOST_SAID:
        yield where, f"and {len(found) - MOST_SAID} more"


CHECKS: Final[Mapping[str, Check]] = {
    "files": Check("each live file is there, readable, read-only, as long as the log says", _every_file, _look_at_file),
    "orphans": Check("nothing old lies on disk that no commit names", _every_table, _look_for_orphans),
    "repeats": Check("of each span one version counts", _days_of(SPANS), _look_for_repeats),
    "money": Check("the parts of each cost add up to it", _days_of(SPANS), _look_at_money(SPANS)),
    "settled": Check("each settlement is of a row of spans", _days_of(SETTLEMENTS), _look_at_said(SETTLEMENTS)),
    "settled-money": Check("so do those of settlements", _days_of(SETTLEMENTS), _look_at_money(SETTLEMENTS)),
    "corrected": Check("each correction is of a row of spans", _days_of(CORRECTIONS), _look_at_said(CORRECTIONS)),
    "rollups": Check("rollups say what the spans of their days come to", _every_counted_day, _look_at_cells),
}
"""All of them, in the order in which they are made."""


def verify(subject: Subject, advance: Callable[[int], None] = lambda _: None) -> Iterator[Fault]:
    """Make every check, and give what is wrong as it is found; `advance` is told of each unit that was looked at.

    A day whose files can't be read is a fault of its own.
    """
    for name, check in CHECKS.items():
        for unit in check.units(subject):
            try:
                for where, words in check.look(subject, unit):
                    yield Fault(name, where, words)
            except duckdb.Error as error:
                yield Fault(name, str(unit), f"can't be checked: {str(error).splitlines()[0]}")
            advance(1)


def count_units(subject: Subject) -> int:
    """Return how many units `verify` looks at."""
    return sum(len(check.units(subject)) for check in CHECKS.values())

"""What a question stands on: the files of the lake's tables that are live at one moment.

DuckDB is handed lists of files from the Delta logs, and in front of each list an empty file with today's columns:
older files lack columns that were added later, and the first file decides the types. Files about whose rows something
is said elsewhere, that they are superseded or what they are settled as, are listed apart, because to look that up costs
several times as much as reading them. Of a day that was written anew nothing has to be looked up, unless more was said
since, or somebody asks what was known before.

`spans` is read first, what is said about it after that: so all that is said about its rows is there. What is said of
a commit that `spans` doesn't hold yet is named in `pending`, and doesn't count.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from spanledger.lake_path import LakePath, in_store
from spanledger_collector.catalog import SIDE_TABLES
from spanledger_collector.folding import NOTHING_SAID, is_older, mark_in, mark_of
from spanledger_collector.lake import (
    DataFile,
    committed_version,
    file_path,
    live_files,
    open_for_reading,
    table_path,
)
from spanledger_collector.logwatch import entry_path
from spanledger_collector.rollups import ROLLUPS
from spanledger_collector.storage import each, exists, parquet
from spanledger_collector.tables import SETTLED_UNTIL, SETTLEMENTS, SPANS, SUPERSEDED, LakeTable
from spanledger_collector.versions import CUT

from .counted import Cells, counted_days, fingerprints

_MAKING: Final = threading.Lock()
"""Held while an empty file is made: threads that ask at once would each make it."""
_LATE: Final = timedelta(days=1)
"""Spans of a day come for so long after it, as a rule."""


@dataclass(frozen=True, slots=True)
class LakeFiles:
    """The files that the views stand on; the first of each list is the empty one."""

    spans: list[str]
    """Those whose rows count as they are."""
    touched: list[str]
    """Those of `spans` some rows of which may be superseded or settled."""
    beside: Mapping[str, list[str]]
    """Name of a side table to its files."""
    pending: list[str]
    """`writer/segment` of commits that `spans` doesn't hold yet."""
    settled_until: datetime | None
    """What was taken before it is settled, as far as it is here; None where nothing is."""
    cells: Mapping[str, list[str]] = field(default_factory=dict)
    """Name of a rollup to its files of the days that are counted."""
    raw_days: list[date] | None = None
    """Those that aren't; None stands for all."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been collected."""
        return len(self.spans) + len(self.touched) == 2

    @property
    def in_store(self) -> bool:
        """Whether they are in a store, but for the empty ones."""
        return any(map(in_store, self.paths()))

    def deciding(self) -> list[str]:
        """Return the files of settlements of the days of `touched`: to open all costs more than to read these."""
        empty, *said = self.beside[SETTLEMENTS.name]
        days = {Path(file).parent.name for file in self.touched}
        return [empty, *(file for file in said if Path(file).parent.name in days)]

    def paths(self) -> Iterator[str]:
        """Yield every file."""
        yield from self.spans
        yield from self.touched
        for files in (*self.beside.values(), *self.cells.values()):
            yield from files


class Snapshots:
    """Looks at a lake again and again; safe to share between threads."""

    def __init__(self, lake: LakePath, tables: Iterable[LakeTable] = SIDE_TABLES) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._latest: Snapshot | None = None
        self._spans = _Live(lake, SPANS)
        self._settlements = _Live(lake, SETTLEMENTS)
        self._beside = [_Live(lake, table) for table in tables if table is not SETTLEMENTS] + [self._settlements]
        self._rollups = [_Live(lake, table) for table in ROLLUPS]

    def now(self) -> Snapshot:
        """Return what is live now."""
        with self._lock:
            self._spans.refresh()
            each(self._lake, _Live.refresh, (*self._beside, *self._rollups))
            if self._latest is None or not self._is_now(self._latest):
                self._latest = self._look()
            return self._latest

    def _is_now(self, snapshot: Snapshot) -> bool:
        beside = all(snapshot.beside[live.table.name] is live.files for live in self._beside)
        counted = all(snapshot.rollups[live.table.name] is live.files for live in self._rollups)
        return beside and counted and snapshot.spans is self._spans.files

    def _look(self) -> Snapshot:
        beside = {live.table.name: live.files for live in self._beside}
        said = {commit for file in beside[SUPERSEDED.name] for commit in _commits_in(file_path(self._lake, file))}
        pending = [f"{writer}/{segment}" for writer, segment in said if segment > self._spans.committed(writer)]
        until = self._settlements.committed(SETTLED_UNTIL)
        rollups = {live.table.name: live.files for live in self._rollups}
        return Snapshot(self._lake, self._spans.version, self._spans.files, beside, pending, until, rollups)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The live files of a lake at one moment."""

    lake: LakePath
    version: int
    """Of the table `spans`; -1 where nothing was collected."""
    spans: Sequence[DataFile]
    beside: Mapping[str, Sequence[DataFile]]
    pending: Sequence[str]
    settled_until_ms: int
    """Milliseconds since 1970; -1 where nothing is settled."""
    rollups: Mapping[str, Sequence[DataFile]]

    def stamp(self, first: date | None, last: date | None) -> int:
        """Return a number that changes when the live files of these days do, or how far the latest are settled."""
        every = (self.spans, *self.beside.values())
        paths = (file.path for files in every for file in prune(files, first, last))
        until = self._settled_until()
        recent = until is None or last is None or last >= until.date() - _LATE
        return hash((self.settled_until_ms if recent else None, *paths))

    def files(self, first: date | None = None, last: date | None = None, *, unfolded: bool = False) -> LakeFiles:
        """Return the files for the UTC days `first` to `last`, inclusive; None is no bound.

        With `unfolded` nothing counts as settled that isn't looked up: for questions about an earlier moment.
        """
        return self._files(prune(self.spans, first, last), first, last, unfolded=unfolded)

    def files_between(self, begin: datetime, end: datetime) -> LakeFiles:
        """Return the files that may hold a span that began between two moments (UTC, inclusive)."""
        days = begin.date(), end.date()
        spans = [file for file in prune(self.spans, *days) if file.start_min <= end and file.start_max + CUT >= begin]
        return self._files(spans, *days)

    def files_beside(self, counted: Mapping[date, Cells], first: date | None, last: date | None) -> LakeFiles:
        """Return the files for the days that aren't among the `counted` ones, and the cells of those that are."""
        spans = [file for file in prune(self.spans, first, last) if file.dt not in counted]
        return replace(self._files(spans, first, last), cells=self._cells(counted))

    def files_of(self, days: Sequence[date]) -> LakeFiles:
        """Return the files for some UTC days, at least one."""
        spans = [file for file in self.spans if file.dt in set(days)]
        return self._files(spans, min(days), max(days))

    def files_and_cells(self) -> LakeFiles:
        """Return all files, and the cells of the days that are counted."""
        counted = self.counted()
        raw = sorted({file.dt for file in self.spans}.difference(counted))
        return replace(self.files(), cells=self._cells(counted), raw_days=raw)

    def counted(self, first: date | None = None, last: date | None = None) -> dict[date, Cells]:
        """Return the days that rollups have counted from just these files, each with its cells."""
        rollups = {name: prune(files, first, last) for name, files in self.rollups.items()}
        return counted_days(self.fingerprints(first, last), rollups, self.settled_until_ms)

    def fingerprints(self, first: date | None = None, last: date | None = None) -> dict[date, str]:
        """Return by day what its rollups have to be counted from."""
        said = [*self.beside[SUPERSEDED.name], *self.beside[SETTLEMENTS.name]]
        return fingerprints(prune(self.spans, first, last), prune(said, first, last), self._pending_by_day())

    def _pending_by_day(self) -> dict[date, list[str]]:
        found: dict[date, list[str]] = {}
        for file in self.beside[SUPERSEDED.name] if self.pending else ():
            named = (f"{writer}/{segment}" for writer, segment in _commits_in(file_path(self.lake, file)))
            found.setdefault(file.dt, []).extend(set(self.pending).intersection(named))
        return found

    def _cells(self, counted: Mapping[date, Cells]) -> dict[str, list[str]]:
        days = [counted[dt] for dt in sorted(counted)]
        return {table.name: self._paths(table, [cells[table.name] for cells in days]) for table in ROLLUPS}

    def _files(
        self, live: Sequence[DataFile], first: date | None, last: date | None, *, unfolded: bool = False
    ) -> LakeFiles:
        beside = {name: prune(files, first, last) for name, files in self.beside.items()}
        marks = {} if unfolded else _marks((*beside[SUPERSEDED.name], *beside[SETTLEMENTS.name]))
        spans: list[DataFile] = []
        folded: list[DataFile] = []
        for file in live:
            is_folded = not unfolded and mark_in(file.path) == marks.get(file.dt, NOTHING_SAID)
            (folded if is_folded else spans).append(file)
        touched = _touched(spans, beside[SUPERSEDED.name], {file.dt for file in beside[SETTLEMENTS.name]})
        plain = [file for file in spans if file.path not in touched]
        plain += [file for file in folded if not is_older(file.path)]
        return LakeFiles(
            self._paths(SPANS, plain),
            self._paths(SPANS, [file for file in spans if file.path in touched]),
            {table.name: self._paths(table, beside[table.name]) for table in SIDE_TABLES if table.name in beside},
            list(self.pending),
            self._settled_until(),
        )

    def _settled_until(self) -> datetime | None:
        return None if self.settled_until_ms < 0 else datetime.fromtimestamp(self.settled_until_ms / 1000, UTC)

    def _paths(self, table: LakeTable, files: Sequence[DataFile]) -> list[str]:
        return [template(table), *(str(file_path(self.lake, file)) for file in files)]


class _Live:
    """A table and its live files, as last seen."""

    def __init__(self, lake: LakePath, table: LakeTable) -> None:
        self.table = table
        self.version = -1
        self.files: list[DataFile] = []
        self._lake = lake
        self._delta: DeltaTable | None = None

    def refresh(self) -> None:
        """Look at the table as it is now; a lake that was deleted and made again is another table."""
        before, self._delta = self._delta, self._now()
        version = self._delta.version() if self._delta else -1
        if self._delta is not before or version != self.version:
            self.version = version
            self.files = live_files(self._delta, self.table) if self._delta else []

    def committed(self, writer: str) -> int:
        """Return the highest segment of a writer that the table has, or -1."""
        return committed_version(self._delta, writer) if self._delta else -1

    def _now(self) -> DeltaTable | None:
        log = table_path(self._lake, self.table) / "_delta_log"
        if self._delta is None or not exists(entry_path(log, self._delta.version())):
            return open_for_reading(self._lake, self.table)
        if not exists(entry_path(log, self._delta.version() + 1)):
            return self._delta
        try:
            self._delta.update_incremental()
        except DeltaError:
            return open_for_reading(self._lake, self.table)
        return self._delta


class LiveFiles:
    """Looks at one table again and again; safe to share between threads."""

    def __init__(self, lake: LakePath, table: LakeTable) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._live = _Live(lake, table)

    def now(self, first: date | None = None) -> list[str]:
        """Return the files that are live now, of the days from `first` on (None: all); first the empty one."""
        with self._lock:
            self._live.refresh()
            files = prune(self._live.files, first, None)
        return [template(self._live.table), *(str(file_path(self._lake, file)) for file in files)]


def files_now(lake: LakePath, *, unfolded: bool = False) -> LakeFiles:
    """Return the files that the views stand on now; `unfolded` for questions about an earlier moment."""
    snapshot = Snapshots(lake).now()
    return snapshot.files(unfolded=True) if unfolded else snapshot.files_and_cells()


def prune(files: Iterable[DataFile], first: date | None, last: date | None) -> list[DataFile]:
    """Return the files of the UTC days `first` to `last`, inclusive; None is no bound."""
    return [file for file in files if (first is None or file.dt >= first) and (last is None or file.dt <= last)]


def _touched(spans: Sequence[DataFile], superseded: Sequence[DataFile], settled: set[date]) -> set[str]:
    """Return the paths of the files that may hold a superseded row, by the start of the span, or a settled one."""
    times = _times_of(superseded)
    return {file.path for file in spans if file.dt in settled or _meets(file, times.get(file.dt, []))}


def _marks(said: Iterable[DataFile]) -> dict[date, str]:
    """Return by day the mark that a file has in which all is folded that is said about it."""
    days = defaultdict[date, list[DataFile]](list)
    for file in said:
        days[file.dt].append(file)
    return {dt: mark_of(files) for dt, files in days.items()}


def _times_of(files: Sequence[DataFile]) -> dict[date, list[tuple[datetime, datetime]]]:
    """Return by day the stretches of time that files cover, in order and apart from each other."""
    times: dict[date, list[tuple[datetime, datetime]]] = {}
    for file in sorted(files, key=lambda file: file.start_min):
        stretches = times.setdefault(file.dt, [])
        first, last = file.start_min, file.start_max + CUT
        if stretches and first <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], max(stretches[-1][1], last))
        else:
            stretches.append((first, last))
    return times


def _meets(file: DataFile, stretches: Sequence[tuple[datetime, datetime]]) -> bool:
    """Whether a file covers a moment of one of the stretches: of the last that begins before the file ends."""
    place = bisect_right(stretches, file.start_max + CUT, key=lambda stretch: stretch[0])
    return place > 0 and stretches[place - 1][1] >= file.start_min


@lru_cache(maxsize=100_000)
def _commits_in(path: LakePath) -> frozenset[tuple[str, int]]:
    """Return the (writer, segment) of the rows of a file of `superseded`; files never change, so it is read once."""
    rows = pq.read_table(parquet(path), columns=["writer", "segment"], partitioning=None)
    return frozenset(zip(rows["writer"].to_pylist(), rows["segment"].to_pylist(), strict=True))


def template(table: LakeTable) -> str:
    """Return the path of an empty file with today's columns of a table, made once a process and removed at its end."""
    with _MAKING:
        return _made(table)


@cache
def _made(table: LakeTable) -> str:
    path = _templates() / table.name / "dt=1970-01-01" / "none.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table.schema.empty_table(), path)
    return str(path)


@cache
def _templates() -> Path:
    folder = tempfile.mkdtemp(prefix="spanledger-")
    Path(folder).chmod(0o755)  # so that the process of a box, which is another user's, reads them, too
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)

"""Which spans the lake already holds, so that an exporter's retry is not counted twice.

A key is 8 bytes for the 24 of (trace_id, span_id), kept sorted a day; a hit is only a suspicion and is checked
against the ids themselves. The index is derived: a day is read from the lake when it is first touched, and then
only the files that others add to it. Large days are kept in files of ours and mapped into memory: when they are over,
and before that each time that an eighth has come.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from spanledger.lake_path import LakePath

from .changes import Rewrite
from .keyfiles import KeyFiles, Keys
from .lake import DataFile, file_path, table_path
from .storage import each, exists, parquet
from .worker import LOG

KEPT_FROM: Final = 200_000
"""Keys of a day in memory that are worth writing to disk: fewer are read from the lake in a tenth of a second."""
KEPT_WHILE_OPEN_FROM: Final = 1_000_000
"""The same for the day that is under way, and for one in whose file there are no more than eight times as many."""
_IDS: Final = ["trace_id", "span_id"]
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_FOLD: Final = np.uint64(29)


class DayKeys:
    """The keys of one day: a sorted part on disk, and sorted runs that are merged as they grow."""

    def __init__(self, kept: Keys | None = None, paths: set[str] | None = None) -> None:
        self._kept = kept if kept is not None else np.zeros(0, np.uint64)
        self._runs: list[Keys] = []
        self.paths = paths or set()
        """Files whose keys are in."""

    def __len__(self) -> int:
        """Return how many are in memory."""
        return sum(len(run) for run in self._runs)

    def add(self, keys: Keys) -> None:
        """Add the keys of a commit."""
        self._runs.append(np.sort(keys))
        while len(self._runs) > 1 and 2 * len(self._runs[-1]) >= len(self._runs[-2]):
            last = self._runs.pop()
            self._runs[-1] = _merged(self._runs[-1], last)

    def holds(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Say which of `keys` may be in."""
        found = np.zeros(len(keys), dtype=np.bool_)
        for run in (self._kept, *self._runs):
            if len(run):
                places = np.minimum(np.searchsorted(run, keys), len(run) - 1)
                found |= run[places] == keys
        return found

    def worth_keeping(self, *, is_open: bool) -> bool:
        """Say whether there is so much in memory that it should be on disk."""
        return len(self) >= (max(KEPT_WHILE_OPEN_FROM, len(self._kept) // 8) if is_open else KEPT_FROM)

    def keep(self, dt: date, files: KeyFiles) -> None:
        """Move what is in memory to the part on disk."""
        self._kept = files.save(dt, self._kept, _merged(*self._runs), self.paths)
        self._runs = []


class KeyIndex:
    """Keys by day, at most `limit` of them in memory; the day longest unused is let go first."""

    def __init__(self, lake: LakePath, folder: Path | None = None, limit: int = 40_000_000) -> None:
        self._lake = lake
        self._files = KeyFiles(folder) if folder else None
        self._limit = limit
        self._days: OrderedDict[date, DayKeys] = OrderedDict()

    def day(self, dt: date, live: Sequence[DataFile]) -> DayKeys:
        """Return the keys of a day, after reading those of its live files that aren't in yet."""
        if dt not in self._days:
            kept = self._files.load(dt) if self._files else None
            self._days[dt] = DayKeys(*kept) if kept else DayKeys()
        day = self._days[dt]
        self._days.move_to_end(dt)
        unread = [file for file in live if file.dt == dt and file.path not in day.paths]
        if unread:
            day.add(np.concatenate(each(self._lake, partial(read_keys, self._lake), unread)))
            day.paths.update(file.path for file in unread)
        if self._files and day.worth_keeping(is_open=dt >= datetime.now(UTC).date()):
            day.keep(dt, self._files)
        self._trim()
        return day

    def knows(self, file: DataFile) -> bool:
        """Whether the keys of a file are in."""
        return file.dt in self._days and file.path in self._days[file.dt].paths

    def note(self, file: DataFile) -> None:
        """Note a file that holds nothing but rows whose keys are in."""
        if file.dt in self._days:
            self._days[file.dt].paths.add(file.path)

    def rewritten(self, rewrite: Rewrite) -> None:
        """Note which files took the place of others, if the keys of all these are in."""
        day = self._days.get(rewrite.dt)
        if day is not None and rewrite.gone <= day.paths:
            day.paths -= rewrite.gone
            day.paths |= rewrite.new

    def catch_up(self, rewrite: Rewrite) -> None:
        """Read the keys of files that were replaced and aren't in yet, as long as they are on disk."""
        day = self._days.get(rewrite.dt)
        paths = sorted(rewrite.gone - day.paths) if day is not None else []
        if day is not None and all(exists(table_path(self._lake) / path) for path in paths):
            for path in paths:
                day.add(_read_keys(table_path(self._lake) / path))
            day.paths.update(paths)

    def _trim(self) -> None:
        while len(self._days) > 1 and sum(map(len, self._days.values())) > self._limit:
            self._days.popitem(last=False)


def _merged(*runs: Keys) -> Keys:
    return np.sort(np.concatenate(runs), kind="stable")  # which goes through sorted runs once


def read_keys(lake: LakePath, file: DataFile) -> Keys:
    """Return the keys of the rows of a data file, in their order; a file that is gone holds none."""
    try:
        return _read_keys(file_path(lake, file))
    except FileNotFoundError:
        # Somebody else deleted it. Queries will say so; to stop taking spans would make it worse.
        LOG.warning("%s is in the log of the lake but not on disk; its spans can't be recognised", file.path)
        return np.zeros(0, np.uint64)


def _read_keys(path: LakePath) -> Keys:
    return keys_of(pq.read_table(parquet(path), columns=_IDS, partitioning=None))


def keys_of(ids: pa.Table) -> Keys:
    """Return 64-bit keys for a table with trace_id (32 hex digits) and span_id (16 hex digits).

    The digits are mixed as they stand, eight to a word; keys on disk depend on how.
    """
    words = [word for name in _IDS for word in _words(ids[name].combine_chunks()).T]
    keys: Keys = words[0] * _SPREAD
    for word in words[1:]:
        keys = (keys ^ keys >> _FOLD ^ word) * _SPREAD
    return keys


def _words(digits: pa.Array) -> Keys:
    """Return texts of one length as rows of 8-byte words."""
    _, offsets, data = digits.buffers()
    if not len(digits):
        return np.zeros((0, 1), np.uint64)
    first, end = np.frombuffer(offsets, np.int32)[[digits.offset, digits.offset + len(digits)]]
    words: Keys = np.frombuffer(data, np.uint8)[first:end].reshape(len(digits), -1).view("<u8")
    return words

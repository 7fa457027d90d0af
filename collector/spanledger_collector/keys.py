"""Which spans the lake already holds, so that an exporter's retry is not counted twice.

A key is 8 bytes for the 24 of (trace_id, span_id), kept sorted a day; a hit is only a suspicion and is checked
against the ids themselves. The index is derived: a day is read from the lake when it is first touched, and then
only the files that others add to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .lake import DataFile, file_path
from .worker import LOG

Keys = npt.NDArray[np.uint64]
_IDS: Final = ["trace_id", "span_id"]


class DayKeys:
    """The keys of one day, in sorted runs that are merged as they grow."""

    def __init__(self) -> None:
        self._runs: list[Keys] = []
        self.paths: set[str] = set()
        """Files whose keys are in."""

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def add(self, keys: Keys) -> None:
        """Add the keys of a commit."""
        self._runs.append(np.sort(keys))
        while len(self._runs) > 1 and 2 * len(self._runs[-1]) >= len(self._runs[-2]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]))

    def holds(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Say which of `keys` may be in."""
        found = np.zeros(len(keys), dtype=np.bool_)
        for run in self._runs:
            if len(run):
                places = np.minimum(np.searchsorted(run, keys), len(run) - 1)
                found |= run[places] == keys
        return found


class KeyIndex:
    """Keys by day, at most `limit` of them in memory; the day longest unused is let go first."""

    def __init__(self, lake: Path, limit: int = 40_000_000) -> None:
        self._lake = lake
        self._limit = limit
        self._days: OrderedDict[date, DayKeys] = OrderedDict()

    def day(self, dt: date, live: Sequence[DataFile]) -> DayKeys:
        """Return the keys of a day, after reading those of its live files that aren't in memory."""
        day = self._days.setdefault(dt, DayKeys())
        self._days.move_to_end(dt)
        unread = [file for file in live if file.dt == dt and file.path not in day.paths]
        ids = read_ids(self._lake, unread)
        if ids.num_rows:
            day.add(keys_of(ids))
        day.paths.update(file.path for file in unread)
        self._trim()
        return day

    def catch_up(self, live: Sequence[DataFile]) -> None:
        """Read what others added to the days in memory."""
        for dt in list(self._days):
            self.day(dt, live)

    def knows(self, file: DataFile) -> bool:
        """Whether the keys of a file are in."""
        return file.dt in self._days and file.path in self._days[file.dt].paths

    def rewritten(self, files: Sequence[DataFile]) -> None:
        """Note files that hold nothing but rows of files known before."""
        for file in files:
            if file.dt in self._days:
                self._days[file.dt].paths.add(file.path)

    def _trim(self) -> None:
        while len(self._days) > 1 and sum(map(len, self._days.values())) > self._limit:
            self._days.popitem(last=False)


def keys_of(ids: pa.Table) -> Keys:
    """Return 64-bit keys for a table with trace_id (32 hex digits) and span_id (16 hex digits)."""
    return _last_8_bytes(ids["trace_id"]) * np.uint64(0x9E3779B97F4A7C15) ^ _last_8_bytes(ids["span_id"])


def read_ids(lake: Path, files: Sequence[DataFile]) -> pa.Table:
    """Read (trace_id, span_id) of data files; a file that is gone holds none."""
    tables = [pa.table({name: pa.array([], pa.string()) for name in _IDS})]
    for file in files:
        try:
            tables.append(pq.read_table(file_path(lake, file), columns=_IDS, partitioning=None))
        except FileNotFoundError:
            # Somebody else deleted it. Queries will say so; to stop taking spans would make it worse.
            LOG.warning("%s is in the log of the lake but not on disk; its spans can't be recognised", file.path)
    return pa.concat_tables(tables)


def _last_8_bytes(column: pa.ChunkedArray) -> Keys:
    digits = pc.utf8_slice_codeunits(column.combine_chunks(), -16)
    _, offsets, data = digits.buffers()
    if not len(digits):
        return np.zeros(0, np.uint64)
    first, end = np.frombuffer(offsets, np.int32)[[digits.offset, digits.offset + len(digits)]]
    return np.frombuffer(bytes.fromhex(str(memoryview(data)[first:end], "ascii")), ">u8").astype(np.uint64)

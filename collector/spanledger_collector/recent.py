"""Calls of the last half hour, to see at the commit that another emitter has told of one in an earlier commit.

What is kept of a call is a number made of the provider's id of its answer; a hit is only a suspicion, and is judged by
`duplicates` together with the rows in the lake. If the new row is the one that another stands for, it is marked at
once. If the row in the lake is, or the other is older or came through another collector, settling finds it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spanledger.lake_path import LakePath

from .duplicates import LONG_ID, LOOKED_AT, charge_elsewhere, find_losers_by_id
from .keyfiles import Keys
from .keys import DayKeys
from .lake import DataFile, file_path, write_file
from .storage import parquet
from .worker import LOG

KEPT_S: Final = 1800.0
MOST_CALLS: Final = 1_000_000
_SPAN_S: Final = 300.0
"""Of the calls that are forgotten together."""
_LONGEST_CALL: Final = timedelta(hours=1)
"""So long before a call another that overlaps it may have started."""
_COLUMNS: Final = (*LOOKED_AT, "role", "billing_basis", "duplicate_of")


class RecentCalls:
    """Knows calls by the ids of their answers, the oldest being forgotten."""

    def __init__(self, lake: LakePath, clock: Callable[[], float] = time.monotonic) -> None:
        self._lake = lake
        self._clock = clock
        self._spans: deque[tuple[float, DayKeys]] = deque()

    def mark(self, file: DataFile, held: Sequence[DataFile]) -> DataFile:
        """Return the file with `duplicate_of` on calls that rows of `held` stand for, and remember its calls."""
        ids = self._ids(file)
        keys = np.fromiter(map(hash, ids), np.int64, len(ids)).view(np.uint64)
        self._forget()
        again = self._known(keys)
        self._remember(keys)
        if not again.any():
            return file
        wanted = {ids[place] for place in np.flatnonzero(again)}
        return self._marked(file, self._find(wanted, file, held))

    def _ids(self, file: DataFile) -> list[str]:
        rows = pq.read_table(parquet(file_path(self._lake, file)), columns=["role", "response_id"], partitioning=None)
        long = pc.greater_equal(pc.utf8_length(rows["response_id"]), LONG_ID)
        called = pc.and_kleene(pc.equal(rows["role"], "inference"), long)
        ids: list[str] = rows["response_id"].filter(called).to_pylist()
        return ids

    def _known(self, keys: Keys) -> np.ndarray:
        known = np.zeros(len(keys), np.bool_)
        for _, span in self._spans:
            known |= span.holds(keys)
        return known

    def _remember(self, keys: Keys) -> None:
        now = self._clock()
        if not self._spans or now - self._spans[-1][0] > _SPAN_S:
            self._spans.append((now, DayKeys()))
        self._spans[-1][1].add(keys)

    def _forget(self) -> None:
        now = self._clock()
        while self._spans and (now - self._spans[0][0] > KEPT_S or self._count() > MOST_CALLS):
            self._spans.popleft()

    def _count(self) -> int:
        return sum(len(span) for _, span in self._spans)

    def _find(self, ids: set[str], file: DataFile, held: Sequence[DataFile]) -> pa.Table:
        """Return the rows of `held` that may be the same calls as some of the file's."""
        first, last = file.start_min - _LONGEST_CALL, file.start_max + _LONGEST_CALL
        filters = [("response_id", "in", ids), ("start_time", ">=", first), ("start_time", "<=", last)]
        found = []
        for other in held:
            if other.start_min <= last and other.start_max >= first:
                try:
                    path = parquet(file_path(self._lake, other))
                    found.append(pq.read_table(path, columns=list(_COLUMNS), filters=filters, partitioning=None))
                except FileNotFoundError:
                    LOG.warning("%s is in the log of the lake but not on disk; its calls can't be known", other.path)
        return pa.concat_tables(found, promote_options="default") if found else pa.table({})

    def _marked(self, file: DataFile, others: pa.Table) -> DataFile:
        if not others.num_rows:
            return file
        path = file_path(self._lake, file)
        rows = pq.read_table(parquet(path), partitioning=None)
        losers = find_losers_by_id(pa.concat_tables([others, rows.select(others.column_names)]))
        marks: list[str | None] = [None] * rows.num_rows
        for loser, winner in losers.items():
            place = loser - others.num_rows
            if place >= 0 and winner < others.num_rows and rows["duplicate_of"][place].as_py() is None:
                marks[place] = others["duplicate_of"][winner].as_py() or others["span_id"][winner].as_py()
        if not any(marks):
            return file
        LOG.info("%d calls are charged in an earlier commit", sum(mark is not None for mark in marks))
        return write_file(self._lake, f"{path.stem}-known", charge_elsewhere(rows, pa.array(marks, pa.string())))

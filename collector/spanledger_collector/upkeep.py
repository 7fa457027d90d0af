"""Keeping the tables of a lake quick to read: small files are merged, and what nobody reads any more is deleted.

The committer sees to it, because an append costs by the number of live files. To merge the files of five minutes takes
seconds, so for `spans` it is done beside the commits, in a thread (deltalake lets the interpreter go). What a merge
replaces stays on disk for an hour, for the queries that have it open.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deltalake import ColumnProperties, DeltaTable, WriterProperties
from deltalake.exceptions import DeltaError

from .lake import NARROWED, ROW_GROUP_ROWS, SINGULAR, DataFile, folder_of, live_files
from .tables import SPANS, LakeTable
from .worker import LOG

MOST_SMALL_FILES: Final = 300
"""Small files beyond one a day that may be live before they are merged."""
SMALL_BYTES: Final = 32 << 20
"""A smaller file is small. Merging makes files of up to 100 MB, so that what it made isn't merged over and over."""
_KEEP_REPLACED_HOURS: Final = 1
_VACUUM_EVERY_S: Final = 1800.0
"""Often enough that no replaced file drops out of Delta's log, after two hours, before it is deleted."""
_NEXT_TRY_S: Final = 300.0
"""After a merge that failed."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did."""

    gone: list[DataFile]
    new: list[DataFile]
    """They hold the rows of those that are gone, and nothing else."""


class Upkeep:
    """Looks after one table."""

    def __init__(self, delta: DeltaTable, table: LakeTable = SPANS, most_small_files: int | None = None) -> None:
        self._delta = delta
        self._table = table
        self._most_small_files = most_small_files
        self._vacuumed_at = self._no_merge_before = float("-inf")
        self._beside: threading.Thread | None = None
        self._ended: queue.SimpleQueue[Merged] = queue.SimpleQueue()

    def is_due(self, live: Sequence[DataFile]) -> bool:
        """Whether too many of the live files are small, and no merge is under way."""
        if self._beside is not None and self._beside.is_alive():
            return False
        counts = Counter(file.dt for file in live if file.size < SMALL_BYTES)
        most = MOST_SMALL_FILES if self._most_small_files is None else self._most_small_files
        return sum(counts.values()) - len(counts) > most and time.monotonic() >= self._no_merge_before

    def merge(self) -> Merged | None:
        """Merge small files now; None where that fails."""
        return self._merge(self._delta)

    def merge_beside(self) -> None:
        """Merge small files in a thread, while commits go on; `merged` gives what came of it."""
        own = DeltaTable(self._delta.table_uri)

        def work() -> None:
            if (done := self._merge(own)) is not None:
                self._ended.put(done)

        self._beside = threading.Thread(target=work, name="merge")
        self._beside.start()

    def merged(self) -> list[Merged]:
        """Return what merges have done since the last time."""
        ended = []
        with contextlib.suppress(queue.Empty):
            while True:
                ended.append(self._ended.get_nowait())
        return ended

    def finish(self) -> None:
        """Return when no merge is under way."""
        if self._beside is not None:
            self._beside.join()

    def _merge(self, delta: DeltaTable) -> Merged | None:
        try:
            return merge_small_files(delta, self._table)
        except (OSError, DeltaError) as error:
            # Many small files are slower to read, and no reason to hold new spans back.
            LOG.warning("small files could not be merged (%s); trying again later", error)
            self._no_merge_before = time.monotonic() + _NEXT_TRY_S
            return None

    def vacuum(self) -> None:
        """Delete the files that were replaced, where it wasn't done lately."""
        if time.monotonic() - self._vacuumed_at > _VACUUM_EVERY_S:
            self._delta.vacuum(_KEEP_REPLACED_HOURS, dry_run=False, enforce_retention_duration=False)
            self._vacuumed_at = time.monotonic()


def merge_small_files(delta: DeltaTable, table: LakeTable = SPANS) -> Merged:
    """Merge the small files of each day; what they replace stays on disk for now."""
    before = live_files(delta, table)
    delta.optimize.compact(writer_properties=_properties(table))
    after = live_files(delta, table)
    known, kept = {file.path for file in before}, {file.path for file in after}
    new = [file for file in after if file.path not in known and "/part-" in file.path]
    for file in new:
        (folder_of(delta) / file.path).chmod(0o444)
    return Merged([file for file in before if file.path not in kept], new)


def _properties(table: LakeTable) -> WriterProperties:
    """Return how to write, which is as `lake.write_file` does; the log takes the clock's bounds from the statistics."""
    bounded = NARROWED | {table.clock}
    return WriterProperties(
        compression="ZSTD",
        max_row_group_size=ROW_GROUP_ROWS,
        default_column_properties=ColumnProperties(dictionary_enabled=True, statistics_enabled="NONE"),
        column_properties={
            name: ColumnProperties(
                dictionary_enabled=name not in SINGULAR, statistics_enabled="CHUNK" if name in bounded else "NONE"
            )
            for name in SINGULAR | bounded
        },
    )

"""Keeping the tables of a lake quick to read: small files are merged, and what nobody reads any more is deleted.

The committer does it between two commits, because an append costs by the number of live files. What a merge replaces
stays on disk for an hour, for the queries that have it open.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from deltalake import DeltaTable, WriterProperties
from deltalake.exceptions import DeltaError

from .lake import DataFile, folder_of, live_files
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
_MERGED = WriterProperties(compression="ZSTD", max_row_group_size=122_880)


class Upkeep:
    """Looks after one table."""

    def __init__(self, delta: DeltaTable, table: LakeTable = SPANS) -> None:
        self._delta = delta
        self._table = table
        self._vacuumed_at = self._no_merge_before = float("-inf")

    def is_due(self, live: Sequence[DataFile]) -> bool:
        """Whether too many of the live files are small."""
        counts = Counter(file.dt for file in live if file.size < SMALL_BYTES)
        return sum(counts.values()) - len(counts) > MOST_SMALL_FILES and time.monotonic() >= self._no_merge_before

    def merge(self) -> list[DataFile]:
        """Merge small files and return the new ones."""
        try:
            return merge_small_files(self._delta, self._table)
        except (OSError, DeltaError) as error:
            # Many small files are slower to read, and no reason to hold new spans back.
            LOG.warning("small files could not be merged (%s); trying again later", error)
            self._no_merge_before = time.monotonic() + _NEXT_TRY_S
            return []

    def vacuum(self) -> None:
        """Delete the files that were replaced, where it wasn't done lately."""
        if time.monotonic() - self._vacuumed_at > _VACUUM_EVERY_S:
            self._delta.vacuum(_KEEP_REPLACED_HOURS, dry_run=False, enforce_retention_duration=False)
            self._vacuumed_at = time.monotonic()


def merge_small_files(delta: DeltaTable, table: LakeTable = SPANS) -> list[DataFile]:
    """Merge the small files of each day and return the new ones; what they replace stays on disk for now."""
    before = {file.path for file in live_files(delta, table)}
    delta.optimize.compact(writer_properties=_MERGED)
    merged = [file for file in live_files(delta, table) if file.path not in before and "/part-" in file.path]
    for file in merged:
        (folder_of(delta) / file.path).chmod(0o444)
    return merged

"""The committer process: staged segments become part of the table, in strict order, once.

There is one a write-ahead log. Delta's `txn` is the last value written and refuses nothing by itself, so order is
ours to keep: only the unbroken run of staged segments from the oldest on is committed, and what the table already
has is skipped. A segment leaves the log only after the commit that holds it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, WriterProperties
from deltalake.exceptions import DeltaError

from .catalog import SIDE_TABLES, committed_anywhere
from .errors import WalError
from .keys import KeyIndex, keys_of, pairs_of, read_ids
from .lake import DataFile, append_files, committed_version, file_path, folder_of, live_files, open_table, write_file
from .staging import Staged, manifest_path, read_manifest
from .tables import SPANS
from .wal import is_set_back, segment_path, segments, wal_dir, wal_id
from .worker import LOG, run

MOST_SEGMENTS: Final = 64
"""Segments in one commit."""
MOST_SMALL_FILES: Final = 300
"""Small files beyond one a day that may be live before they are merged."""
SMALL_BYTES: Final = 32 << 20
"""A smaller file is small. Merging makes files of up to 100 MB, so that what it made isn't merged over and over."""
_ENDS: Final = ["duration_us", "input_tokens", "output_tokens"]
"""Unknown while a span is under way; some emitters send it then, too."""
_KEEP_REPLACED_HOURS: Final = 1
_VACUUM_EVERY_S: Final = 1800.0
"""Often enough that no replaced file drops out of Delta's log, after two hours, before it is deleted."""
_NEXT_TRY_S: Final = 300.0
"""After a merge that failed."""
_MERGED = WriterProperties(compression="ZSTD", max_row_group_size=122_880)


def make_step(home: Path, lake: Path) -> Callable[[], bool]:
    """Return the step of the loop: commit the staged segments that are next, if there are any."""
    committer = Committer(home, lake)
    return committer.step


class Committer:
    """Commits the staged segments of one write-ahead log."""

    def __init__(self, home: Path, lake: Path) -> None:
        self._home = home
        self._lake = lake
        self._wal = wal_dir(home)
        self._table = open_table(lake)
        self._writer = wal_id(self._wal)
        self._index = KeyIndex(lake)
        self._vacuumed_at = self._no_merge_before = float("-inf")
        if is_set_back(self._wal, committed_anywhere(lake, self._writer)):
            raise WalError(self._wal, "is older than what the lake has of it; the converter is giving it a new id")

    def step(self) -> bool:
        """Commit what is next; returns False when nothing was ready."""
        waiting = segments(self._wal)
        if not waiting or not manifest_path(self._home, waiting[0].number).exists():
            return False
        self._table.update_incremental()
        done = committed_version(self._table, self._writer)
        ready = self._ready(done)
        if not ready:
            return False
        self._vacuum()
        fresh = [staged for staged in ready if staged.segment > done]
        live = live_files(self._table)
        self._append_beside(fresh)
        files = self._without_repeats([file for staged in fresh for file in staged.files_of(SPANS)], live)
        if files:
            append_files(self._table, files, writer=self._writer, version=fresh[-1].segment)
        for staged in ready:
            self._forget(staged)
        self._merge([*live, *files])
        return True

    def _ready(self, done: int) -> list[Staged]:
        """Return the unbroken run of staged segments from the oldest on."""
        ready: list[Staged] = []
        for number, _ in segments(self._wal)[:MOST_SEGMENTS]:
            staged = read_manifest(self._home, number)
            if staged is None:
                break
            if number > done and not all(file_path(self._lake, file).exists() for file in staged.files):
                # Converted for another lake, or for this one before somebody deleted it.
                LOG.warning("the files of segment %d aren't in the lake; it is converted again", number)
                manifest_path(self._home, number).unlink()
                break
            ready.append(staged)
        return ready

    def _append_beside(self, fresh: Sequence[Staged]) -> None:
        """Commit what the segments hold for other tables than `spans`, where it isn't in yet."""
        for table in SIDE_TABLES:
            if not any(staged.files_of(table) for staged in fresh):
                continue
            delta = open_table(self._lake, table)
            done = committed_version(delta, self._writer)
            files = [file for staged in fresh if staged.segment > done for file in staged.files_of(table)]
            if files:
                append_files(delta, files, writer=self._writer, version=fresh[-1].segment, table=table)

    def _forget(self, staged: Staged) -> None:
        """Delete a committed segment; the log goes first, so that it is never converted without being known."""
        segment_path(self._wal, staged.segment).unlink(missing_ok=True)
        manifest_path(self._home, staged.segment).unlink(missing_ok=True)

    def _without_repeats(self, files: Sequence[DataFile], live: Sequence[DataFile]) -> list[DataFile]:
        """Return the files with every span that the lake or an earlier file holds left out."""
        kept: list[DataFile] = []
        for file in files:
            fresh = self._fresh_part(file, [*live, *kept])
            if fresh is not None:
                kept.append(fresh)
                self._index.rewritten([fresh])
        return kept

    def _fresh_part(self, file: DataFile, held: Sequence[DataFile]) -> DataFile | None:
        ids = read_ids(self._lake, [file])
        day = self._index.day(file.dt, held)
        keys = keys_of(ids)
        run = np.sort(keys)  # the search goes through sorted keys several times as fast
        suspects = day.holds(keys) | _repeated(keys) if day.holds(run).any() or _repeats(run) else None
        day.add(run)
        if suspects is None:
            return file
        same_day = [other for other in held if other.dt == file.dt]
        suspected = ids.filter(pa.array(suspects))["span_id"].to_pylist()
        earlier = set(pairs_of(read_ids(self._lake, same_day, suspected)))
        keep = _fullest(ids, self._fullness(file), suspects, earlier)
        if keep.all():
            return file
        LOG.info("%d repeated spans dropped", int((~keep).sum()))
        if not keep.any():
            return None
        path = file_path(self._lake, file)
        rows = pq.read_table(path, partitioning=None).filter(pa.array(keep))
        return write_file(self._lake, f"{path.stem}-once", rows)

    def _fullness(self, file: DataFile) -> np.ndarray:
        """Say how much of what a span ends with each row has."""
        ends = pq.read_table(file_path(self._lake, file), columns=_ENDS, partitioning=None)
        fullness: np.ndarray = np.sum([ends[name].is_valid().to_numpy() for name in _ENDS], axis=0)
        return fullness

    def _merge(self, live: Sequence[DataFile]) -> None:
        """Merge small files when there are too many; what they replace stays for an hour's queries."""
        counts = Counter(file.dt for file in live if file.size < SMALL_BYTES)
        if sum(counts.values()) - len(counts) <= MOST_SMALL_FILES or time.monotonic() < self._no_merge_before:
            return
        self._index.catch_up(live_files(self._table))  # anew: others may have committed meanwhile
        try:
            self._index.rewritten(merge_small_files(self._table))
        except (OSError, DeltaError) as error:
            # Many small files are slower to read, and no reason to hold new spans back.
            LOG.warning("small files could not be merged (%s); trying again later", error)
            self._no_merge_before = time.monotonic() + _NEXT_TRY_S

    def _vacuum(self) -> None:
        if time.monotonic() - self._vacuumed_at > _VACUUM_EVERY_S:
            self._table.vacuum(_KEEP_REPLACED_HOURS, dry_run=False, enforce_retention_duration=False)
            self._vacuumed_at = time.monotonic()


def merge_small_files(table: DeltaTable) -> list[DataFile]:
    """Merge the small files of each day and return the new ones; what they replace stays on disk for now."""
    before = {file.path for file in live_files(table)}
    table.optimize.compact(writer_properties=_MERGED)
    merged = [file for file in live_files(table) if file.path not in before and "/part-" in file.path]
    for file in merged:
        (folder_of(table) / file.path).chmod(0o444)
    return merged


def _repeats(run: np.ndarray) -> bool:
    """Say whether a key stands more than once in the sorted array."""
    return bool((run[1:] == run[:-1]).any())


def _repeated(keys: np.ndarray) -> np.ndarray:
    """Say which keys stand more than once in the array."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[inverse] > 1


def _fullest(ids: pa.Table, fullness: np.ndarray, suspects: np.ndarray, earlier: set[tuple[str, str]]) -> np.ndarray:
    """Say which rows to keep: of spans not in `earlier` the fullest copy, of equal ones the first."""
    keep = np.ones(ids.num_rows, dtype=np.bool_)
    places = np.flatnonzero(suspects)
    places = places[np.argsort(-fullness[places], kind="stable")]
    seen = earlier
    for place, pair in zip(places.tolist(), pairs_of(ids.take(pa.array(places))), strict=True):
        keep[place] = pair not in seen
        seen.add(pair)
    return keep


if __name__ == "__main__":
    run("commit", make_step)

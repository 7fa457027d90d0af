"""The committer process: staged segments become part of the tables, in strict order, once.

There is one a write-ahead log. Delta's `txn` is the last value written and refuses nothing by itself, so order is
ours to keep: only the unbroken run of staged segments from the oldest on is committed, and what the table already
has is skipped. A segment leaves the log only after the commit that holds it. Other collectors may commit to the same
lake: a commit of spans goes through only if the lake is still what it was checked against.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
from deltalake import DeltaTable

from spanledger.lake_path import LakePath

from .catalog import SIDE_TABLES, committed_anywhere
from .changes import rewrites_since
from .errors import LakeError, WalError
from .figures import StageFigures
from .keys import KeyIndex
from .lake import (
    DataFile,
    append_files,
    append_unless_changed,
    committed_version,
    file_path,
    live_files,
    log_of,
    open_table,
    write_days,
)
from .landed import is_marked
from .recent import RecentCalls
from .staging import Staged, manifest_path, read_manifest
from .storage import each, exists
from .supersede import Sifted, correction_rows, sift, superseded_rows
from .tables import CORRECTIONS, SPANS, SUPERSEDED, LakeTable
from .wal import first_received_ns, is_set_back, segment_path, segments, wal_dir, wal_id
from .worker import LOG, run

MOST_SEGMENTS: Final = 64
"""Segments in one commit."""
_MOST_RACES: Final = 100
"""Commits of others that may come before one of ours."""


def make_step(home: Path, lake: LakePath) -> Callable[[], bool]:
    """Return the step of the loop: commit the staged segments that are next, if there are any."""
    committer = Committer(home, lake)

    def step() -> bool:
        busy = committer.step()
        committer.figures.publish(busy=busy)
        return busy

    return step


class Committer:
    """Commits the staged segments of one write-ahead log."""

    def __init__(self, home: Path, lake: LakePath) -> None:
        self._home = home
        self._lake = lake
        self._wal = wal_dir(home)
        self._spans = open_table(lake)
        self._noted = self._spans.version()
        """Up to this version it is known which files replaced which."""
        self.figures = StageFigures(home, "commit")
        self._beside: dict[str, DeltaTable] = {}
        self._done: dict[str, int] = {}
        self._writer = wal_id(self._wal)
        self._index = KeyIndex(lake, home / "keys" / str(self._spans.metadata().id))
        self._recent = RecentCalls(lake)
        if is_set_back(self._wal, committed_anywhere(lake, self._writer)):
            raise WalError(self._wal, "is older than what the lake has of it; the converter is giving it a new id")

    def step(self) -> bool:
        """Commit what is next; returns False when nothing was ready."""
        waiting = segments(self._wal)
        if not waiting or not manifest_path(self._home, waiting[0].number).exists():
            return False
        self._spans.update_incremental()
        done = self._done_in(self._spans, SPANS)
        ready = self._ready(done)
        if not ready:
            return False
        fresh = [staged for staged in ready if staged.segment > done]
        if fresh:
            self._append_beside(fresh)
            self._append_spans([file for staged in fresh for file in staged.files_of(SPANS)], fresh[-1].segment)
            self._done = dict.fromkeys(self._done, fresh[-1].segment)
            self._note_lag(fresh)
        for staged in ready:
            self._forget(staged)
        return True

    def _done_in(self, delta: DeltaTable, table: LakeTable) -> int:
        """Return the highest segment of ours that a table has: only we commit any, so the log is asked once."""
        if table.name not in self._done:
            self._done[table.name] = committed_version(delta, self._writer)
        return self._done[table.name]

    def _ready(self, done: int) -> list[Staged]:
        """Return the unbroken run of staged segments from the oldest on."""
        ready: list[Staged] = []
        for number, _ in segments(self._wal)[:MOST_SEGMENTS]:
            staged = read_manifest(self._home, number)
            if staged is None:
                break
            if number > done and not all(
                each(self._lake, exists, [file_path(self._lake, file) for file in staged.files])
            ):
                # Converted for another lake, or for this one before somebody deleted it.
                LOG.warning("the files of segment %d aren't in the lake; it is converted again", number)
                manifest_path(self._home, number).unlink()
                break
            ready.append(staged)
        return ready

    def _note_lag(self, fresh: Sequence[Staged]) -> None:
        now_ns = time.time_ns()
        for staged in fresh:
            received_ns = first_received_ns(segment_path(self._wal, staged.segment))
            if received_ns is not None:
                self.figures.observe("lag_seconds", max(0.0, (now_ns - received_ns) / 1e9))

    def _forget(self, staged: Staged) -> None:
        """Delete a committed segment; the log goes first, so that it is never converted without being known."""
        segment_path(self._wal, staged.segment).unlink(missing_ok=True)
        manifest_path(self._home, staged.segment).unlink(missing_ok=True)

    def _append_spans(self, files: Sequence[DataFile], segment: int) -> None:
        """Commit what is new of the files, checked against all that is in the table at that very moment."""
        self._note_rewrites(catch_up=True)
        held = live_files(self._spans)
        sifted = sift(self._lake, self._marked(files, held), held, self._index)
        for _ in range(_MOST_RACES):
            if not sifted.files:
                self._count(files, sifted)
                return
            self._append_replaced(sifted, segment)
            if append_unless_changed(self._spans, sifted.files, writer=self._writer, version=segment):
                self._count(files, sifted)
                return
            seen = self._spans.version()
            self._spans.update_incremental()
            came_since = range(seen + 1, self._spans.version() + 1)
            if is_marked(log_of(self._spans), came_since, self._writer, segment):  # ours, whose answer was late
                self._count(files, sifted)
                return
            self._note_rewrites()
            known = {file.path for file in held}
            held = live_files(self._spans)
            came = [file for file in held if file.path not in known and not self._index.knows(file)]
            sifted = sift(self._lake, sifted.files, came, KeyIndex(self._lake))
        raise LakeError(self._lake, f"took {_MOST_RACES} commits of others before one of ours; it is tried again")

    def _marked(self, files: Sequence[DataFile], held: Sequence[DataFile]) -> list[DataFile]:
        """Return the files with what is known of their calls from earlier commits, and from each other."""
        marked: list[DataFile] = []
        for file in files:
            marked.append(self._recent.mark(file, [*held, *marked]))
        return marked

    def _count(self, files: Sequence[DataFile], sifted: Sifted) -> None:
        dropped = sum(file.rows for file in files) - sum(file.rows for file in sifted.files)
        self.figures.add("duplicates_total", dropped)
        self.figures.add("superseded_total", len(sifted.replaced))

    def _append_replaced(self, sifted: Sifted, segment: int) -> None:
        if sifted.replaced:
            self._append_rows(SUPERSEDED, superseded_rows(sifted.replaced, self._writer, segment), segment)
            self._append_rows(CORRECTIONS, correction_rows(sifted.replaced), segment)

    def _append_rows(self, table: LakeTable, rows: pa.Table, segment: int) -> None:
        """Commit rows that are found here; a crash may make them be found, and committed, again."""
        if rows.num_rows:
            name = f"{self._writer}-{segment:010d}-{time.time_ns()}"
            self._append_side_files(table, write_days(self._lake, name, rows, table), segment)

    def _append_beside(self, fresh: Sequence[Staged]) -> None:
        """Commit what the segments hold for other tables than `spans`, where it isn't in yet."""
        for table in SIDE_TABLES:
            if not any(staged.files_of(table) for staged in fresh):
                continue
            delta = self._side_table(table)
            delta.update_incremental()
            done = self._done_in(delta, table)
            files = [file for staged in fresh if staged.segment > done for file in staged.files_of(table)]
            if files:
                self._append_side_files(table, files, fresh[-1].segment)

    def _append_side_files(self, table: LakeTable, files: Sequence[DataFile], segment: int) -> None:
        append_files(self._side_table(table), files, writer=self._writer, version=segment, table=table)

    def _side_table(self, table: LakeTable) -> DeltaTable:
        if table.name not in self._beside:
            self._beside[table.name] = open_table(self._lake, table)
        return self._beside[table.name]

    def _note_rewrites(self, *, catch_up: bool = False) -> None:
        """Note which files took the place of others; with `catch_up` what others had added to these is read.

        Between the check for repeats and the commit it must not be: what came since has to be checked against.
        """
        for rewrite in rewrites_since(self._spans, self._noted):
            if catch_up:
                self._index.catch_up(rewrite)
            self._index.rewritten(rewrite)
        self._noted = self._spans.version()


if __name__ == "__main__":
    run("commit", make_step)

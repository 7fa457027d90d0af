"""A collector's committer that commits segments as fast as it can, beside others on the same lake, as a program."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from committing import NOON, PAID, Bench, rows
from spanledger.lake_path import LakePath, lake_path
from spanledger_collector.commit import Committer
from spanledger_collector.errors import LakeError
from spanledger_collector.jobs import Terms, run_jobs
from spanledger_collector.lake import committed_version, live_files, open_table

REPEATED = 4
"""One commit in so many has a span that is in the one before."""

MERGED = 20
"""After so many commits of the first writer it is looked whether there are too many small files."""


def wal_id_of(writer: int) -> str:
    return f"{writer:032x}"


def spans(first: int, many: int) -> pa.Table:
    """Return spans that follow each other, two of which start at once."""
    return rows(range(first, first + many), NOON + timedelta(milliseconds=first % 1_000_000 // 2), **PAID)


def write(folder: Path, lake: LakePath, writer: int, commits: int) -> None:
    """Commit so many segments, each with two spans that are new, and some with one that was there.

    The first writer has small files merged now and then, as a collector does.
    """
    bench = Bench(folder / str(writer), lake, wal_id_of(writer))
    first = writer * 1_000_000
    committer = Committer(bench.home, lake)
    for segment in range(commits):
        bench.seal(segment)
        again = [spans(first + 2 * segment - 1, 1)] if segment % REPEATED == 1 else []
        bench.stage(segment, pa.concat_tables([spans(first + 2 * segment, 2), *again]))
        while bench.waiting():
            try:
                committer.step()
            except LakeError as error:  # as the collector would start it again
                print(error, file=sys.stderr)
                committer = Committer(bench.home, lake)
        if writer == 0 and segment % MERGED == MERGED - 1:
            list(run_jobs(lake, Terms(), ("merge",)))


def write_together(folder: Path, lake: LakePath, writers: int, commits: int) -> float:
    """Run writers until all have ended well; returns the seconds that they took."""
    program = [sys.executable, __file__, str(folder), str(lake)]
    start = time.monotonic()
    running = [subprocess.Popen([*program, str(writer), str(commits)]) for writer in range(writers)]
    try:
        assert [process.wait() for process in running] == [0] * writers
    finally:
        for process in running:
            process.kill()
    return time.monotonic() - start


def expected(writers: int, commits: int) -> dict[int, int]:
    """Return how often each span has to count."""
    return {writer * 1_000_000 + number: 1 for writer in range(writers) for number in range(2 * commits)}


def standing(lake: LakePath, writers: int) -> tuple[int, int, list[int]]:
    """Return of `spans` the version, the rows by the log, and the last segment of each writer."""
    table = open_table(lake)
    marks = [committed_version(table, wal_id_of(writer)) for writer in range(writers)]
    return table.version(), sum(file.rows for file in live_files(table)), marks


def main(arguments: Sequence[str]) -> None:
    """Be one of the writers."""
    folder, lake, writer, commits = arguments
    write(Path(folder), lake_path(lake), int(writer), int(commits))


if __name__ == "__main__":
    main(sys.argv[1:])

"""A stage of the collector dies at the worst places; the next start goes on, and every span is there once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from collector_process import span_ids
from otlp_bodies import request, span
from spanledger_analytics.connection import connect
from spanledger_collector import convert, maintain
from spanledger_collector.commit import Committer
from spanledger_collector.convert import convert_segment
from spanledger_collector.errors import WalError
from spanledger_collector.jobs import Terms, run_jobs
from spanledger_collector.lake import live_files, open_table, table_path
from spanledger_collector.staging import manifest_path
from spanledger_collector.wal import record_header, segments, wal_dir
from spanledger_collector.wal_writer import WalWriter

SEGMENTS, SPANS = 6, 5
DAY_NS = 86_400 * 10**9
STAGE = """
import os, sys, threading
from pathlib import Path
from spanledger_collector import commit, convert, jobs, maintain, supersede, upkeep
maintain.MOST_SMALL_FILES = int(sys.argv[4])
lake = Path(sys.argv[2])

def before(module, name):
    setattr(module, name, lambda *args, **kwargs: os._exit(9))

def after(module, name):
    plain = getattr(module, name)
    setattr(module, name, lambda *args, **kwargs: (plain(*args, **kwargs), os._exit(9)))

def at_first_merged_file():
    while not list(lake.glob("spans/dt=*/merged-*")):
        pass
    os._exit(9)

exec(sys.argv[3])
for stage in (convert, commit):
    step = stage.make_step(Path(sys.argv[1]), lake)
    while step():
        pass
for _ in jobs.run_jobs(lake, jobs.Terms()):
    pass
threading.Event().wait(100)
"""


class Bench:
    """A home with sealed segments, and a lake."""

    def __init__(self, folder: Path) -> None:
        self.home, self.lake = folder / "home", folder / "lake"
        WalWriter(wal_dir(self.home)).close()
        self.sent: list[str] = []
        open_table(self.lake)

    def seal(
        self, number: int, start_ns: int, first: int | None = None, *, took_ns: int = 5_000, again: bool = False
    ) -> None:
        """Seal segment `number` with spans of one instant; their ids count up from `first`."""
        first = number * SPANS if first is None else first
        spans = [
            span(number=first + place, start_time_unix_nano=start_ns, end_time_unix_nano=start_ns + took_ns)
            for place in range(SPANS)
        ]
        self.sent += [] if again else [one.span_id.hex() for one in spans]
        payload = request(*spans)
        (wal_dir(self.home) / "floor").write_text(f"{number}\n")
        (wal_dir(self.home) / f"{number:010d}.wal").write_bytes(record_header(payload, start_ns) + payload)

    def die(self, fault: str, most_small_files: int = 300, code: int = 9) -> str:
        """Run both stages and the jobs in a process that dies at `fault`, and return what it says."""
        argv = [sys.executable, "-c", STAGE, str(self.home), str(self.lake), fault, str(most_small_files)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=180)
        assert done.returncode == code, done.stderr
        return done.stderr

    def recover(self) -> None:
        """Do what the next start does."""
        committer = Committer(self.home, self.lake)
        while segments(wal_dir(self.home)):
            for number, path in segments(wal_dir(self.home)):
                if not manifest_path(self.home, number).exists():
                    convert_segment(self.home, self.lake, number, path)
            committer.step()


@pytest.fixture
def now_ns() -> int:
    return time.time_ns()


@pytest.fixture
def bench(tmp_path: Path, now_ns: int) -> Bench:
    made = Bench(tmp_path)
    for number in range(1, SEGMENTS + 1):
        made.seal(number, now_ns - number % 2 * DAY_NS)
    return made


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("before(convert, 'write_manifest')", id="after the Parquet file, before the manifest"),
        pytest.param("before(commit, 'append_unless_changed')", id="after the manifest, before the commit"),
        pytest.param("after(commit, 'append_unless_changed')", id="after the commit, before the log is deleted"),
        pytest.param("before(commit, 'manifest_path')", id="before a manifest is deleted"),
    ],
)
def test_a_stage_that_dies_loses_and_doubles_nothing(bench: Bench, fault: str) -> None:
    bench.die(fault)
    bench.recover()
    assert Counter(span_ids(bench.lake)) == Counter(bench.sent)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("before(supersede, 'write_file')", id="in the check for repeats"),
        pytest.param("before(commit, 'append_files')", id="before the list of superseded rows is committed"),
        pytest.param("after(commit, 'append_files')", id="after that list, before its corrections"),
        pytest.param("before(commit, 'append_unless_changed')", id="after both, before the spans"),
        pytest.param("after(commit, 'append_unless_changed')", id="after the spans, before the log is deleted"),
    ],
)
def test_a_committer_that_dies_over_fuller_copies_counts_each_span_once_at_any_moment(
    bench: Bench, now_ns: int, fault: str
) -> None:
    query = "select span_id, duration_us from spans order by all"
    yesterday_ns = now_ns - DAY_NS
    bench.seal(SEGMENTS + 1, yesterday_ns, took_ns=-1)
    bench.recover()
    before = connect(bench.lake).execute(query).fetchall()
    bench.seal(SEGMENTS + 2, yesterday_ns, first=(SEGMENTS + 1) * SPANS, again=True)
    bench.seal(SEGMENTS + 3, yesterday_ns, first=(SEGMENTS + 1) * SPANS, again=True)
    bench.die(fault)
    between = connect(bench.lake).execute(query).fetchall()
    bench.recover()
    after = connect(bench.lake).execute(query).fetchall()
    assert Counter(span_id for span_id, _ in after) == Counter(bench.sent)
    assert [took for _, took in before].count(None) == SPANS
    assert {took for _, took in after} == {5}
    assert between == (after if fault.startswith("after(commit, 'append_unless") else before)


def test_a_disk_that_is_full_in_the_middle_of_a_file_loses_and_doubles_nothing(bench: Bench) -> None:
    said = bench.die("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))", code=1)
    assert "write_file" in said
    assert "File too large" in said
    bench.recover()
    assert Counter(span_ids(bench.lake)) == Counter(bench.sent)


@pytest.mark.parametrize(
    "fault",
    [
        "after(jobs, 'merge_small_files')",
        "threading.Thread(target=at_first_merged_file, daemon=True).start()",
    ],
    ids=["after a merge", "in the middle of a merge"],
)
def test_a_merge_that_dies_loses_and_doubles_nothing(
    bench: Bench, fault: str, monkeypatch: pytest.MonkeyPatch, now_ns: int
) -> None:
    bench.die(fault, most_small_files=0)
    bench.recover()
    assert Counter(span_ids(bench.lake)) == Counter(bench.sent)
    monkeypatch.setattr(maintain, "MOST_SMALL_FILES", 0)
    bench.seal(SEGMENTS + 1, now_ns)
    bench.recover()
    assert [(done.job, done.failed) for done in run_jobs(bench.lake, Terms())] == [("merge", False)]
    assert Counter(span_ids(bench.lake)) == Counter(bench.sent)
    assert len(live_files(open_table(bench.lake))) == 2


def test_an_older_copy_of_the_log_loses_nothing_to_the_numbers_that_the_lake_has_seen(
    bench: Bench, now_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.recover()
    monkeypatch.setattr(os, "nice", lambda _: 0)
    bench.seal(3, now_ns, first=1000)
    with pytest.raises(WalError, match="older than what the lake has"):
        Committer(bench.home, bench.lake)
    converter = convert.make_step(bench.home, bench.lake)
    while converter():
        pass
    bench.recover()
    assert Counter(span_ids(bench.lake)) == Counter(bench.sent)


def test_a_home_that_moves_on_to_another_lake_takes_what_was_staged_along(bench: Bench, tmp_path: Path) -> None:
    bench.die("before(commit, 'append_unless_changed')")
    bench.lake = tmp_path / "other"
    open_table(bench.lake)
    bench.recover()
    assert Counter(span_ids(bench.lake)) == Counter(bench.sent)


def test_a_lake_that_is_deleted_is_made_again_and_gets_what_the_log_still_holds(bench: Bench) -> None:
    bench.die("before(commit, 'append_unless_changed')")
    shutil.rmtree(bench.lake)
    bench.recover()
    assert Counter(span_ids(bench.lake)) == Counter(bench.sent)


def test_a_data_file_that_somebody_deletes_holds_up_nothing(bench: Bench, now_ns: int) -> None:
    bench.recover()
    for file in live_files(open_table(bench.lake)):
        (table_path(bench.lake) / file.path).unlink()
    bench.seal(SEGMENTS + 1, now_ns)
    bench.seal(SEGMENTS + 2, now_ns, first=(SEGMENTS + 1) * SPANS)
    committed = live_files(open_table(bench.lake))
    bench.recover()
    new = [file for file in live_files(open_table(bench.lake)) if file not in committed]
    assert sum(file.rows for file in new) == SPANS

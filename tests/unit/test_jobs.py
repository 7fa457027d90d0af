"""The jobs of a lake: what is due is done, for each table, beside whoever writes to it."""

from __future__ import annotations

import json
import stat
import subprocess
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from committing import NOON, Bench, rows
from spanledger_collector import jobs, maintain, upkeep
from spanledger_collector.jobs import Did, Terms, last_done, run_jobs
from spanledger_collector.lake import add_files, live_files, open_table, replace_files, table_path, write_days
from spanledger_collector.maintain import jobs_command, lock_path
from spanledger_collector.row import SCHEMA
from spanledger_collector.tables import CORRECTIONS, SPANS, LakeTable
from spanledger_collector.upkeep import Merged, merge_small_files
from spanledger_collector.worker import only_one

TERMS = Terms(NOON + timedelta(days=1))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def fill(bench: Bench, segments: int, first: int = 0) -> None:
    """Commit segments of two rows that are of different hours, so some of the next day."""
    for segment in range(first, first + segments):
        bench.commit(rows(range(segment * 2, segment * 2 + 2), NOON + timedelta(hours=segment * 3)))


def on_disk(bench: Bench) -> int:
    return len(list(table_path(bench.lake).glob("dt=*/*.parquet")))


def test_small_files_are_merged_where_there_are_too_many_and_are_read_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bench, 6)
    assert list(run_jobs(bench.lake, TERMS)) == []
    monkeypatch.setattr(maintain, "MOST_SMALL_FILES", 3)
    assert list(run_jobs(bench.lake, TERMS)) == [Did("merge", "spans", "6 files merged into 2")]
    files = live_files(open_table(bench.lake))
    assert bench.span_ids() == Counter(range(12))
    assert [file.rows for file in files] == [8, 4]
    assert {stat.S_IMODE((table_path(bench.lake) / file.path).stat().st_mode) for file in files} == {0o444}
    assert list(run_jobs(bench.lake, TERMS)) == []


def test_a_dry_run_says_what_would_be_done_and_does_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "KEEP_REPLACED_HOURS", 0)
    fill(bench, 3)
    merge_small_files(open_table(bench.lake))
    fill(bench, 2, first=8)
    version, files = bench.version(), on_disk(bench)
    said = list(run_jobs(bench.lake, replace(TERMS, dry_run=True, all_due=True)))
    assert said == [
        Did("merge", "spans", "2 files to be merged into 1"),
        Did("rewrite", "spans", "2 days to be written anew"),
        Did("vacuum", "spans", "3 replaced files to be deleted"),
    ]
    assert (bench.version(), on_disk(bench)) == (version, files)


def test_a_day_that_is_over_is_written_anew_and_stays_so(bench: Bench) -> None:
    fill(bench, 3)
    assert list(run_jobs(bench.lake, Terms(all_due=True))) == [
        Did("merge", "spans", "3 files merged into 1"),
        Did("rewrite", "spans", "1 days written anew, 1 files as 1"),
    ]
    assert list(run_jobs(bench.lake, Terms(all_due=True))) == []
    assert bench.span_ids() == Counter(range(6))


def test_files_that_are_no_longer_small_are_left_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintain, "MOST_SMALL_FILES", 1)
    monkeypatch.setattr(upkeep, "SMALL_BYTES", 1)
    fill(bench, 3)
    assert list(run_jobs(bench.lake, TERMS)) == []


def test_a_job_that_fails_for_one_table_holds_up_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(bench, 3)
    correction = {"dt": NOON.date(), "trace_id": "a" * 32, "span_id": "b" * 16, "priced_at": NOON}
    for version in range(2):
        beside = pa.Table.from_pylist([correction], schema=CORRECTIONS.full_schema)
        files = write_days(bench.lake, f"{version}", beside, CORRECTIONS)
        add_files(bench.lake, files, writer="w", version=version, table=CORRECTIONS)

    def full(delta: DeltaTable, table: LakeTable) -> Merged:
        if table is CORRECTIONS:
            raise OSError(28, "No space left on device")
        return merge_small_files(delta, table)

    monkeypatch.setattr(jobs, "merge_small_files", full)
    assert list(run_jobs(bench.lake, replace(TERMS, all_due=True), ["merge"])) == [
        Did("merge", "spans", "3 files merged into 1"),
        Did("merge", "corrections", "[Errno 28] No space left on device", failed=True),
    ]
    assert bench.span_ids() == Counter(range(6))


def test_of_two_that_merge_the_same_files_one_gets_through_and_every_row_stays_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bench, 3)
    plain, theirs = replace_files, list[Merged]()

    def late(*args: Any, **kwargs: Any) -> bool:
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(upkeep, "replace_files", plain)
            theirs.append(merge_small_files(open_table(bench.lake)))
        return plain(*args, **kwargs)

    monkeypatch.setattr(upkeep, "replace_files", late)
    assert merge_small_files(open_table(bench.lake)) == Merged([], [])
    assert [len(merged.gone) for merged in theirs] == [3]
    assert (bench.span_ids(), on_disk(bench)) == (Counter(range(6)), 4)


def test_replaced_files_leave_the_disk_after_their_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(bench, 3)
    merge_small_files(open_table(bench.lake))
    assert list(run_jobs(bench.lake, TERMS)) == []
    assert on_disk(bench) == 4
    monkeypatch.setattr(upkeep, "KEEP_REPLACED_HOURS", 0)
    assert list(run_jobs(bench.lake, TERMS)) == [Did("vacuum", "spans", "3 replaced files deleted")]
    assert (on_disk(bench), bench.span_ids()) == (1, Counter(range(6)))


def told_by_jobs(lake: Path) -> Any:
    """Run the process of the jobs, and return what it prints."""
    with subprocess.Popen(jobs_command(lake, ()), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.read())
        assert process.wait(120) == 0
        return told


def test_the_process_of_the_jobs_tells_how_the_tables_stand_and_keeps_what_it_did(bench: Bench) -> None:
    fill(bench, 1)
    assert told_by_jobs(bench.lake) == {"spans": {"version": open_table(bench.lake).version(), "small": 0}}
    assert {name: job["did"] for name, job in last_done(bench.lake).items()} == {name: [] for name in jobs.JOBS}
    with only_one(lock_path(bench.lake)):
        assert told_by_jobs(bench.lake) == {}


def test_a_merge_keeps_every_value_and_the_bounds_of_time_wherever_the_lake_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "Application Support, été")
    rich = pa.Table.from_pylist(
        [
            {
                "trace_id": f"{number:032x}",
                "span_id": f"{number:016x}",
                "start_time": NOON + timedelta(microseconds=1001 * number),
                "cost_usd": Decimal("999999.999999999999"),
                "temperature": 0.1,
                "parent_sampled": False,
                "tags": [("b", "2"), ("a", "é")],
                "units": [("pages", Decimal("0.000001"))],
                "prefix_chain": [2**63 - 1, -1],
                "max_tokens": None,
            }
            for number in range(1, 7)
        ],
        schema=SCHEMA,
    )
    for segment in range(6):
        bench.seal(segment)
        bench.stage(segment, rich.slice(segment, 1))
    bench.commit_all()
    merge_small_files(open_table(bench.lake))
    (file,) = live_files(open_table(bench.lake))
    written = pq.ParquetFile(table_path(bench.lake) / file.path)
    assert written.read() == rich
    assert {written.metadata.row_group(0).column(place).compression for place in range(len(SCHEMA))} == {"ZSTD"}
    microsecond = timedelta(microseconds=1)
    assert (file.start_min, file.start_max) == (NOON + 1001 * microsecond, NOON + 6006 * microsecond)
    assert stat.S_IMODE((table_path(bench.lake) / file.path).stat().st_mode) == 0o444


def test_a_merge_keeps_columns_that_came_since_the_lake_was_made(tmp_path: Path) -> None:
    before = replace(SPANS, columns=tuple(column for column in SPANS.columns if column.name not in {"release", "tags"}))
    lake = tmp_path / "lake"
    for version, table in enumerate((before, SPANS)):
        said = rows(range(version, version + 1), release="1.0", tags=[("a", "b")])
        files = write_days(lake, f"{version}", said, table)
        add_files(lake, files, writer="w", version=version, table=table)
    merge_small_files(open_table(lake))
    (file,) = live_files(open_table(lake))
    merged = pq.ParquetFile(table_path(lake) / file.path).read(["span_id", "release", "tags"]).sort_by("span_id")
    assert [row["release"] for row in merged.to_pylist()] == [None, "1.0"]
    assert [row["tags"] for row in merged.to_pylist()] == [None, [("a", "b")]]

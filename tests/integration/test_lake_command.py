"""`spanledger lake`: how a lake stands, and that each fault that is made is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from committing import NOON, PAID, Bench, rows
from spanledger_analytics.verify import Fault, Subject, count_units, verify
from spanledger_collector import jobs
from spanledger_collector.jobs import Terms, run_jobs
from spanledger_collector.lake import add_files, live_files, open_table, table_path, write_days
from spanledger_collector.tables import CORRECTIONS, SETTLEMENTS, SPANS, LakeTable
from spanledger_collector.upkeep import merge_small_files

LATER = NOON + timedelta(hours=1)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Two days, of which spans of the first were sent again with an end."""
    made = Bench(tmp_path)
    made.commit(rows(range(4), **PAID), rows(range(10, 14), NOON + timedelta(days=1), **PAID))
    made.commit(rows(range(2), taken=LATER, duration_us=5, **PAID))
    return made


def faults(bench: Bench) -> list[Fault]:
    return list(verify(Subject(bench.lake)))


def add(bench: Bench, name: str, said: pa.Table, table: LakeTable = SPANS) -> None:
    add_files(bench.lake, write_days(bench.lake, name, said, table), writer=name, version=0, table=table)


def test_a_lake_that_is_right_has_no_faults_whatever_was_done_to_it(bench: Bench) -> None:
    assert faults(bench) == []
    merge_small_files(open_table(bench.lake))
    assert faults(bench) == []
    list(run_jobs(bench.lake, Terms(all_due=True)))
    seen = list[int]()
    subject = Subject(bench.lake)
    assert list(verify(subject, seen.append)) == []
    assert len(seen) == count_units(subject)


def lose(bench: Bench, path: Path) -> None:
    path.unlink()


def open_up(bench: Bench, path: Path) -> None:
    path.chmod(0o644)


def cut(bench: Bench, path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-10])


def shorten(bench: Bench, path: Path) -> None:
    table = pq.ParquetFile(path).read()
    path.unlink()
    pq.write_table(table.slice(1), path)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lose, ["is in the log and not on disk"]),
        (open_up, ["can be written to (mode 0644)"]),
        (cut, ["can't be read: "]),
        (shorten, ["has 3 rows, of which the log says 4", "has ", "can be written to (mode 0644)"]),
    ],
)
def test_a_file_that_is_not_as_the_log_says_is_found(
    bench: Bench, break_it: Callable[[Bench, Path], None], words: list[str]
) -> None:
    file = live_files(open_table(bench.lake))[-1]
    break_it(bench, table_path(bench.lake) / file.path)
    found = [fault for fault in faults(bench) if fault.check == "files"]
    assert {fault.where for fault in found} == {f"spans/{file.path}"}
    assert [said in fault.words for said, fault in zip(words, found, strict=True)] == [True] * len(words)


def test_a_span_that_counts_twice_is_found(bench: Bench) -> None:
    add(bench, "again", rows(range(2, 3), taken=LATER, **PAID))
    assert faults(bench) == [Fault("repeats", "spans of 2026-11-03", f"{0:032x}/{2:016x} counts 2 times")]


def test_money_that_does_not_add_up_is_found(bench: Bench) -> None:
    add(bench, "wrong", rows(range(50, 51), **{**PAID, "cost_input": Decimal("0.010000000001")}))
    words = f"{16:032x}/{50:016x} costs 0.030000000000, and its parts 0.030000000001"
    assert faults(bench) == [Fault("money", "spans of 2026-11-03", words)]


@pytest.mark.parametrize(("table", "check"), [(SETTLEMENTS, "settled"), (CORRECTIONS, "corrected")])
def test_what_is_said_of_a_row_that_does_not_exist_is_found(bench: Bench, table: LakeTable, check: str) -> None:
    about = {"dt": NOON.date(), "trace_id": "a" * 32, "span_id": "b" * 16, "ingested_at": NOON}
    times: dict[str, datetime] = {"start_time": NOON, "settled_at": NOON, "priced_at": NOON}
    add(bench, "said", pa.Table.from_pylist([about | times], schema=table.full_schema), table)
    found = faults(bench)
    assert [(fault.check, fault.where) for fault in found] == [(check, f"{table.name} of 2026-11-03")]
    assert found[0].words.endswith("is no row of spans")


def test_what_died_before_its_commit_is_found_after_a_day_and_deleted_but_not_what_waits(bench: Bench) -> None:
    day = table_path(bench.lake) / "dt=2026-11-03"
    names = (f"{bench.wal_id}-0000000001", "merged-1", f"{bench.wal_id}-0000000009")
    for name in names:
        (day / f"{name}-x.parquet").touch()
    (day / "merged-2.tmp").touch()
    assert faults(bench) == []
    for path in day.iterdir():
        os.utime(path, (0, 0))
    left = sorted(
        f"spans/dt=2026-11-03/{name}" for name in ("merged-2.tmp", *(f"{name}-x.parquet" for name in names[:2]))
    )
    assert [(fault.check, fault.where) for fault in faults(bench)] == [("orphans", where) for where in left]
    done = list(run_jobs(bench.lake, Terms(NOON + timedelta(days=2)), ["vacuum"]))
    assert done == [jobs.Did("vacuum", "spans", "3 files of no commit deleted")]
    assert faults(bench) == []
    assert (day / f"{names[2]}-x.parquet").exists()


def test_the_commands_say_how_a_lake_stands_and_that_it_is_right(bench: Bench) -> None:
    def lake(*words: str, code: int = 0) -> tuple[str, str]:
        argv = [sys.executable, "-m", "spanledger_cli", "lake", *words, "--lake", str(bench.lake)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, done.stderr
        return done.stdout, done.stderr

    bench.seal(9)
    told = json.loads(lake("status", "--home", str(bench.home), "--format", "json")[0])
    spans = next(table for table in told["tables"] if table["table"] == "spans")
    known = {"table": "spans", "files": 3, "rows": 10, "small_files": 1, "days": 2}
    assert {name: spans[name] for name in known} == known
    assert (spans["first_day"], spans["last_day"]) == ("2026-11-03", "2026-11-04")
    assert told["oldest_day_to_write_anew"] == "2026-11-03"
    assert told["backlog"] == {"segments": 1, "bytes": 0, "since": None, "dead_letters": 0, "dead_bytes": 0}
    shown = lake("status", "--home", str(bench.home))[0].splitlines()
    assert shown[0].split() == list(spans)
    assert [line.split()[0] for line in shown[2:4]] == ["spans", "superseded"]
    assert lake("verify") == ("", "spanledger: 12 rows of 2 tables, 8 checks: no faults\n")
    (table_path(bench.lake) / live_files(open_table(bench.lake))[0].path).unlink()
    out, err = lake("verify", code=1)
    assert out.startswith("files: spans/dt=2026-11-03/")
    assert err.endswith(" faults\n")

"""The jobs of a lake die at their worst places, and run beside readers and writers: every row is there once, always.

The short form merges 6 times beside a reader; with SPANLEDGER_PROVE set, 100 times.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from committing import PAID, rows
from spanledger_analytics.connection import connect
from spanledger_analytics.verify import Subject, verify
from spanledger_collector.jobs import Terms, run_jobs
from spanledger_collector.lake import add_files, live_files, open_table, read_rows, write_days
from spanledger_collector.tables import CORRECTIONS
from spanledger_collector.upkeep import merge_small_files

MERGES = 100 if os.environ.get("SPANLEDGER_PROVE") else 6
BATCH = 5
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TERMS = Terms(NOW, keep_days=10, keep_attributes_days=5, all_due=True)
DIES = """
import os, sys
from datetime import datetime
from pathlib import Path
from spanledger_collector import jobs, retention, upkeep

def before(module, name, times=1):
    plain, left = getattr(module, name), [times]
    def dying(*args, **kwargs):
        left[0] -= 1
        return plain(*args, **kwargs) if left[0] else os._exit(9)
    setattr(module, name, dying)

def after(module, name):
    plain = getattr(module, name)
    setattr(module, name, lambda *args, **kwargs: (plain(*args, **kwargs), os._exit(9)))

exec(sys.argv[2])
terms = jobs.Terms(datetime.fromisoformat(sys.argv[3]), 10, 5, all_due=True)
for _ in jobs.run_jobs(Path(sys.argv[1]), terms, sys.argv[4:]):
    pass
"""
WHOLE = """
select dt, count(*) as rows, count(distinct span_id) as ids, sum(cost_usd) as cost_usd
from spans group by dt order by dt
"""


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Four days with two files each, of which one is too old, one has attributes that are, and one was merged."""
    versions = itertools.count()
    for days in (12, 7, 1, 0):
        start = NOW - timedelta(days=days)
        first = days * 10 * BATCH
        for part in range(2):
            version, first = next(versions), (days * 10 + part) * BATCH
            spans = rows(range(first, first + BATCH), start, attributes=[("k", "v")], **PAID)
            add_files(tmp_path, write_days(tmp_path, f"{version}", spans), writer="w", version=version)
        taken = start + timedelta(minutes=1)
        said = {"dt": start.date(), "trace_id": f"{first // 3:032x}", "span_id": f"{first:016x}", "ingested_at": taken}
        beside = pa.Table.from_pylist([said | {"priced_at": start}], schema=CORRECTIONS.full_schema)
        files = write_days(tmp_path, f"{days}", beside, CORRECTIONS)
        add_files(tmp_path, files, writer="w", version=days, table=CORRECTIONS)
        if days == 1:
            merge_small_files(open_table(tmp_path))
    return tmp_path


def whole(lake: Path) -> list[tuple[object, ...]]:
    return connect(lake).execute(WHOLE).fetchall()


@pytest.mark.parametrize(
    ("job", "fault"),
    [
        pytest.param("merge", "before(upkeep, 'publish')", id="merge: before the file has its name"),
        pytest.param("merge", "before(upkeep, 'replace_files')", id="merge: after the file, before the commit"),
        pytest.param("merge", "after(upkeep, 'replace_files')", id="merge: after the commit"),
        pytest.param("retention", "before(retention, 'replace_files')", id="retention: before the first commit"),
        pytest.param("retention", "before(upkeep, 'publish')", id="retention: within a file without attributes"),
        pytest.param("retention", "before(retention, 'replace_files', 2)", id="retention: after that file"),
        pytest.param("retention", "after(jobs, 'drop_attributes')", id="retention: after spans, before other tables"),
        pytest.param("vacuum", "before(Path, 'unlink')", id="vacuum: after what was replaced, before what died"),
    ],
)
def test_jobs_that_die_leave_every_row_and_are_done_by_the_next(lake: Path, job: str, fault: str) -> None:
    before = whole(lake)
    dead = next(lake.glob("spans/dt=*")) / "merged-dead.parquet"
    dead.touch()
    os.utime(dead, (0, 0))
    argv = [sys.executable, "-c", DIES, str(lake), fault, NOW.isoformat(), job]
    died = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=180)
    assert died.returncode == 9, died.stderr
    assert whole(lake) in (before, before[1:])
    assert [did for did in run_jobs(lake, TERMS) if did.failed] == []
    assert whole(lake) == before[1:]
    assert list(read_rows(lake, CORRECTIONS)["dt"].unique().to_pylist()) == [row[0] for row in before[1:]]
    named = {file.path for file in live_files(open_table(lake))}
    attributes = connect(lake).execute("select dt from spans where attributes is not null group by dt").fetchall()
    assert {dt for (dt,) in attributes} == {row[0] for row in before[2:]}
    assert list(verify(Subject(lake))) == []
    assert not dead.exists()
    assert len(named) == len({Path(path).parent for path in named})


def test_readers_beside_merges_see_every_row_once(tmp_path: Path) -> None:
    ended, seen = threading.Event(), list[tuple[int, int]]()
    committed = [0]

    def write() -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            spans = rows(range(number * BATCH, (number + 1) * BATCH), NOW, **PAID)
            add_files(tmp_path, write_days(tmp_path, f"{number}", spans), writer="w", version=number)
            committed[0] = number + 1

    def read() -> None:
        while not ended.is_set():
            at_least = committed[0] * BATCH
            if at_least:
                query = "select count(*), count(distinct span_id) from spans"
                ((count, distinct),) = connect(tmp_path).execute(query).fetchall()
                seen.append((count - distinct, max(0, at_least - count)))

    threads = [threading.Thread(target=work) for work in (write, read)]
    merges = 0
    for thread in threads:
        thread.start()
    try:
        while merges < MERGES or not seen:  # a reader may have to wait for its first turn
            for did in run_jobs(tmp_path, replace(TERMS, keep_days=0), ["merge"]):
                assert not did.failed, did.words
                merges += 1
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert list(verify(Subject(tmp_path))) == []
    shown = {
        "merges": merges,
        "commits_beside": committed[0],
        "reads": len(seen),
        "reads_with_rows_twice": sum(twice > 0 for twice, _ in seen),
        "reads_with_rows_missing": sum(missing > 0 for _, missing in seen),
    }
    print(f"evidence: {json.dumps(shown)}")
    assert len(seen) > 0
    assert set(seen) == {(0, 0)}

"""The committer: strict order, once each, nothing twice, few files."""

from __future__ import annotations

import stat
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from spanledger_analytics.connection import connect
from spanledger_collector import commit
from spanledger_collector.commit import Committer
from spanledger_collector.keys import DayKeys, keys_of
from spanledger_collector.lake import committed_version, live_files, open_table, table_path, write_days
from spanledger_collector.row import SCHEMA
from spanledger_collector.staging import write_manifest
from spanledger_collector.wal import segments

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
WAL_ID = "0f0e0d0c0b0a49088070605040302010"


def rows(numbers: range, start: datetime = NOON) -> pa.Table:
    """Build one priced call for each number, which is its span id."""
    return pa.Table.from_pylist(
        [
            {
                "trace_id": f"{number // 3:032x}",
                "span_id": f"{number:016x}",
                "start_time": start,
                "role": "inference",
                "cost_usd": Decimal("0.010000000000"),
            }
            for number in numbers
        ],
        schema=SCHEMA,
    )


class Bench:
    """A home and a lake, with segments sealed and staged by hand."""

    def __init__(self, folder: Path) -> None:
        self.home, self.lake = folder / "home", folder / "lake"
        (self.home / "wal").mkdir(parents=True)
        (self.home / "wal" / "id").write_text(WAL_ID, "ascii")
        open_table(self.lake)

    def seal(self, segment: int) -> None:
        (self.home / "wal" / f"{segment:010d}.wal").touch()

    def stage(self, segment: int, table: pa.Table) -> None:
        files = write_days(self.lake, f"{WAL_ID}-{segment:010d}", table)
        write_manifest(self.home, segment, files)

    def commit_all(self) -> None:
        committer = Committer(self.home, self.lake)
        while committer.step():
            pass

    def span_ids(self) -> Counter[int]:
        answer = connect(self.lake).execute("select span_id from spans").fetchall()
        return Counter(int(span_id, 16) for (span_id,) in answer)

    def waiting(self) -> list[int]:
        return [segment.number for segment in segments(self.home / "wal")]

    def version(self) -> int:
        return committed_version(open_table(self.lake), WAL_ID)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_consecutive_segments_are_one_commit_and_leave_the_log(bench: Bench) -> None:
    for segment in (1, 2, 3):
        bench.seal(segment)
        bench.stage(segment, rows(range(segment * 10, segment * 10 + 4)))
    bench.commit_all()
    assert bench.span_ids() == Counter([*range(10, 14), *range(20, 24), *range(30, 34)])
    assert (bench.version(), bench.waiting(), open_table(bench.lake).version()) == (3, [], 1)
    assert list((bench.home / "staged").iterdir()) == []


def test_a_segment_that_is_not_staged_holds_back_the_later_ones(bench: Bench) -> None:
    for segment in (1, 2, 3):
        bench.seal(segment)
    bench.stage(1, rows(range(1)))
    bench.stage(3, rows(range(30, 31)))
    bench.commit_all()
    assert (bench.version(), bench.waiting(), bench.span_ids()) == (1, [2, 3], Counter([0]))
    bench.stage(2, rows(range(20, 21)))
    bench.commit_all()
    assert (bench.version(), bench.waiting(), bench.span_ids()) == (3, [], Counter([0, 20, 30]))


def test_a_segment_that_was_committed_before_a_crash_is_not_committed_again(bench: Bench) -> None:
    bench.seal(7)
    bench.stage(7, rows(range(5)))
    bench.commit_all()
    bench.seal(7)
    bench.stage(7, rows(range(5)))
    bench.commit_all()
    assert (bench.span_ids(), bench.waiting()) == (Counter(range(5)), [])


def test_an_exporters_retry_is_dropped_within_a_segment_across_segments_and_across_days(bench: Bench) -> None:
    yesterday = rows(range(100, 104), NOON - timedelta(days=1))
    for segment, table in enumerate(
        (
            pa.concat_tables([rows(range(10)), rows(range(5, 12)), yesterday]),
            pa.concat_tables([rows(range(11, 14)), yesterday]),
            yesterday,
        )
    ):
        bench.seal(segment)
        bench.stage(segment, table)
    bench.commit_all()
    assert bench.span_ids() == Counter([*range(14), *range(100, 104)])
    bench.seal(3)
    bench.stage(3, rows(range(12, 16)))
    bench.commit_all()
    assert bench.span_ids() == Counter([*range(16), *range(100, 104)])


def test_spans_whose_short_keys_collide_are_both_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "keys_of", lambda ids: np.zeros(ids.num_rows, dtype=np.uint64))
    monkeypatch.setattr("spanledger_collector.keys.keys_of", lambda ids: np.zeros(ids.num_rows, dtype=np.uint64))
    for segment in (0, 1):
        bench.seal(segment)
        bench.stage(segment, rows(range(segment * 3, segment * 3 + 5)))
    bench.commit_all()
    assert bench.span_ids() == Counter(range(8))


def test_small_files_are_merged_and_every_file_is_read_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "MOST_SMALL_FILES", 4)
    monkeypatch.setattr(commit, "MOST_SEGMENTS", 1)
    for segment in range(12):
        bench.seal(segment)
        bench.stage(segment, rows(range(segment * 2, segment * 2 + 2), NOON + timedelta(hours=segment * 3)))
    bench.commit_all()
    files = live_files(open_table(bench.lake))
    assert bench.span_ids() == Counter(range(24))
    assert len(files) <= 4 + 2
    assert {stat.S_IMODE((table_path(bench.lake) / file.path).stat().st_mode) for file in files} == {0o444}


def test_keys_of_a_day_are_found_however_they_came() -> None:
    generator = np.random.default_rng(20261122)
    day = DayKeys()
    added = generator.integers(0, 2**64, 50_000, dtype=np.uint64)
    for part in np.array_split(added, 37):
        day.add(part)
    others = generator.integers(0, 2**64, 1000, dtype=np.uint64)
    assert len(day) == 50_000
    assert day.holds(added).all()
    assert not day.holds(others).any()


def test_keys_differ_by_trace_and_by_span() -> None:
    ids = pa.table(
        {
            "trace_id": ["00" * 15 + "01", "00" * 15 + "02", "00" * 15 + "01"],
            "span_id": ["00" * 7 + "0a", "00" * 7 + "0a", "00" * 7 + "fb"],
        }
    )
    assert len(set(keys_of(ids).tolist())) == 3

"""The committer: strict order, once each, nothing twice, few files."""

from __future__ import annotations

import os
import stat
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from committing import NOON, WAL_ID, Bench, rows
from spanledger_analytics.connection import connect
from spanledger_collector import commit, upkeep
from spanledger_collector.catalog import committed_anywhere
from spanledger_collector.commit import Committer
from spanledger_collector.lake import (
    DataFile,
    add_files,
    live_files,
    open_table,
    read_rows,
    table_path,
    write_days,
)
from spanledger_collector.row import SCHEMA
from spanledger_collector.staging import write_manifest
from spanledger_collector.tables import CORRECTIONS, SPANS, LakeTable
from spanledger_collector.upkeep import Merged
from spanledger_collector.wal import segment_path


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


def test_what_a_segment_holds_for_other_tables_is_committed_with_it_and_once(bench: Bench) -> None:
    def stage(segment: int) -> list[DataFile]:
        name = f"{bench.wal_id}-{segment:010d}"
        correction = {"dt": NOON.date(), "trace_id": "a" * 32, "span_id": f"{segment:016x}", "priced_at": NOON}
        beside = pa.Table.from_pylist([correction], schema=CORRECTIONS.full_schema)
        return write_days(bench.lake, name, beside, CORRECTIONS)

    for segment in (1, 2, 3):
        bench.seal(segment)
        spans = write_days(bench.lake, f"{bench.wal_id}-{segment:010d}", rows(range(segment, segment + 1)))
        write_manifest(bench.home, segment, [*stage(segment), *(spans if segment != 2 else [])])
    bench.commit_all()
    bench.seal(3)
    bench.seal(4)
    write_manifest(bench.home, 3, stage(3))
    write_manifest(bench.home, 4, stage(4))
    bench.commit_all()
    assert bench.span_ids() == Counter([1, 3])
    assert sorted(read_rows(bench.lake, CORRECTIONS)["span_id"].to_pylist()) == [f"{n:016x}" for n in range(1, 5)]
    assert bench.waiting() == []
    assert committed_anywhere(bench.lake, WAL_ID) == 4


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


def test_of_copies_that_come_together_the_fullest_stays(bench: Bench) -> None:
    def copy(cost: str, **more: object) -> dict[str, object]:
        known = {"trace_id": "a" * 32, "span_id": "b" * 16, "start_time": NOON, "cost_usd": Decimal(cost)}
        return {**known, **more}

    copies = [
        copy("1"),
        copy("2", duration_us=1, input_tokens=1, output_tokens=1),
        copy("3", duration_us=1, input_tokens=1),
        copy("4", duration_us=2, input_tokens=2, output_tokens=2),
    ]
    bench.seal(1)
    bench.stage(1, pa.Table.from_pylist(copies, schema=SCHEMA))
    bench.commit_all()
    assert connect(bench.lake).execute("select cost_usd from spans").fetchall() == [(Decimal(2),)]


def test_spans_whose_short_keys_collide_are_both_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanledger_collector.keys.keys_of", lambda ids: np.zeros(ids.num_rows, dtype=np.uint64))
    for segment in (0, 1):
        bench.seal(segment)
        bench.stage(segment, rows(range(segment * 3, segment * 3 + 5)))
    bench.commit_all()
    assert bench.span_ids() == Counter(range(8))


def test_small_files_are_merged_and_every_file_is_read_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "MOST_SMALL_FILES", 4)
    monkeypatch.setattr(commit, "MOST_SEGMENTS", 1)
    for segment in range(12):
        bench.seal(segment)
        bench.stage(segment, rows(range(segment * 2, segment * 2 + 2), NOON + timedelta(hours=segment * 3)))
    bench.commit_all()
    files = live_files(open_table(bench.lake))
    assert bench.span_ids() == Counter(range(24))
    assert len(files) <= 4 + 2
    assert {stat.S_IMODE((table_path(bench.lake) / file.path).stat().st_mode) for file in files} == {0o444}


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
    upkeep.merge_small_files(open_table(bench.lake))
    (file,) = live_files(open_table(bench.lake))
    written = pq.ParquetFile(table_path(bench.lake) / file.path)
    assert written.read().sort_by("span_id") == rich
    assert {written.metadata.row_group(0).column(place).compression for place in range(len(SCHEMA))} == {"ZSTD"}
    millisecond = timedelta(milliseconds=1)
    assert NOON < file.start_min <= NOON + 1.001 * millisecond
    assert NOON + 6 * millisecond <= file.start_max <= NOON + 6.006 * millisecond
    assert stat.S_IMODE((table_path(bench.lake) / file.path).stat().st_mode) == 0o444


def test_files_that_are_no_longer_small_are_not_merged_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "MOST_SMALL_FILES", 1)
    monkeypatch.setattr(upkeep, "SMALL_BYTES", 1)
    for segment in range(6):
        bench.seal(segment)
        bench.stage(segment, rows(range(segment, segment + 1)))
        bench.commit_all()
    assert len(live_files(open_table(bench.lake))) == 6


def test_a_merge_that_fails_holds_up_no_commit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "MOST_SMALL_FILES", 0)
    tries = []

    def full(delta: DeltaTable, table: LakeTable) -> Merged:
        tries.append(delta.version())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(upkeep, "merge_small_files", full)
    committer = Committer(bench.home, bench.lake)
    for segment in range(4):
        bench.seal(segment)
        bench.stage(segment, rows(range(segment, segment + 1)))
        assert committer.step()
        committer.finish()
    assert bench.span_ids() == Counter(range(4))
    assert len(tries) == 1


def test_a_retry_to_another_collector_of_the_same_lake_is_dropped(bench: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path / "other", lake=bench.lake, wal_id="ffffffffffffffffffffffffffffffff")
    committers = {one: Committer(one.home, one.lake) for one in (bench, other)}
    for segment, (one, numbers) in enumerate(
        ((bench, range(4)), (other, range(2, 6)), (bench, range(3, 8)), (other, range(8)))
    ):
        one.seal(segment)
        one.stage(segment, rows(numbers))
        assert committers[one].step()
    assert bench.span_ids() == Counter(range(8))


def test_replaced_files_leave_the_disk_and_the_log(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "MOST_SMALL_FILES", 3)
    monkeypatch.setattr(commit, "MOST_SEGMENTS", 1)
    monkeypatch.setattr(upkeep, "_KEEP_REPLACED_HOURS", 0)
    monkeypatch.setattr(upkeep, "_VACUUM_EVERY_S", 0.0)
    for segment in range(12):
        bench.seal(segment)
        bench.stage(segment, rows(range(segment, segment + 1)))
    bench.commit_all()
    on_disk = list(table_path(bench.lake).glob("dt=*/*.parquet"))
    assert bench.span_ids() == Counter(range(12))
    assert len(on_disk) <= len(live_files(open_table(bench.lake))) + 4


def test_a_commit_is_on_disk_before_the_log_lets_go(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/dev/fd/{descriptor}").resolve().name)

    def forget(folder: Path, number: int) -> Path:
        assert {"_delta_log", "00000000000000000001.json"} <= set(synced)
        return segment_path(folder, number)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(commit, "segment_path", forget)
    bench.seal(1)
    bench.stage(1, rows(range(1)))
    assert {"spans", f"{WAL_ID}-0000000001.tmp", "dt=2026-11-03"} <= set(synced)
    bench.commit_all()
    assert bench.waiting() == []


def test_what_a_crash_left_half_written_is_not_written_into(bench: Bench) -> None:
    (table_path(bench.lake) / "dt=2026-11-03").mkdir()
    draft = table_path(bench.lake) / f"dt=2026-11-03/{WAL_ID}-0000000001.tmp"
    draft.write_bytes(b"half")
    draft.chmod(0o444)  # which only root could open for writing again
    kept = bench.home / "kept"
    kept.hardlink_to(draft)
    bench.seal(1)
    bench.stage(1, rows(range(1)))
    bench.commit_all()
    assert (bench.span_ids(), kept.read_bytes()) == (Counter([0]), b"half")


def test_a_data_file_has_no_dictionary_of_ids_and_bounds_of_what_queries_are_narrowed_by(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (file,) = write_days(bench.lake, "file", rows(range(100)))
    group = pq.ParquetFile(table_path(bench.lake) / file.path).metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    dictionaries = {column.path_in_schema for column in columns if column.has_dictionary_page}
    bounds = {column.path_in_schema for column in columns if column.is_stats_set}
    assert {"role", "attributes.key_value.key", "attributes.key_value.value"} <= dictionaries
    assert not dictionaries & {"trace_id", "span_id", "response_id", "start_time", "cost_usd", "prefix_chain"}
    assert {"start_time", "user_id"} <= bounds
    assert not bounds & {"span_id", "attributes.key_value.value"}


def test_commits_go_on_while_files_are_merged(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "MOST_SMALL_FILES", 2)
    merge, go_on, merges = upkeep.merge_small_files, threading.Event(), list[Merged]()

    def late(delta: DeltaTable, table: LakeTable) -> Merged:
        assert go_on.wait(20)
        merges.append(merge(delta, table))
        return merges[-1]

    monkeypatch.setattr(upkeep, "merge_small_files", late)
    committer = Committer(bench.home, bench.lake)
    for segment in range(6):
        bench.seal(segment)
        bench.stage(segment, rows(range(segment * 2, segment * 2 + 2)))
        assert committer.step()
    go_on.set()
    committer.finish()
    bench.seal(6)
    bench.stage(6, rows(range(14)))  # all that is in the merged file, again
    assert committer.step()
    committer.finish()
    assert bench.span_ids() == Counter(range(14))
    assert [file.rows for file in merges[0].new] == [sum(file.rows for file in merges[0].gone)]


def test_a_merge_keeps_columns_that_came_since_the_lake_was_made(tmp_path: Path) -> None:
    before = replace(SPANS, columns=tuple(column for column in SPANS.columns if column.name not in {"release", "tags"}))
    lake = tmp_path / "lake"
    for version, table in enumerate((before, SPANS)):
        said = rows(range(version, version + 1), release="1.0", tags=[("a", "b")])
        files = write_days(lake, f"{version}", said, table)
        add_files(lake, files, writer="w", version=version, table=table)
    upkeep.merge_small_files(open_table(lake))
    (file,) = live_files(open_table(lake))
    merged = pq.ParquetFile(table_path(lake) / file.path).read(["span_id", "release", "tags"]).sort_by("span_id")
    assert [row["release"] for row in merged.to_pylist()] == [None, "1.0"]
    assert [row["tags"] for row in merged.to_pylist()] == [None, [("a", "b")]]

"""The committer: strict order, once each, nothing twice, few files."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from committing import NOON, WAL_ID, Bench, rows
from spanledger_analytics.connection import connect
from spanledger_collector import commit, keys, upkeep
from spanledger_collector.catalog import committed_anywhere
from spanledger_collector.commit import Committer
from spanledger_collector.lake import (
    DataFile,
    add_files,
    append_unless_changed,
    open_table,
    read_rows,
    table_path,
    write_days,
)
from spanledger_collector.row import SCHEMA
from spanledger_collector.staging import write_manifest
from spanledger_collector.tables import CORRECTIONS
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


def test_the_keys_of_files_that_were_merged_are_not_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Bench(bench.home.parent / "other", lake=bench.lake, wal_id="ffffffffffffffffffffffffffffffff")
    committer = Committer(bench.home, bench.lake)
    read: list[str] = []

    def noting(path: Path) -> np.ndarray:
        read.append(path.stem)
        return read_keys(path)

    def commit_rows(segment: int, numbers: range) -> None:
        bench.seal(segment)
        bench.stage(segment, rows(numbers))
        assert committer.step()

    read_keys = keys._read_keys
    commit_rows(0, range(3))
    commit_rows(1, range(3, 6))
    other.commit(rows(range(6, 9)))  # which nobody here knows when it is merged
    upkeep.merge_small_files(open_table(bench.lake))
    upkeep.merge_small_files(open_table(bench.lake))
    monkeypatch.setattr(keys, "_read_keys", noting)
    commit_rows(2, range(12))
    assert bench.span_ids() == Counter(range(12))
    assert read == [f"{other.wal_id}-0000000000", f"{bench.wal_id}-0000000002"]


def test_where_the_log_of_a_merge_is_gone_the_keys_of_what_it_made_are_read(bench: Bench) -> None:
    committer = Committer(bench.home, bench.lake)
    for segment in range(3):
        bench.seal(segment)
        bench.stage(segment, rows(range(segment, segment + 2)))
        assert committer.step()
    delta = open_table(bench.lake)
    upkeep.merge_small_files(delta)
    merged = delta.version()
    add_files(bench.lake, write_days(bench.lake, "other", rows(range(6, 7))), writer="other", version=0)
    open_table(bench.lake).create_checkpoint()
    (table_path(bench.lake) / f"_delta_log/{merged:020d}.json").unlink()
    bench.seal(3)
    bench.stage(3, rows(range(8)))
    assert committer.step()
    assert bench.span_ids() == Counter(range(8))


def test_what_another_collector_adds_and_merges_while_a_commit_is_made_is_checked_against(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Bench(bench.home.parent / "other", lake=bench.lake, wal_id="ffffffffffffffffffffffffffffffff")
    bench.commit(rows(range(2)))
    plain, raced = append_unless_changed, list[int]()

    def racing(delta: DeltaTable, *args: Any, **kwargs: Any) -> bool:
        if not raced:
            raced.append(delta.version())
            monkeypatch.setattr(commit, "append_unless_changed", plain)
            other.commit(rows(range(2, 6)))
            upkeep.merge_small_files(open_table(bench.lake))
            monkeypatch.setattr(commit, "append_unless_changed", racing)
        return plain(delta, *args, **kwargs)

    monkeypatch.setattr(commit, "append_unless_changed", racing)
    bench.commit(rows(range(8)))
    assert bench.span_ids() == Counter(range(8))
    assert raced

"""The index of keys: every span of the lake is in it, whatever became of its files on disk."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from committing import NOON, Bench, rows
from spanledger_collector import keyfiles, keys
from spanledger_collector.keyfiles import KeyFiles
from spanledger_collector.keys import DayKeys, KeyIndex, keys_of
from spanledger_collector.lake import DataFile, live_files, open_table, table_path

DAY = NOON.date()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(keys, "KEPT_FROM", 10)
    return Bench(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def live(bench: Bench) -> list[DataFile]:
    return live_files(open_table(bench.lake))


def known(bench: Bench, folder: Path | None, numbers: range, day: date = DAY) -> int:
    """Return how many of the spans a new index knows."""
    return int(KeyIndex(bench.lake, folder).day(day, live(bench)).holds(keys_of(rows(numbers))).sum())


def hide(bench: Bench) -> None:
    """Take the data files away, so that nothing can be read from them."""
    table_path(bench.lake).joinpath(f"dt={DAY}").rename(bench.lake / "hidden")


def test_keys_of_a_large_day_that_is_over_are_read_from_the_lake_once(bench: Bench, folder: Path) -> None:
    bench.commit(rows(range(30)))
    assert known(bench, folder, range(25, 35)) == 5
    hide(bench)
    assert known(bench, folder, range(25, 35)) == 5
    assert sorted(path.name for path in folder.iterdir()) == ["2026-11-03.json", "2026-11-03.npy"]


def test_what_was_added_since_is_read_and_kept_too_when_it_is_much(bench: Bench, folder: Path) -> None:
    bench.commit(rows(range(30)))
    for numbers in (range(30, 32), range(32, 50)):
        known(bench, folder, range(1))
        bench.commit(rows(numbers))
        assert known(bench, folder, range(60)) == numbers.stop
    hide(bench)
    assert known(bench, folder, range(60)) == 50


def test_todays_keys_and_those_of_small_days_stay_in_memory(bench: Bench, folder: Path) -> None:
    today = datetime.now(UTC) + timedelta(hours=1)  # a day that is not over before the test is
    bench.commit(rows(range(30), today), rows(range(9)))
    assert known(bench, folder, range(30), today.date()) == 30
    assert known(bench, folder, range(30)) == 9
    assert not folder.exists()


def test_the_keys_of_a_day_that_is_under_way_go_to_disk_an_eighth_at_a_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "KEPT_WHILE_OPEN_FROM", 10)
    monkeypatch.setattr(keyfiles, "_PART", 7)
    files, day, generator = KeyFiles(folder), DayKeys(), np.random.default_rng(7)
    added = generator.integers(0, 2**64, 500, dtype=np.uint64)
    in_memory = []
    for part in np.split(added, 100):
        day.add(part)
        if day.worth_keeping(is_open=True):
            day.keep(DAY, files)
        in_memory.append(len(day))
    assert (in_memory[:5], max(in_memory)) == ([5, 0, 5, 0, 5], 50)
    kept, _ = files.load(DAY) or (np.zeros(0, np.uint64), set())
    assert kept.tolist() == np.sort(added[: len(kept)]).tolist()
    assert day.holds(added).all()


@pytest.mark.parametrize("name", ["2026-11-03.json", "2026-11-03.npy"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"half"])
def test_what_is_damaged_on_disk_is_read_from_the_lake_again(
    bench: Bench, folder: Path, name: str, content: bytes | None
) -> None:
    bench.commit(rows(range(30)))
    known(bench, folder, range(1))
    damaged = folder / name
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    assert known(bench, folder, range(30)) == 30


def test_keys_that_cannot_be_kept_are_known_all_the_same(bench: Bench, folder: Path) -> None:
    folder.write_text("a file, where a folder should be")
    bench.commit(rows(range(30)))
    assert known(bench, folder, range(30)) == 30


def test_days_that_were_longest_unused_make_room(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfiles, "MOST_BYTES", 900)
    days = [NOON - timedelta(days=back) for back in (3, 2, 1)]
    bench.commit(*(rows(range(30), day) for day in days))
    for day in days:
        known(bench, folder, range(1), day.date())
    assert sorted(path.stem for path in folder.glob("*.npy")) == ["2026-11-01", "2026-11-02"]


def test_a_day_that_was_let_go_from_memory_is_read_again(bench: Bench) -> None:
    yesterday = NOON - timedelta(days=1)
    bench.commit(rows(range(30)), rows(range(40, 60), yesterday))
    index = KeyIndex(bench.lake, limit=10)
    for _ in range(2):
        assert index.day(DAY, live(bench)).holds(keys_of(rows(range(60)))).sum() == 30
        assert index.day(yesterday.date(), live(bench)).holds(keys_of(rows(range(60)))).sum() == 20


def test_a_late_repeat_is_dropped_by_keys_on_disk(bench: Bench) -> None:
    bench.commit(rows(range(30)))
    bench.commit(rows(range(20, 40)), rows(range(35, 50)))
    assert sorted(bench.span_ids().items()) == [(number, 1) for number in range(50)]
    assert list((bench.home / "keys").glob("*/2026-11-03.npy"))


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

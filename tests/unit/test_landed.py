"""A commit is in the log and looks like a failure: it counts once, and what it put in stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from committing import NOON, Bench, rows
from ledger_rows import span
from lost_answers import late, unanswered
from spanledger_collector import commit, rewrite
from spanledger_collector.lake import (
    DataFile,
    add_files,
    append_files,
    append_marked,
    append_unless_changed,
    committed_version,
    file_path,
    live_files,
    open_table,
    replace_files,
    write_file,
)
from spanledger_collector.rewrite import rewrite_day
from spanledger_collector.row import SCHEMA
from spanledger_collector.tables import SETTLEMENTS, SETTLER, SPANS, LakeTable

Opened = Callable[[Path, LakeTable], DeltaTable]


def written(lake: Path, name: str, *traces: int) -> DataFile:
    return write_file(lake, name, pa.Table.from_pylist([span(trace, 1, NOON) for trace in traces], schema=SCHEMA))


def live(lake: Path) -> list[str]:
    return [file.path for file in live_files(open_table(lake))]


@pytest.mark.parametrize("opened", [unanswered, late])
def test_files_are_added_once(tmp_path: Path, opened: Opened) -> None:
    file = written(tmp_path, "a", 1)
    append_files(opened(tmp_path, SPANS), [file], writer="w", version=1)
    assert (live(tmp_path), open_table(tmp_path).version()) == ([file.path], 1)


@pytest.mark.parametrize("opened", [unanswered, late])
def test_files_take_the_place_of_others_and_are_known_to_have(tmp_path: Path, opened: Opened) -> None:
    old, new = written(tmp_path, "a", 1), written(tmp_path, "b", 1)
    add_files(tmp_path, [old], writer="w", version=1)
    assert replace_files(opened(tmp_path, SPANS), [old], [new], same_rows=True)
    assert (live(tmp_path), open_table(tmp_path).version()) == ([new.path], 2)


def test_a_mark_without_files_is_set_once(tmp_path: Path) -> None:
    assert append_marked(unanswered(tmp_path, SETTLEMENTS), [], {SETTLER: 7}, SETTLEMENTS)
    table = open_table(tmp_path, SETTLEMENTS)
    assert (committed_version(table, SETTLER), table.version()) == (7, 1)


def test_a_commit_that_came_first_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    ours, theirs = written(tmp_path, "a", 1), written(tmp_path, "b", 2)
    table = open_table(tmp_path)
    add_files(tmp_path, [theirs], writer="w", version=1)
    assert not append_unless_changed(table, [ours], writer="w", version=1)
    assert live(tmp_path) == [theirs.path]


def test_a_failure_that_is_none_of_the_race_is_told(tmp_path: Path) -> None:
    table, file = open_table(tmp_path), written(tmp_path, "a", 1)
    (tmp_path / "spans" / "_delta_log" / f"{1:020d}.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        append_files(table, [file], writer="w", version=1)


@pytest.mark.parametrize("opened", [unanswered, late])
def test_a_segment_is_committed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opened) -> None:
    bench = Bench(tmp_path)
    bench.seal(0)
    bench.stage(0, rows(range(5)))
    monkeypatch.setattr(commit, "open_table", lambda lake, table=SPANS: opened(lake, table))
    bench.commit_all()
    assert (bench.span_ids(), bench.waiting(), bench.version()) == (dict.fromkeys(range(5), 1), [], 0)
    assert open_table(bench.lake).version() == 1


@pytest.mark.parametrize("opened", [unanswered, late])
def test_the_files_of_a_day_written_anew_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opened) -> None:
    old = [written(tmp_path, "a", 1), written(tmp_path, "b", 2)]
    add_files(tmp_path, old, writer="w", version=1)
    monkeypatch.setattr(rewrite, "open_table", lambda lake: opened(lake, SPANS))
    done = rewrite_day(tmp_path, NOON.date())
    assert done is not None
    assert (live(tmp_path), done.rows) == ([file.path for file in done.new], 2)
    assert all(file_path(tmp_path, file).exists() for file in done.new)

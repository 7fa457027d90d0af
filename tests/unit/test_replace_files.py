"""Files take the place of others in one commit, beside whoever else writes to the table."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa

from ledger_rows import span
from spanledger_collector.changes import START, changes_since
from spanledger_collector.lake import DataFile, add_files, live_files, open_table, replace_files, write_file
from spanledger_collector.row import SCHEMA

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ENDLESS_MS = 2**52


def written(lake: Path, name: str, *traces: int) -> DataFile:
    rows = pa.Table.from_pylist([span(trace, 1, NOON) for trace in traces], schema=SCHEMA)
    return write_file(lake, name, rows)


def test_files_take_the_place_of_others_and_nobody_has_to_look_at_them_again(tmp_path: Path) -> None:
    old = [written(tmp_path, "a", 1), written(tmp_path, "b", 2)]
    add_files(tmp_path, old, writer="w", version=1)
    spans, other = open_table(tmp_path), written(tmp_path, "other", 3)
    add_files(tmp_path, [other], writer="w", version=2)  # comes after `spans` was read
    new = written(tmp_path, "new", 1, 2)
    assert replace_files(spans, old, [new], same_rows=True)
    assert [file.path for file in live_files(open_table(tmp_path))] == [new.path, other.path]
    changes = changes_since(tmp_path, open_table(tmp_path), START, ENDLESS_MS)
    assert changes is not None
    assert [file.path for file in changes.files] == [file.path for file in (*old, other)]


def test_what_somebody_else_has_replaced_is_left_alone(tmp_path: Path) -> None:
    old = written(tmp_path, "a", 1)
    add_files(tmp_path, [old], writer="w", version=1)
    assert replace_files(open_table(tmp_path), [old], [written(tmp_path, "theirs", 1)], same_rows=True)
    assert not replace_files(open_table(tmp_path), [old], [written(tmp_path, "ours", 1)], same_rows=True)
    assert [Path(file.path).stem for file in live_files(open_table(tmp_path))] == ["theirs"]


def test_files_are_taken_out(tmp_path: Path) -> None:
    old, kept = written(tmp_path, "a", 1), written(tmp_path, "b", 2)
    add_files(tmp_path, [old, kept], writer="w", version=1)
    assert replace_files(open_table(tmp_path), [old], [], same_rows=False)
    assert [(file.path, file.dt) for file in live_files(open_table(tmp_path))] == [(kept.path, date(2026, 11, 20))]

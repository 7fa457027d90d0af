"""Days that are older than they are to be kept: taken out whole, or without what takes the most room.

A day leaves `spans` before the tables beside it, because what these say of its rows must not be lost first. As a clock
that is years ahead would make every day too old, nothing is done unless the days that the lake has lead up to the
clock's without a gap: by the last row alone one could not tell, because it may come from the same clock.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from spanledger.lake_path import LakePath

from .lake import DataFile, folder_of, live_files, replace_files
from .storage import delete, parquet
from .tables import SPANS, LakeTable
from .upkeep import copy_rows

LEFT_OUT: Final = ("attributes", "resource", "events")
"""Columns that may be dropped earlier than the row."""
MOST_SILENCE: Final = timedelta(days=7)
"""Between the last day with rows and the clock's."""
MOST_GAP: Final = timedelta(days=30)
"""Between two days with rows, of those that are kept."""
_EMPTY_BYTES: Final = 1000
"""Of a column without a value in a row group, at most: to look at more is not worth it."""
_TRIES: Final = 5


def why_unsure(days: Collection[date], now: datetime, first_kept: date) -> str:
    """Say why the clock can't be trusted, by the days that have rows; empty where it can."""
    newest_first = sorted(days, reverse=True)
    if not newest_first or now.date() - newest_first[0] > MOST_SILENCE:
        return f"nothing is there of the {MOST_SILENCE.days} days before {now.date()}"
    for later, earlier in itertools.pairwise(newest_first):
        if later - earlier > MOST_GAP:
            return f"nothing is there between {earlier} and {later}"
        if earlier < first_kept:
            break
    return ""


def old_files(delta: DeltaTable, table: LakeTable, first_kept: date) -> list[DataFile]:
    """Return the live files of days before `first_kept`."""
    return [file for file in live_files(delta, table) if file.dt < first_kept]


def drop_days(delta: DeltaTable, table: LakeTable, first_kept: date) -> list[DataFile]:
    """Take the days before `first_kept` out of a table; their files stay on disk for those that read them.

    Raises:
        LakeError: other writers won the race every time.
    """
    for _ in range(_TRIES):
        gone = old_files(delta, table, first_kept)
        if not gone or replace_files(delta, gone, [], table, same_rows=False):
            return gone
    return []


def full_files(spans: DeltaTable, files: Sequence[DataFile]) -> list[DataFile]:
    """Return those of some files of `spans` that have values in `LEFT_OUT`."""
    return [file for file in files if not _is_lean(folder_of(spans) / file.path)]


def drop_attributes(spans: DeltaTable, files: Sequence[DataFile]) -> list[DataFile]:
    """Write files again without values in `LEFT_OUT`; returns those that were replaced.

    Raises:
        LakeError: other writers won the race every time.
    """
    done = []
    for file in files:
        new = copy_rows(folder_of(spans), [file], SPANS, f"{Path(file.path).stem}-lean", _without)
        if replace_files(spans, [file], [new], SPANS, same_rows=True):
            done.append(file)
        else:
            delete(folder_of(spans) / new.path)
    return done


def _without(rows: pa.Table) -> pa.Table:
    for name in LEFT_OUT:
        place = rows.schema.get_field_index(name)
        if place >= 0:
            rows = rows.set_column(place, rows.schema.field(place), pa.nulls(len(rows), rows.schema.field(place).type))
    return rows


def _is_lean(path: LakePath) -> bool:
    with pq.ParquetFile(parquet(path)) as file:
        for group in range(file.num_row_groups):
            columns = [file.metadata.row_group(group).column(place) for place in range(file.metadata.num_columns)]
            wanted = [column for column in columns if column.path_in_schema.partition(".")[0] in LEFT_OUT]
            if any(column.total_uncompressed_size > _EMPTY_BYTES for column in wanted):
                return False
        names = [name for name in LEFT_OUT if name in file.schema_arrow.names]
        rows = file.read(names)
    return all(rows[name].null_count == len(rows) for name in names)

"""Keeping a table quick to read and its folder small: small files are merged, what was replaced is deleted.

An append and a query cost by the number of live files. What a merge replaces stays on disk for an hour, for the queries
that have it open. Rows are copied by us and not by Delta's own `optimize`: of two of these at the same files, as two
collectors on one lake would start, both get through (deltalake 1.6), and every row is there twice.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from spanledger.lake_path import LakePath

from .datafiles import ROW_GROUP_ROWS, parquet_writer
from .folding import mark_in
from .lake import DataFile, folder_of, live_files, replace_files
from .row import PARTITION
from .storage import delete, draft_of, parquet, publish
from .tables import SPANS, LakeTable

SMALL_BYTES: Final = 32 << 20
"""A smaller file is small."""
_MOST_BYTES: Final = 96 << 20
"""Of small files that become one, so that what merging made isn't merged over and over."""
KEEP_REPLACED_HOURS: Final = 1


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did."""

    gone: list[DataFile]
    new: list[DataFile]
    """They hold the rows of those that are gone, and nothing else."""


def small_files(live: Sequence[DataFile]) -> int:
    """Return how many of the live files are small, beyond one a day."""
    counts = Counter(file.dt for file in live if _may_merge(file))
    return sum(counts.values()) - len(counts)


def merge_small_files(delta: DeltaTable, table: LakeTable = SPANS) -> Merged:
    """Merge the small files of each day; what they replace stays on disk for now.

    Files that somebody else replaces meanwhile stay as they are.

    Raises:
        OSError: the disk is full, or a file is gone.
        LakeError: other writers won the race every time.
    """
    merged = Merged([], [])
    for gone in groups_to_merge(live_files(delta, table)):
        new = copy_rows(folder_of(delta), gone, table, f"merged-{uuid.uuid4().hex}")
        if replace_files(delta, gone, [new], table, same_rows=True):
            merged.gone.extend(gone)
            merged.new.append(new)
        else:
            delete(folder_of(delta) / new.path)
    return merged


def groups_to_merge(live: Sequence[DataFile]) -> list[list[DataFile]]:
    """Return which small files become one: of one day, and so many as make a good size."""
    days = defaultdict[date, list[list[DataFile]]](list)
    for file in sorted(live, key=lambda file: file.start_min):
        if _may_merge(file):
            bins = days[file.dt]
            if not bins or sum(one.size for one in bins[-1]) + file.size > _MOST_BYTES:
                bins.append([])
            bins[-1].append(file)
    return [files for bins in days.values() for files in bins if len(files) > 1]


def _may_merge(file: DataFile) -> bool:
    """Say whether a file is small, and none that a day was written anew as: nothing is to be mixed into these."""
    return file.size < SMALL_BYTES and mark_in(file.path) is None


def copy_rows(
    folder: LakePath,
    files: Sequence[DataFile],
    table: LakeTable,
    name: str,
    change: Callable[[pa.Table], pa.Table] = copy,
) -> DataFile:
    """Write the rows of files of one day, each as `change` makes it, as one file, which nobody sees yet."""
    dt = files[0].dt
    path = f"{PARTITION}={dt.isoformat()}/{name}.parquet"
    draft = draft_of(folder.parent, folder / path)
    paths = [folder / file.path for file in files]
    times: list[datetime] = []
    try:
        # Columns that a later version has added go along.
        schema = pa.unify_schemas([table.schema, *map(pq.read_schema, map(parquet, paths))])
        with parquet_writer(draft, schema) as writer:
            for rows in _row_groups(paths, schema):
                writer.write_table(change(rows), row_group_size=ROW_GROUP_ROWS)
                times += pc.min_max(rows[table.clock]).as_py().values()
        size = publish(draft, folder / path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    return DataFile(path, dt, sum(file.rows for file in files), size, min(times), max(times), table.name)


def _row_groups(paths: Sequence[LakePath], schema: pa.Schema) -> Iterator[pa.Table]:
    """Read files one after the other, and give their rows in full row groups."""
    waiting = schema.empty_table()
    for path in paths:
        with pq.ParquetFile(parquet(path)) as file:
            rows = file.read(use_threads=False)  # which takes a third less CPU
        columns = [rows[one.name] if one.name in rows.column_names else pa.nulls(len(rows), one.type) for one in schema]
        waiting = pa.concat_tables([waiting, pa.table(columns, names=schema.names).cast(schema)])
        while len(waiting) >= ROW_GROUP_ROWS:
            yield waiting.slice(0, ROW_GROUP_ROWS)
            waiting = waiting.slice(ROW_GROUP_ROWS).combine_chunks()
    if len(waiting):
        yield waiting


def delete_replaced(delta: DeltaTable, *, dry_run: bool = False) -> int:
    """Delete the files that were replaced an hour ago or earlier; returns how many."""
    return len(delta.vacuum(KEEP_REPLACED_HOURS, dry_run=dry_run, enforce_retention_duration=False))

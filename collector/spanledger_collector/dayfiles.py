"""The files of one day as they are written anew: sorted within each hour, in full row groups, of bounded size.

Rows that fuller copies have replaced go into files of their own, so that whoever reads what counts needs to look none
of them up. Names come last, from what is known when all is written.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spanledger.lake_path import LakePath

from .ancestry import version_keys
from .datafiles import ROW_GROUP_ROWS, parquet_writer
from .lake import DataFile, file_path, table_path
from .row import PARTITION
from .storage import delete, publish
from .tables import SPANS

MOST_BYTES: Final = 256 << 20
"""A file that has as much is closed."""
_ORDER: Final = ("user_id", "start_time", "span_id")
Kind = Literal["day", "older"]
_Places = npt.NDArray[np.int64]


class DayFiles:
    """The new files of a day: those with what counts, and those with what fuller copies replaced.

    Unless they are kept they are deleted at the end.
    """

    def __init__(self, lake: LakePath, dt: date, scratch: Path) -> None:
        self._lake, self._dt = lake, dt
        self._parts = {kind: _Part(scratch, kind) for kind in ("day", "older")}
        self._published: list[DataFile] = []

    def __enter__(self) -> DayFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for part in self._parts.values():
            part.close()
        self.discard(self._published)

    def add(self, rows: pa.Table, superseded: pa.Array) -> None:
        """Add the rows of an hour, in any order; `superseded` are the keys of the versions that don't count."""
        if not rows.num_rows:
            return
        order = pc.sort_indices(rows.select(_ORDER), sort_keys=[(name, "ascending") for name in _ORDER]).to_numpy()
        older = np.zeros(rows.num_rows, np.bool_)
        if len(superseded):
            older = pc.is_in(version_keys(rows), value_set=superseded).to_numpy(zero_copy_only=False)
        self._parts["day"].add(rows, order[~older[order]])
        self._parts["older"].add(rows, order[older[order]])

    def close(self, mark: str) -> list[DataFile]:
        """Finish the files, give them names with the mark, and return them."""
        folder, name = f"{PARTITION}={self._dt.isoformat()}", uuid.uuid4().hex
        for kind, part in self._parts.items():
            for number, draft in enumerate(part.close()):
                path = f"{folder}/{kind}-{mark}-{name}-{number:03}.parquet"
                size = publish(draft.path, table_path(self._lake) / path)
                self._published.append(DataFile(path, self._dt, draft.rows, size, min(draft.starts), max(draft.starts)))
        return list(self._published)

    def keep(self) -> None:
        """Leave the files where they are at the end."""
        self._published = []

    def discard(self, files: Sequence[DataFile]) -> None:
        """Delete files of which no commit names one."""
        for file in files:
            delete(file_path(self._lake, file))


@dataclass(slots=True)
class _Draft:
    """A file that is being written."""

    path: Path
    writer: pq.ParquetWriter
    rows: int = 0
    starts: list[datetime] = field(default_factory=list)
    """The earliest and the latest of each row group."""

    def write(self, rows: pa.Table) -> None:
        self.writer.write_table(rows.combine_chunks(), row_group_size=ROW_GROUP_ROWS)
        self.rows += rows.num_rows
        self.starts += pc.min_max(rows["start_time"]).as_py().values()


class _Part:
    """Files of one kind, one after the other; row groups are full but for the last."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind
        self._drafts: list[_Draft] = []
        self._is_full = True
        self._waiting: list[pa.Table] = []

    def add(self, rows: pa.Table, places: _Places) -> None:
        """Add some rows, in the order of `places`."""
        for start in range(0, len(places), ROW_GROUP_ROWS):
            self._waiting.append(rows.take(pa.array(places[start : start + ROW_GROUP_ROWS])))
            if sum(table.num_rows for table in self._waiting) >= ROW_GROUP_ROWS:
                waiting = pa.concat_tables(self._waiting)
                self._write(waiting.slice(0, ROW_GROUP_ROWS))
                self._waiting = [waiting.slice(ROW_GROUP_ROWS)]

    def close(self) -> list[_Draft]:
        """Write what waits, and return the finished files."""
        rest = sum(table.num_rows for table in self._waiting)
        if rest:
            self._write(pa.concat_tables(self._waiting))
        self._waiting = []
        self._finish()
        return self._drafts

    def _write(self, rows: pa.Table) -> None:
        if self._is_full:
            path = self._folder / f"{self._kind}-{len(self._drafts):03}.parquet"
            self._drafts.append(_Draft(path, parquet_writer(path, SPANS.schema, of_closed_day=True)))
            self._is_full = False
        draft = self._drafts[-1]
        draft.write(rows)
        if draft.path.stat().st_size >= MOST_BYTES:
            self._finish()

    def _finish(self) -> None:
        if not self._is_full:
            self._drafts[-1].writer.close()
        self._is_full = True

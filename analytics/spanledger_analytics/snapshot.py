"""What a question stands on: the files of every table that are live at one moment.

DuckDB is handed lists of files from the Delta logs, and in front of each list an empty file with today's columns:
older files lack columns that were added later, and the first file decides the types.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from spanledger_collector.catalog import SIDE_TABLES
from spanledger_collector.lake import file_path, live_files, open_for_reading
from spanledger_collector.tables import SPANS, LakeTable


@dataclass(frozen=True, slots=True)
class LakeFiles:
    """The files that the views stand on; the first of each list is the empty one."""

    spans: list[str]
    beside: Mapping[str, list[str]]
    """Name of a side table to its files."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been collected."""
        return len(self.spans) == 1

    def paths(self) -> Iterator[str]:
        """Yield every file."""
        yield from self.spans
        for files in self.beside.values():
            yield from files


def files_now(lake: Path) -> LakeFiles:
    """Return the files that the views stand on now."""
    return LakeFiles(_files_of(lake, SPANS), {table.name: _files_of(lake, table) for table in SIDE_TABLES})


@cache
def template(table: LakeTable) -> str:
    """Return the path of an empty file with today's columns of a table, made once a process and removed at its end."""
    path = _templates() / table.name / "dt=1970-01-01" / "none.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table.schema.empty_table(), path)
    return str(path)


@cache
def _templates() -> Path:
    folder = tempfile.mkdtemp(prefix="spanledger-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _files_of(lake: Path, table: LakeTable) -> list[str]:
    delta = open_for_reading(lake, table)
    files = live_files(delta, table) if delta else []
    return [template(table), *(str(file_path(lake, file)) for file in files)]

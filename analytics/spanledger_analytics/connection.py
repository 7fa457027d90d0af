"""DuckDB over the lake: one factory for the product's own queries and one for ad-hoc SQL.

Both work on lists of live files (`snapshot`): the product's queries on those of the days that they ask about, the
views of ad-hoc SQL on all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import date
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Final

import duckdb
import polars as pl
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from spanledger_collector.catalog import SIDE_TABLES
from spanledger_collector.lake import DataFile, file_path, live_files, open_for_reading, table_path
from spanledger_collector.row import SCHEMA
from spanledger_collector.tables import SPANS

from .snapshot import LakeFiles, files_now, template

Parameter = str | int | float | bool | date | list[str] | None
VIEWS: Final = ("spans", "llm_calls", *(table.name for table in SIDE_TABLES), "cross_checks")
"""Names that ad-hoc SQL can rely on."""
_MACROS: Final = ("spans", "llm_calls", "rows", "outcomes", "readings")


class Ledger:
    """The lake as the product's own queries see it; safe to share between threads."""

    def __init__(self, lake: Path) -> None:
        self.lake = lake
        self._lock = threading.Lock()
        self._table: DeltaTable | None = None
        self._files: tuple[int, list[DataFile]] = (-1, [])
        self._connection = open_connection()

    def version(self) -> int:
        """Return the version of the table now, -1 where nothing was collected; part of every cache key."""
        return self._live()[0]

    def stamp(self, first: date | None = None, last: date | None = None) -> int:
        """Return a number that changes when the live files of these days (inclusive) do; for cache keys.

        Days that are over keep theirs while today's grows, so that their answers stay cached.
        """
        return hash(tuple(file.path for file in prune(self._live()[1], first, last)))

    def ask(
        self, query: str, *, first: date | None = None, last: date | None = None, **parameters: Parameter
    ) -> pl.DataFrame:
        """Run `sql/<query>.sql` over the days `first` to `last` (UTC, inclusive; None: no bound).

        The query names its files `$files` and its values `$name`. Sums of money come as Decimal(38, 12) US
        dollars.

        Raises:
            duckdb.Error: the query is wrong, or a file can't be read.
        """
        files = [str(file_path(self.lake, file)) for file in prune(self._live()[1], first, last)]
        with self._connection.cursor() as cursor:
            cursor.execute("set variable some_lack_columns = $some", {"some": any(map(lacks_columns, files))})
            relation = cursor.sql(load_query(query), params={"files": [template(SPANS), *files], **parameters})
            frame: pl.DataFrame = relation.pl()
            return frame

    def _live(self) -> tuple[int, list[DataFile]]:
        with self._lock:
            self._table = self._now()
            if self._table is None:
                return -1, []
            version = self._table.version()
            if version != self._files[0]:
                self._files = (version, live_files(self._table))
            return self._files

    def _now(self) -> DeltaTable | None:
        """Return the table as it is now; a lake that was deleted and made again is another table."""
        log = table_path(self.lake) / "_delta_log"
        if self._table is None or not (log / f"{self._table.version():020d}.json").exists():
            return open_for_reading(self.lake)
        try:
            self._table.update_incremental()
        except DeltaError:
            return open_for_reading(self.lake)
        return self._table


def connect(lake: Path) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with the views of `VIEWS` over the files that are live now."""
    return connect_files(files_now(lake))


def connect_files(files: LakeFiles, *, locked: bool = False) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with the views over `files`.

    With `locked`, SQL reaches no file but these, can't open the network, and can't undo it. Writing to them is
    another matter: see `sandbox.read_only`.
    """
    connection = open_connection()
    connection.execute("set variable live_files = $files", {"files": files.spans})
    for table, paths in files.beside.items():
        connection.execute(f"set variable {table}_files = $files", {"files": paths})
    connection.execute("set variable some_lack_columns = true")
    connection.execute(load_query("views/all"))
    if locked:
        connection.execute(f"set allowed_paths = [{', '.join(map(_quote, files.paths()))}]")
        connection.execute("set temp_directory = ''")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
    return connection


def open_connection() -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with our table macros, in UTC, blind to Python's variables."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set python_enable_replacements = false")
    connection.execute("set parquet_metadata_cache = true")
    for name in _MACROS:
        connection.execute(load_query(f"views/{name}"))
    return connection


@cache
def load_query(name: str) -> str:
    """Return the text of `sql/<name>.sql`."""
    return resources.files("spanledger_analytics").joinpath("sql", f"{name}.sql").read_text("utf-8")


@lru_cache(maxsize=100_000)
def lacks_columns(path: str) -> bool:
    """Say whether a data file is from before some of today's columns; files never change, so it is read once."""
    return not set(SCHEMA.names).issubset(pq.read_schema(path).names)


def prune(files: Iterable[DataFile], first: date | None, last: date | None) -> list[DataFile]:
    """Return the files of the UTC days `first` to `last`, inclusive; None is no bound."""
    return [file for file in files if (first is None or file.dt >= first) and (last is None or file.dt <= last)]


def _quote(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"

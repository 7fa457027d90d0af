"""DuckDB over the lake: one factory for the product's own queries and one for ad-hoc SQL.

Both work on lists of live files (`snapshot`): the product's queries on those of the days that they ask about, the
views of ad-hoc SQL on all. The macro `spans_in` is made in two ways: where some files hold rows that are superseded
or settled it looks that up, and where none does it has nothing to do but read.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from pathlib import PurePath
from typing import Final

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from spanledger import contract
from spanledger.contract import Contract
from spanledger.lake_path import LakePath, StorePath, lake_path
from spanledger_collector.catalog import SIDE_TABLES
from spanledger_collector.rollups import DAILY_CUBE, HOURLY_MODELS, ROLLUPS
from spanledger_collector.row import SCHEMA
from spanledger_collector.storage import parquet
from spanledger_collector.tables import SETTLEMENTS, SUPERSEDED, LakeTable

from .agreements import Session, add_agreements
from .errors import ScopeError, StoppedError
from .priced_tables import add_prices
from .scope import EVERYTHING, TEAM, Scope
from .snapshot import LakeFiles, LiveFiles, Snapshots, files_now, template
from .views import CHARGES, PRICES, comments

Parameter = str | int | float | bool | date | timedelta | Sequence[object] | Mapping[str, object] | None
_MAY_NAME_CHARGES: Final = re.compile(r"charges|duckdb_|information_schema|show|pragma|sqlite_|pg_", re.IGNORECASE)
"""A question for the view, or for the names of views."""
_MACROS: Final = (
    "rows",
    "superseded",
    "settlements",
    "llm_calls",
    "guard_events",
    "outcomes",
    "readings",
    "revenue",
    "rollups",
    "chosen_cells",
    "asked_calls",
    "asked_cells",
    "amounts",
)
_NOTED: Final[ContextVar[list[str] | None]] = ContextVar("noted", default=None)
_ALL: Final = "all_rows"
"""Schema of the macros over all rows, behind those of a scope."""
_ADDS_UP: Final = frozenset({"totals", "filter_values"})
"""Questions without requests: cells of several teams have their answer, too."""


class Ledger:
    """The lake as the product's own queries see it, no more of it than a scope; safe to share between threads.

    A query that takes longer than `limit_s` (None: none does) is stopped by a StoppedError. A scope is told by teams,
    or it is everything. Its macros stand before those of all rows (`views/scoped`), so every
    query sees what is inside and nothing else, however it asks.

    Raises:
        ScopeError: the scope is told by something else.
    """

    def __init__(self, lake: LakePath, scope: Scope, *, limit_s: float | None = None) -> None:
        if scope.columns not in ((), (TEAM,)):
            raise ScopeError(f"a ledger's scope is told by {TEAM} alone, not by {', '.join(scope.columns)}")
        self.lake = lake
        self.scope = scope
        self._limit_s = limit_s
        self._snapshots = Snapshots(lake, (SUPERSEDED, SETTLEMENTS))
        self._beside = {table.name: LiveFiles(lake, table) for table in SIDE_TABLES}
        self._connections = {touched: self.connect(touched=touched) for touched in (False, True)}

    def version(self) -> int:
        """Return the version of the table now, -1 where nothing was collected; part of every cache key."""
        return self._snapshots.now().version

    def stamp(self, first: date | None = None, last: date | None = None) -> int:
        """Return a number that changes when the live files of these days (inclusive) do; for cache keys.

        Days that are over keep theirs while today's grows, so that their answers stay cached.
        """
        return self._snapshots.now().stamp(first, last)

    def counted(self, first: date, last: date) -> dict[date, str]:
        """Return the days (UTC, inclusive) that rollups have counted as they are, each with a name for that count."""
        found = self._snapshots.now().counted(first, last)
        return {dt: PurePath(cells[DAILY_CUBE.name].path).stem for dt, cells in found.items()}

    def files_of(self, table: LakeTable, first: date | None = None) -> list[str]:
        """Return the live files of a table beside `spans`, of the days from `first` on (None: all), for a parameter."""
        return self._beside[table.name].now(first)

    def ask(
        self, query: str, *, first: date | None = None, last: date | None = None, **parameters: Parameter
    ) -> pl.DataFrame:
        """Run `sql/<query>.sql` over the days `first` to `last` (UTC, inclusive; None: no bound).

        The query names its files `$files` and its values `$name`. Sums of money come as Decimal(38, 12) US
        dollars.

        Raises:
            duckdb.Error: the query is wrong, or a file can't be read.
        """
        return self._ask(query, self.files(first, last), parameters)

    def ask_between(self, query: str, begin: datetime, end: datetime, /, **parameters: Parameter) -> pl.DataFrame:
        """Do what `ask` does over the files that may hold a span that began between two moments (UTC, inclusive)."""
        return self._ask(query, self._snapshots.now().files_between(begin, end), parameters)

    def reach(self) -> tuple[datetime, datetime]:
        """Return when the earliest and the latest span began (UTC), by the log; now, where nothing was collected.

        In a scope it is asked of the calls inside, those of days that are counted to a quarter of an hour.
        """
        spans = self._snapshots.now().spans
        now = datetime.now(UTC)
        if self.scope.is_everything or not spans:
            return min((file.start_min for file in spans), default=now), max(
                (file.start_max for file in spans), default=now
            )
        days = [file.dt for file in spans]
        found = self.ask_rollup("reach", HOURLY_MODELS, min(days), max(days))
        return found["first"].min() or now, found["last"].max() or now  # type: ignore[return-value]

    def ask_rollup(
        self, query: str, rollup: LakeTable | None, first: date, last: date, **parameters: Parameter
    ) -> pl.DataFrame:
        """Do what `ask` does, and `sql/counted/<query>.sql` for the days whose cells in a rollup hold (`$cells`).

        Each day is answered by one of them, so they have to tell days apart, or be asked about one; rows that two of
        them answer need to be put in order. Where no rollup fits the question (None), all days are read; so they are
        where what it has counted can't be told by the scope's teams.
        """
        snapshot = self._snapshots.now()
        counted = {} if rollup is None or not self._is_told(query, rollup) else snapshot.counted(first, last)
        files = snapshot.files_beside(counted, first, last)
        frames = []
        if counted and rollup is not None:
            with self._cursor(touched=False) as cursor:
                cells = {"cells": files.cells[rollup.name]}
                frames.append(_frame(cursor, f"counted/{query}", cells | parameters))
        if not counted or not files.is_empty:
            frames.append(self._ask(query, files, parameters))
        return pl.concat(frames)

    def files(self, first: date | None = None, last: date | None = None) -> LakeFiles:
        """Return what is live now of these days (UTC, inclusive; None: no bound)."""
        return self._snapshots.now().files(first, last)

    def connect(self, *, touched: bool) -> duckdb.DuckDBPyConnection:
        """Open a connection with the macros of the scope; see `open_connection`."""
        return open_connection(self.lake, touched=touched, scope=self.scope)

    def _ask(self, query: str, files: LakeFiles, parameters: Mapping[str, Parameter]) -> pl.DataFrame:
        """Run `sql/<query>.sql` over files."""
        with self._cursor(touched=len(files.touched) > 1) as cursor:
            name_files(cursor, files)
            if not self.scope.is_everything:
                cursor.execute("set variable live_files = $files", {"files": files.spans})
            return _frame(cursor, query, {"files": files.spans, **parameters})

    @contextmanager
    def _cursor(self, *, touched: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._connections[touched].cursor() as cursor, _within(self._limit_s, cursor):
            _enter(cursor, self.scope)
            yield cursor

    def _is_told(self, query: str, rollup: LakeTable) -> bool:
        """Say whether the cells of a rollup have the answer for the scope's teams: requests don't add up over them."""
        if self.scope.is_everything:
            return True
        return TEAM in rollup.schema.names and (len(self.scope.values(TEAM)) == 1 or query in _ADDS_UP)


@contextmanager
def _within(limit_s: float | None, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Stop what a cursor is asked inside after so many seconds (None: never)."""
    if limit_s is None:
        yield
        return
    timer = threading.Timer(limit_s, cursor.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException:
        raise StoppedError(
            f"this took longer than {limit_s:g} seconds; ask about fewer days, or on the command line, which waits"
        ) from None
    finally:
        timer.cancel()


def _enter(connection: duckdb.DuckDBPyConnection, scope: Scope) -> None:
    """Have a new connection or cursor find the macros of a scope, and what is inside."""
    if not scope.is_everything:
        connection.execute(f"set search_path = 'main,{_ALL}'")
        connection.execute("set variable teams = $teams::varchar[]", {"teams": scope.values(TEAM)})


def name_files(connection: duckdb.DuckDBPyConnection, files: LakeFiles) -> None:
    """Set the variables that macros over these files need."""
    some = any(map(lacks_columns, (*files.spans, *files.touched)))
    connection.execute("set variable some_lack_columns = $some", {"some": some})
    name_said(connection, files)


def relation(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Parameter]
) -> duckdb.DuckDBPyRelation:
    """Return what `sql/<query>.sql` answers, told those of the parameters that it names."""
    text = load_query(query)
    named = {name: value for name, value in parameters.items() if re.search(rf"\${name}\b", text)}
    return connection.sql(text, params=named)


@contextmanager
def noting() -> Iterator[list[str]]:
    """Yield a list of the names of the queries that a `Ledger` is asked inside, in their order, each once."""
    queries: list[str] = []
    token = _NOTED.set(queries)
    try:
        yield queries
    finally:
        _NOTED.reset(token)


def note(*queries: str) -> None:
    """Add queries to the list of who is `noting`."""
    noted = _NOTED.get()
    if noted is not None:
        noted += [query for query in queries if query not in noted]


def _frame(cursor: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Parameter]) -> pl.DataFrame:
    note(query)
    frame: pl.DataFrame = relation(cursor, query, parameters).pl()
    return frame


def connect(lake: LakePath, *, as_of: datetime | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with the views of `views.VIEWS` over the files that are live now.

    With `as_of` (with a time zone), spans and what is said about them are what was known at that moment.
    """
    return connect_files(files_now(lake, unfolded=as_of is not None), as_of=as_of)


def connect_files(
    files: LakeFiles,
    *,
    locked: bool = False,
    as_of: datetime | None = None,
    described: bool = False,
    query: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with the views over `files`, and over the contract in force.

    With `locked`, SQL reaches no file but these, can't open the network, and can't undo it. Writing to them is
    another matter: see `sandbox.read_only`. With `described`, the catalogue has a comment on every column, which takes
    time; views have theirs in any case. With `query`, which is what is going to be asked, the view `charges` is only
    there if that may name it: it takes longer to make than all others.
    """
    connection = duckdb.connect()
    _reach(connection, far=files.in_store)
    add_prices(connection, lambda: _classes_charged(files, as_of))
    priced = {PRICES.name} if query is not None and not _MAY_NAME_CHARGES.search(query) else {PRICES.name, CHARGES.name}
    agreed = contract.in_force()
    prepare(connection, files, agreed, locked=locked, as_of=as_of, described=described, priced=priced)
    return connection


def _classes_charged(files: LakeFiles, as_of: datetime | None) -> pa.Table:
    """Return the price classes of the calls in files, by a connection of its own: the asking one is busy."""
    with connect_files(files, as_of=as_of) as connection:
        return connection.sql(load_query("charge_classes")).to_arrow_table()


def prepare(
    connection: Session,
    files: LakeFiles,
    agreed: Contract,
    *,
    locked: bool = False,
    as_of: datetime | None = None,
    described: bool = False,
    priced: Collection[str] = (),
) -> None:
    """Make the views over `files` and a contract in an empty DuckDB; see `connect_files`.

    `priced` names those over `add_prices` that are made, too; what they need has to be in the process.
    """
    connection.execute("set errors_as_json = true")
    _add_macros(connection, touched=len(files.touched) > 1)
    connection.execute("set variable live_files = $files", {"files": files.spans})
    connection.execute("set variable as_of = $as_of::timestamptz", {"as_of": as_of})
    name_said(connection, files)
    for table, paths in files.beside.items():
        connection.execute(f"set variable {table}_files = $files", {"files": paths})
    _name_cells(connection, files if as_of is None else replace(files, cells={}, raw_days=None))
    connection.execute("set variable some_lack_columns = true")
    add_agreements(connection, agreed)
    connection.execute(load_query("views/currency"))
    connection.execute(load_query("views/fees"))
    for name in ("traces", "sessions", "all", *sorted(priced)):
        connection.execute(load_query(f"views/{name}"))
    connection.execute(comments(columns=described, without={PRICES.name, CHARGES.name}.difference(priced)))
    if locked:
        connection.execute(f"set allowed_paths = [{', '.join(map(_quote, files.paths()))}]")
        connection.execute("set temp_directory = ''")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")


def open_connection(
    lake: LakePath | None = None, *, touched: bool = False, scope: Scope = EVERYTHING
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB for the files of a lake, with our table macros, in UTC, blind to Python's variables.

    With `touched`, `spans_in` also reads the files of the variable `touched_files`, and shows their rows as what is
    said about them makes them. For a scope see `Ledger.connect`.
    """
    connection = duckdb.connect()
    _reach(connection, far=isinstance(lake, StorePath))
    if scope.is_everything:
        _add_macros(connection, touched=touched)
        return connection
    connection.execute(f"create schema {_ALL}")
    connection.execute(f"set search_path = '{_ALL}'")
    _add_macros(connection, touched=touched)
    _enter(connection, scope)
    connection.execute(load_query("views/scoped"))
    return connection


def _reach(connection: duckdb.DuckDBPyConnection, *, far: bool) -> None:
    """Let a connection read files of a store, where it has to."""
    if far:
        from .far_files import reach  # the extra `s3`

        reach(connection)


def _add_macros(connection: Session, *, touched: bool) -> None:
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set python_enable_replacements = false")
    connection.execute("set parquet_metadata_cache = true")
    for name in ("files", "spans_touched" if touched else "spans", *_MACROS):
        connection.execute(load_query(f"views/{name}"))


def name_said(connection: Session, files: LakeFiles) -> None:
    """Set the variables for what is said about rows elsewhere."""
    connection.execute("set variable settled_until = $until::timestamptz", {"until": files.settled_until})
    connection.execute("set variable touched_files = $files", {"files": files.touched})
    connection.execute("set variable superseded_files = $files", {"files": files.beside[SUPERSEDED.name]})
    connection.execute("set variable settlements_files = $files", {"files": files.beside[SETTLEMENTS.name]})
    connection.execute("set variable deciding_files = $files", {"files": files.deciding()})
    connection.execute("set variable pending_commits = $pending::varchar[]", {"pending": files.pending})


def _name_cells(connection: Session, files: LakeFiles) -> None:
    """Set the variables for the days that rollups have counted, and for the others."""
    connection.execute("set variable raw_days = $days::date[]", {"days": files.raw_days})
    for table in ROLLUPS:
        cells = files.cells.get(table.name, [template(table)])
        connection.execute(f"set variable {table.name}_cells = $cells", {"cells": cells})


@cache
def load_query(name: str) -> str:
    """Return the text of `sql/<name>.sql`."""
    return resources.files("spanledger_analytics").joinpath("sql", f"{name}.sql").read_text("utf-8")


@lru_cache(maxsize=100_000)
def lacks_columns(path: str) -> bool:
    """Say whether a data file is from before some of today's columns; files never change, so it is read once."""
    return not set(SCHEMA.names).issubset(pq.read_schema(parquet(lake_path(path))).names)


def _quote(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"

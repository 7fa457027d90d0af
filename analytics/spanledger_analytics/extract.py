"""The rows inside of a scope, copied as a small lake of its own, for ad-hoc SQL.

Rows are copied and not filtered where they are asked for, because SQL sees more of a file than its view shows: other
columns' statistics, file metadata, the text of the view. The views are then made over the copy as over any lake, so one
that is added later shows nothing else either; of tables that say nothing about a span, none is copied.

Copying is work of the process that shows the lake to everybody, so it has limits of its own, and ends when nobody waits
for it any more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Final

import duckdb

from spanledger_collector.catalog import SIDE_TABLES
from spanledger_collector.rollups import ROLLUPS
from spanledger_collector.row import PARTITION
from spanledger_collector.tables import CORRECTIONS, OUTCOMES, SETTLEMENTS, SPANS, SUPERSEDED, LakeTable

from .box_process import Limits
from .connection import connect_files
from .errors import StoppedError
from .scope import Scope
from .snapshot import LakeFiles, template

_SPAN: Final = (PARTITION, "trace_id", "span_id")
_AS_BOOKED: Final = "as_booked"
_ROW: Final = "rows"
_KEYS: Final = "keys"
COPY_TIMES: Final = 4
"""Copying may take so many times as long as a question."""
_FIRST: Final = "while the rows of the scope were copied, which is done first"
_THREADS: Final = 2
_LOOK_S: Final = 0.1


@contextlib.contextmanager
def extract(
    files: LakeFiles,
    scope: Scope,
    user: tuple[int, int] | None = None,
    as_of: datetime | None = None,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    is_wanted: Callable[[], bool] = lambda: True,
) -> Iterator[LakeFiles]:
    """Copy what is inside of a scope into a private folder, removed at the end; for root, one of `user`'s.

    A span is inside by what it is settled as; of its earlier versions those are copied that say nothing else. An
    outcome is inside by what it says itself, by its span, or where the whole trace is inside, or the whole session of
    one that names no trace.

    Raises:
        StoppedError: it took too long, too much memory, or all of the disk; or nobody wants it any more.
    """
    with _private_folder() as folder:
        with _bounded(limits, is_wanted) as watch:
            extracted = _Extraction(files, scope, folder, as_of, limits, watch).files()
        if user is not None:
            _give(folder, *user)
        yield extracted


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """Give a folder for temporary files, and delete those that processes of this machine died over."""
    ours = f"spanledger-scope-{socket.gethostname()}-"
    for left in Path(tempfile.gettempdir()).glob(f"{ours}*"):
        try:
            os.kill(int(left.name.removeprefix(ours).split("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except (PermissionError, OverflowError, ValueError):
            pass  # it lives, and is somebody else's; or the folder isn't ours
    with tempfile.TemporaryDirectory(prefix=f"{ours}{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextlib.contextmanager
def _bounded(limits: Limits, is_wanted: Callable[[], bool]) -> Iterator[Callable[[duckdb.DuckDBPyConnection], None]]:
    """Yield what a connection is given to that has to stop in time; say in a sentence why it did."""
    done = threading.Event()
    seconds = COPY_TIMES * limits.seconds
    deadline = time.monotonic() + seconds

    def watch(connection: duckdb.DuckDBPyConnection) -> None:
        while not done.wait(_LOOK_S):
            if time.monotonic() > deadline or not is_wanted():
                connection.interrupt()  # time and again: it ends one query, and there are several

    try:
        yield lambda connection: threading.Thread(target=watch, args=(connection,), daemon=True).start()
    except duckdb.InterruptException:
        if not is_wanted():
            raise StoppedError("stopped before it was asked") from None
        raise StoppedError(f"stopped after {seconds:g} s, {_FIRST}; ask with a smaller scope") from None
    except duckdb.OutOfMemoryException:
        raise StoppedError(
            f"stopped, {_FIRST}; these take more memory than {limits.memory_mb:,} MB; ask with a smaller scope"
        ) from None
    except (duckdb.IOException, OSError) as error:
        raise StoppedError(
            f"stopped, {_FIRST}, and that failed; see whether the disk of {tempfile.gettempdir()} is full"
        ) from error
    finally:
        done.set()


class _Extraction:
    """A lake's rows on their way into a folder."""

    def __init__(
        self,
        files: LakeFiles,
        scope: Scope,
        folder: Path,
        as_of: datetime | None,
        limits: Limits,
        watch: Callable[[duckdb.DuckDBPyConnection], None],
    ) -> None:
        self._files = files
        self._scope = scope
        self._folder = folder
        self._connection = connect_files(files, as_of=as_of)
        self._connection.execute(f"set threads = {_THREADS}")
        self._connection.execute(f"set memory_limit = '{limits.memory_mb}MiB'")
        self._connection.execute("set temp_directory = $folder", {"folder": str(folder / "spilled")})
        watch(self._connection)
        spans = self._connection.view("spans")
        inside = spans.filter(self._says(SPANS, silent=False)).select(*map(duckdb.ColumnExpression, _SPAN))
        inside.distinct().create(_KEYS)
        self._spans = self._connection.table(_KEYS)

    def files(self) -> LakeFiles:
        """Write everything and return what it consists of."""
        beside = {table.name: self._write(table.name, table, self._beside(table)) for table in SIDE_TABLES}
        return LakeFiles(
            spans=self._write("spans", SPANS, self._versions("live_files")),
            touched=self._write("touched", SPANS, self._versions("touched_files")),
            beside=beside,
            pending=[],
            settled_until=self._files.settled_until,
            cells={table.name: [template(table)] for table in ROLLUPS},  # counted of everybody's rows, so none is used
            raw_days=None,
        )

    def _versions(self, variable: str) -> duckdb.DuckDBPyRelation:
        rows = self._connection.sql(f"from files_in(getvariable('{variable}'))")
        return self._without_past(self._of_spans(rows.filter(self._says(SPANS, silent=True))))

    def _without_past(self, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
        """Leave out what rows were booked as where that is told by the scope: it may have been somebody else's."""
        booked = duckdb.ColumnExpression(_AS_BOOKED)
        keys = duckdb.FunctionExpression("map_keys", booked)
        told = duckdb.FunctionExpression("list_has_any", keys, duckdb.ConstantExpression(list(self._scope.columns)))
        kept = duckdb.CaseExpression(told, duckdb.ConstantExpression(None)).otherwise(booked)
        return rows.select(duckdb.StarExpression(exclude=[_AS_BOOKED]), kept.alias(_AS_BOOKED))

    def _beside(self, table: LakeTable) -> duckdb.DuckDBPyRelation | None:
        if table is OUTCOMES:
            return self._outcomes()
        if table not in (CORRECTIONS, SETTLEMENTS, SUPERSEDED):
            return None
        rows = self._connection.view(table.name)
        return self._of_spans(rows.filter(self._says(table, silent=True)))

    def _outcomes(self) -> duckdb.DuckDBPyRelation:
        rows = self._connection.sql("from rows_in(getvariable('outcomes_files'))")
        quiet = rows.filter(self._says(OUTCOMES, silent=True))
        chosen = self._joined(quiet, self._spans, ("trace_id", "span_id"))
        chosen = chosen.union(self._joined(quiet, self._whole("trace_id"), ("trace_id",)))
        traceless = quiet.filter(duckdb.ColumnExpression("trace_id").isnull())
        chosen = chosen.union(self._joined(traceless, self._whole("session_id"), ("session_id",)))
        if set(self._scope.columns).issubset(OUTCOMES.schema.names):
            chosen = chosen.union(rows.filter(self._says(OUTCOMES, silent=False)))
        return chosen  # the view shows each outcome once

    def _whole(self, column: str) -> duckdb.DuckDBPyRelation:
        """Return the traces or sessions with a span inside, and none that says it is outside."""
        spans, key = self._connection.view("spans"), duckdb.ColumnExpression(column)
        some, others = (
            rows.select(key).filter(key.isnotnull()).distinct()
            for rows in (spans.filter(self._says(SPANS, silent=False)), spans.filter(~self._says(SPANS, silent=True)))
        )
        return self._joined(some, others, (column,), "anti")

    def _of_spans(self, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
        return self._joined(rows, self._spans, _SPAN)

    def _joined(
        self, rows: duckdb.DuckDBPyRelation, keys: duckdb.DuckDBPyRelation, columns: tuple[str, ...], how: str = "semi"
    ) -> duckdb.DuckDBPyRelation:
        same = " and ".join(f"{_ROW}.{column} = {_KEYS}.{column}" for column in columns)
        return rows.set_alias(_ROW).join(keys.set_alias(_KEYS), same, how=how)

    def _says(self, table: LakeTable, *, silent: bool) -> duckdb.Expression:
        """Return the condition that a row says it is inside; with `silent`, or doesn't say."""
        conditions = [
            _one_of(column, values, silent=silent)
            for column, values in self._scope.inside
            if column in table.schema.names
        ]
        return reduce(lambda left, right: left & right, conditions, duckdb.ConstantExpression(True))

    def _write(self, name: str, table: LakeTable, rows: duckdb.DuckDBPyRelation | None) -> list[str]:
        folder = self._folder / name
        if rows is not None:
            rows.write_parquet(str(folder), partition_by=[PARTITION], compression="zstd")
        written = sorted(folder.rglob("*.parquet"))
        for path in written:
            path.chmod(0o444)
        return [template(table), *map(str, written)]


def _one_of(column: str, values: tuple[str, ...], *, silent: bool) -> duckdb.Expression:
    named = duckdb.ColumnExpression(column)
    never = duckdb.ConstantExpression(False)
    told = duckdb.CoalesceOperator(named.isin(*map(duckdb.ConstantExpression, values)), never) if values else never
    return told | named.isnull() if silent else told


def _give(folder: Path, user: int, group: int) -> None:
    """Make everything another user's, where there can be such a user."""
    with contextlib.suppress(OSError):
        for path in (*folder.rglob("*"), folder):
            os.chown(path, user, group)

"""`spanledger sql`: one question to the lake.

The answer is written by us, not by DuckDB: the thread that runs the query may read the lake and write nothing. With
--safe it is no thread of ours but a process that can do no more than answer (`box`).
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import click
import duckdb
import pyarrow as pa

from spanledger.contract_file import use_named
from spanledger.lake_path import LakePath
from spanledger.settings import load
from spanledger_analytics import box
from spanledger_analytics.box_process import Limits
from spanledger_analytics.connection import connect_files
from spanledger_analytics.errors import QueryError, ScopeError
from spanledger_analytics.sandbox import read_only
from spanledger_analytics.scope import Scope, parse_scope
from spanledger_analytics.snapshot import LakeFiles, files_now
from spanledger_analytics.sql_errors import explained
from spanledger_analytics.statements import run
from spanledger_analytics.views import CATALOGUE, NAMES
from spanledger_collector.row import SCHEMA

from . import lakes
from .answer import FORMATS, MOST_TABLE_ROWS, write
from .errors import FileError
from .shell import open_shell

_HINT: Final = f'\nThe views are {", ".join(NAMES)}; "describe llm_calls" names the columns of one.'
_DEFAULTS: Final = Limits()


_NOT_FAR: Final = (
    "--{} reads files of this machine only; copy the lake to a folder and name that with --lake, or ask with --scope,"
    " which reads a copy of the rows inside"
)


@click.command()
@click.argument("query", required=False)
@click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="How to write the answer; default: by the ending of -o, else table.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the answer to this file.")
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ"]),
    help="Answer as at this moment (UTC): with the spans, prices and corrections that were known.",
)
@click.option(
    "--safe", is_flag=True, help="Run it as SQL of somebody who may not do harm: confined, and within limits."
)
@click.option(
    "--scope",
    "scoped",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Show only rows of a team_id, customer_id, user_id, feature, ...; repeatable; implies --safe.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0.1),
    default=_DEFAULTS.seconds,
    show_default=True,
    help="With --safe: stop it then.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(min=1),
    default=_DEFAULTS.rows,
    show_default=True,
    help="With --safe: rows of the answer, of at most 64 MB.",
)
@click.option("--shell", is_flag=True, help="Open harlequin, or else the duckdb command, on the same views.")
def command(
    query: str | None,
    lake: LakePath | None,
    form: str | None,
    output: Path | None,
    as_of: datetime | None,
    scoped: tuple[str, ...],
    max_seconds: float,
    max_rows: int,
    *,
    safe: bool,
    shell: bool,
) -> None:
    """Ask the lake a question in SQL (DuckDB's). QUERY may be - to read it from standard input.

    \b
    Views: llm_calls (every charged call), spans (every span), traces
    (runs), sessions, outcomes and more (docs/schema.md). What there is:
      spanledger sql "select view_name, comment from duckdb_views()
                      where comment is not null"
      spanledger sql "select column_name, data_type, comment
                      from duckdb_columns() where table_name = 'traces'"

    \b
    Examples:
      spanledger sql "select feature, sum(cost_usd) usd
                      from llm_calls group by feature order by usd desc"
      spanledger sql "select * from llm_calls limit 1"
      spanledger sql "select * from llm_calls where dt = today()" -o a.parquet
      spanledger sql - --format csv < question.sql

    A table shows the first 500 rows, and becomes a line a column where it is wider than the terminal; csv, json and
    parquet give every row. Money is exact: decimals are text in JSON. Times are UTC.

    in_currency(cost_usd, dt, 'EUR') converts by the rates of the contract (docs/contracts.md).

    Temporary tables may be made; no file is read but the lake's, and none is written but the one of -o.

    --shell opens harlequin (pip install 'spanledger[shell]') or the duckdb command with the views of that moment.

    \b
    SQL of others, which may do no harm, and sees only what it is about:
      spanledger sql --safe - < question.sql
      spanledger sql --scope team_id=search "select sum(cost_usd) from llm_calls"

    Exit codes: 0 answered (or that of the shell), 1 the SQL or a file is wrong, or it was stopped, 2 usage.
    """
    form = form or _format_of(output)
    text = sys.stdin.read() if query == "-" else query or ""
    if shell and (text or safe or scoped):
        raise click.UsageError("--shell asks nothing itself, and confines nobody; leave QUERY, --safe and --scope out")
    if not shell and not text.strip():
        raise click.UsageError('the query is empty; try: spanledger sql "select * from llm_calls limit 1"')
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("parquet is not for a terminal; name a file with -o")
    scope = _scope_of(scoped)
    settings = load(lake=lake)
    path = settings.lake
    use_named(settings)
    lakes.check_readable(path)
    moment = as_of.replace(tzinfo=UTC) if as_of else None
    files = files_now(path, unfolded=moment is not None)
    if files.in_store and (shell or (safe and scope.is_everything)):
        raise click.UsageError(_NOT_FAR.format("shell" if shell else "safe"))
    if shell:
        sys.exit(open_shell(files, moment))
    most_rows = MOST_TABLE_ROWS + 1 if form == "table" else None
    if safe or not scope.is_everything:
        limits = Limits(seconds=max_seconds, rows=min(max_rows, most_rows or max_rows))
        answer = box.ask(files, text, scope=scope, limits=limits, as_of=moment)
    else:
        answer = box.Answer(_answer(files, text, most_rows, moment), None)
    if files.is_empty:
        lakes.say_empty(path)
    _write(answer, form, output)


def _write(answer: box.Answer, form: str, output: Path | None) -> None:
    """Write an answer, and say on stderr what isn't the whole of it."""
    if answer.table is None:
        return
    width = shutil.get_terminal_size().columns if output is None and sys.stdout.isatty() else None
    with _destination(output) as target:
        words = write(answer.table, form, target, width)
    more_than_shown = form == "table" and answer.table.num_rows > MOST_TABLE_ROWS
    for said in (words, None if more_than_shown else answer.note):
        if said:
            click.echo(f"spanledger: {said}", err=True)


def _scope_of(scoped: tuple[str, ...]) -> Scope:
    try:
        return parse_scope(scoped)
    except ScopeError as error:
        raise click.UsageError(str(error)) from None


def ask(
    files: LakeFiles,
    query: str,
    most_rows: int | None = None,
    opened: Callable[[duckdb.DuckDBPyConnection], None] = lambda _: None,
    as_of: datetime | None = None,
) -> pa.Table | None:
    """Run SQL on the views over `files`; None for a statement that has no answer.

    `opened` is given the connection before the query runs, so that another thread can interrupt it.
    """
    described = CATALOGUE in query.lower()
    connection = connect_files(files, locked=True, as_of=as_of, described=described, query=query)
    opened(connection)
    relation = run(connection, query)
    if relation is None:
        return None
    return (relation if most_rows is None else relation.limit(most_rows)).to_arrow_table()


def _answer(files: LakeFiles, query: str, most_rows: int | None, as_of: datetime | None) -> pa.Table | None:
    running: list[duckdb.DuckDBPyConnection] = []

    def interrupt() -> None:
        for connection in running:
            connection.interrupt()

    try:
        return read_only(lambda: ask(files, query, most_rows, running.append, as_of), interrupt, tcp=files.in_store)
    except duckdb.Error as error:
        raise _refusal(str(error), query) from None


def _refusal(error: str, query: str) -> QueryError:
    """Return DuckDB's error with the place marked, and with our views where a table isn't known."""
    said = explained(error, query, NAMES, SCHEMA.names)
    return QueryError(said + _HINT if said.startswith("Catalog Error: Table with name") else said)


def _format_of(output: Path | None) -> str:
    ending = output.suffix.removeprefix(".").lower() if output else ""
    return ending if ending in FORMATS else "table"


@contextlib.contextmanager
def _destination(output: Path | None) -> Iterator[IO[bytes]]:
    """Give the file to write to; a named one appears when it is whole."""
    if output is None:
        yield sys.stdout.buffer
        return
    draft = output.with_name(output.name + ".part")
    try:
        with draft.open("wb") as handle:
            yield handle
        draft.replace(output)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise FileError(output, f"can't be written: {error.strerror}; name another file with -o") from None

"""`spanledger sql`: one question to the lake.

The answer is written by us, not by DuckDB: the thread that runs the query may read the lake and write nothing.
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
from spanledger.settings import load
from spanledger_analytics.connection import connect_files
from spanledger_analytics.sandbox import read_only
from spanledger_analytics.snapshot import LakeFiles, files_now
from spanledger_analytics.views import NAMES

from . import lakes
from .answer import FORMATS, MOST_TABLE_ROWS, write
from .errors import FileError, QueryError

_HINT: Final = f'\nThe views are {", ".join(NAMES)}; "describe llm_calls" names the columns of one.'

_CATALOGUE: Final = "duckdb_columns"
"""Where the comments on columns are seen."""


@click.command()
@click.argument("query")
@click.option("--lake", type=click.Path(path_type=Path), help=lakes.HELP)
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
def command(query: str, lake: Path | None, form: str | None, output: Path | None, as_of: datetime | None) -> None:
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

    Exit codes: 0 answered, 1 the SQL or a file is wrong, 2 usage.
    """
    form = form or _format_of(output)
    text = sys.stdin.read() if query == "-" else query
    if not text.strip():
        raise click.UsageError('the query is empty; try: spanledger sql "select * from llm_calls limit 1"')
    on_terminal = output is None and sys.stdout.isatty()
    if form == "parquet" and on_terminal:
        raise click.UsageError("parquet is not for a terminal; name a file with -o")
    settings = load(lake=lake)
    path = settings.lake
    use_named(settings)
    lakes.check_readable(path)
    moment = as_of.replace(tzinfo=UTC) if as_of else None
    files = files_now(path, unfolded=moment is not None)
    answer = _answer(files, text, MOST_TABLE_ROWS + 1 if form == "table" else None, moment)
    if files.is_empty:
        lakes.say_empty(path)
    if answer is not None:
        with _destination(output) as target:
            words = write(answer, form, target, shutil.get_terminal_size().columns if on_terminal else None)
        if words:
            click.echo(f"spanledger: {words}", err=True)


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
    connection = connect_files(files, locked=True, as_of=as_of, described=_CATALOGUE in query.lower())
    opened(connection)
    relation: duckdb.DuckDBPyRelation | None = connection.sql(query)
    if relation is None:
        return None
    return (relation if most_rows is None else relation.limit(most_rows)).to_arrow_table()


def _answer(files: LakeFiles, query: str, most_rows: int | None, as_of: datetime | None) -> pa.Table | None:
    running: list[duckdb.DuckDBPyConnection] = []

    def interrupt() -> None:
        for connection in running:
            connection.interrupt()

    try:
        return read_only(lambda: ask(files, query, most_rows, running.append, as_of), interrupt)
    except duckdb.CatalogException as error:
        raise QueryError(f"{error}{_HINT}") from None
    except duckdb.Error as error:
        raise QueryError(str(error)) from None


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

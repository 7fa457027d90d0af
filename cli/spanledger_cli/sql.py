"""`spanledger sql`: one question to the lake.

The answer is written by us, not by DuckDB: the thread that runs the query may read the lake and write nothing.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Final, cast

import click
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from spanledger.settings import load
from spanledger_analytics.connection import connect_files, view_files
from spanledger_analytics.sandbox import read_only

FORMATS: Final = ("table", "csv", "json", "parquet")
MOST_TABLE_ROWS: Final = 500
"""Rows shown as a table; the other formats give all."""


@click.command()
@click.argument("query")
@click.option("--lake", type=click.Path(path_type=Path), help="Folder of the lake; default: SPANLEDGER_LAKE.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the answer to this file.")
def command(query: str, lake: Path | None, form: str, output: Path | None) -> None:
    """Ask the lake a question in SQL (DuckDB's). QUERY may be - to read it from standard input.

    \b
    Views: spans (every span), llm_calls (every charged call).
      spanledger sql "select feature, sum(cost_usd) usd from llm_calls group by feature order by usd desc"
      spanledger sql "select * from llm_calls where dt = current_date" --format parquet -o today.parquet

    Temporary tables may be made; no file is read but the lake's, and none is written but the one of -o.
    """
    text = sys.stdin.read() if query == "-" else query
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("parquet is not for a terminal; name a file with -o")
    files = view_files(load(lake=lake).lake)
    try:
        answer = read_only(lambda: ask(files, text))
    except duckdb.Error as error:
        raise click.ClickException(str(error)) from None
    if answer is not None:
        with _destination(output) as target:
            write(answer, form, target)


def ask(files: list[str], query: str) -> pa.Table | None:
    """Run SQL on the views over `files`; None for a statement that has no answer."""
    relation: duckdb.DuckDBPyRelation | None = connect_files(files, locked=True).sql(query)
    return None if relation is None else relation.to_arrow_table()


def write(answer: pa.Table, form: str, target: IO[bytes]) -> None:
    """Write an answer in one of `FORMATS`."""
    if form == "parquet":
        pq.write_table(answer, target, compression="zstd")
        return
    text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
    if form == "csv":
        _write_csv(answer, text)
    elif form == "json":
        _write_json(answer, text)
    else:
        _write_table(answer, text)
    text.flush()
    text.detach()


def _write_csv(answer: pa.Table, target: IO[str]) -> None:
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(answer.column_names)
    for batch in answer.to_batches(10_000):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            writer.writerow([_cell(value) for value in row])


def _write_json(answer: pa.Table, target: IO[str]) -> None:
    separator = "[\n"
    for batch in answer.to_batches(10_000):
        for row in batch.to_pylist(maps_as_pydicts="lossy"):
            target.write(separator + json.dumps(_plain(row), ensure_ascii=False))
            separator = ",\n"
    target.write("[]\n" if separator == "[\n" else "\n]\n")


def _write_table(answer: pa.Table, target: IO[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for field in answer.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
        shown.add_column(Text(field.name), justify="right" if number else "left", overflow="fold")
    for row in answer.slice(0, MOST_TABLE_ROWS).to_pylist(maps_as_pydicts="lossy"):
        shown.add_row(*(Text(_cell(value)) for value in row.values()))
    width = None if sys.stdout.isatty() and target is sys.stdout else _natural_width(shown)
    Console(file=target, width=width, color_system=None, soft_wrap=False).print(shown)
    if answer.num_rows > MOST_TABLE_ROWS:
        click.echo(f"{MOST_TABLE_ROWS} of {answer.num_rows} rows shown; --format csv gives all", err=True)


def _natural_width(table: object) -> int:
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(width=100_000)
    return Measurement.get(console, console.options, cast("str", table)).maximum


def _cell(value: object) -> str:
    """Return a value as text for people and CSV: NULL is empty, exact decimals, times in UTC with Z."""
    if value is None:
        return ""
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: object) -> object:
    """Return a value as JSON has it: decimals as strings, times as RFC 3339 with Z."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat().replace("+00:00", "Z")
    if isinstance(value, date | timedelta):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    return value


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
        raise click.ClickException(f"can't write {output}: {error.strerror}") from None

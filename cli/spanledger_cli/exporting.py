"""`spanledger export`: the lake out again, as OTLP or Parquet."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import IO, Final, cast

import click
import duckdb

from spanledger.lake_path import LakePath
from spanledger.settings import load
from spanledger_analytics.errors import QueryError
from spanledger_analytics.export import FORMS, Choice, Form, days_of, export
from spanledger_analytics.sandbox import read_only
from spanledger_analytics.snapshot import files_now
from spanledger_analytics.sql_errors import explained
from spanledger_analytics.views import NAMES
from spanledger_collector.row import SCHEMA

from . import lakes
from .errors import FileError
from .progress import counting, say

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_STDOUT: Final = "-"
_DAY_FILE: Final = "spans.parquet"
_DAY: Final = click.DateTime(["%Y-%m-%d"])


@click.command("export")
@click.option("--format", "form", type=click.Choice(FORMS), required=True, help="What to write.")
@click.option(
    "-o",
    "--output",
    "named",
    type=click.Path(allow_dash=True),
    required=True,
    help="File to write (- for standard output); for parquet also a folder, a file a day.",
)
@click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
@click.option("--from", "first", type=_DAY, help="First day, UTC.")
@click.option("--to", "last", type=_DAY, help="Last day, UTC, inclusive.")
@click.option("--where", default="", help="Condition in SQL over the columns of the view spans.")
@click.option("--force", is_flag=True, help="Write over what is there.")
def command(
    form: Form,
    named: str,
    lake: LakePath | None,
    first: datetime | None,
    last: datetime | None,
    where: str,
    *,
    force: bool,
) -> None:
    """Write the spans of the lake as OTLP or Parquet.

    \b
      spanledger export --format otlp-json -o spans.jsonl
      spanledger export --format otlp-proto -o spans.proto.zst
      spanledger export --format parquet -o spans.parquet --from 2026-11-01
      spanledger export --format parquet -o by-day/ --where "team_id = 'shop'"

    OTLP is what `spanledger import` reads, and what the OpenTelemetry Collector's file exporter writes: JSON an object
    a line, or protobuf with four bytes of length before each body. Taken in by another lake, the same rows come out,
    priced by the book of then. Names that end in .gz or .zst are compressed.

    Parquet has the columns of the view spans (docs/schema.md); where -o names a folder (it ends with / or is one), each
    day has its own file in it, dt=2026-11-28/spans.parquet.

    The file appears when it is whole, and never over another without --force.

    Exit codes: 0 written, 1 the condition or the file is wrong, 2 usage.
    """
    output = Path(named)
    path = load(lake=lake).lake
    lakes.check_readable(path)
    choice = Choice(_day(first), _day(last), where)
    days = days_of(path, choice)
    if not days:
        lakes.say_empty(path)
    to_folder = output.is_dir() or named.endswith("/")
    if to_folder and form != "parquet":
        raise click.UsageError(f"-o {output} is a folder; {form} is one file")
    if str(output) == _STDOUT and sys.stdout.isatty() and form != "otlp-json":
        raise click.UsageError(f"{form} is not for a terminal; name a file with -o")
    with counting("spans", sum(days.values())) as advance:
        if to_folder:
            count = _write_days(path, choice, sorted(days), output, advance, force=force)
        else:
            with _destination(output, force=force) as target:
                count = _write(path, choice, form, target, advance)
    say(f"{count:,} spans written")


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _write(lake: LakePath, choice: Choice, form: Form, target: IO[bytes], advance: Callable[[int], None]) -> int:
    running: list[duckdb.DuckDBPyConnection] = []
    files = files_now(lake)

    def interrupt() -> None:
        for connection in running:
            connection.interrupt()

    try:
        task = partial(export, files, choice, form, target, advance, running.append)
        return read_only(task, interrupt, tcp=files.in_store)
    except duckdb.Error as error:
        raise QueryError(explained(str(error), choice.where, NAMES, SCHEMA.names)) from None


def _write_days(
    lake: LakePath, choice: Choice, days: list[date], output: Path, advance: Callable[[int], None], *, force: bool
) -> int:
    """Write a file a day into a folder that appears when it is whole."""
    if output.exists() and any(output.iterdir()):
        strange = [path for path in output.rglob("*") if path.is_file() and path.name != _DAY_FILE]
        if strange or not force:
            advice = (
                f"holds {strange[0].name}, which is not of an export" if strange else "is there; --force replaces it"
            )
            raise FileError(output, advice)
    draft = output.with_name(f"{output.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    count = 0
    try:
        draft.mkdir(parents=True)
        for day in days:
            file = draft / f"dt={day.isoformat()}" / _DAY_FILE
            file.parent.mkdir()
            with file.open("wb") as target:
                written = _write(lake, replace(choice, first=day, last=day), "parquet", target, advance)
            count += written
            if not written:
                shutil.rmtree(file.parent)
        if output.exists():
            shutil.rmtree(output)
        draft.rename(output)
    except OSError as error:
        raise FileError(output, f"can't be written: {error.strerror}; name another with -o") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return count


@contextlib.contextmanager
def _destination(output: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """Give the file to write to; a named one appears when it is whole."""
    if str(output) == _STDOUT:
        yield sys.stdout.buffer
        return
    if output.exists() and not force:
        raise FileError(output, "is there; --force writes over it, or name another with -o")
    draft = output.with_name(f"{output.name}.part")
    try:
        with draft.open("wb") as handle:
            with _packed(handle, output.suffix) as target:
                yield target
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(output)
    except OSError as error:
        raise FileError(output, f"can't be written: {error.strerror}; name another with -o") from None
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _packed(handle: IO[bytes], ending: str) -> Iterator[IO[bytes]]:
    if ending == ".gz":
        with gzip.GzipFile(fileobj=handle, mode="wb", filename="") as packed:
            yield cast("IO[bytes]", packed)
    elif ending == ".zst":
        with zstd.ZstdFile(handle, "w") as packed_by_zstd:
            yield cast("IO[bytes]", packed_by_zstd)
    else:
        yield handle

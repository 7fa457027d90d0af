"""`spanledger lake`: how a lake stands, and whether all in it is right."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spanledger.lake_path import LakePath
from spanledger.settings import load

from . import lakes
from .errors import MissingExtraError
from .progress import counting, say

if TYPE_CHECKING:
    from spanledger_collector.status import LakeStatus


@click.group("lake")
def command() -> None:
    """Look at a lake: its size and state, and whether all in it is right.

    \b
    Examples:
      spanledger lake status
      spanledger lake status --format json | jq .backlog
      spanledger lake verify
    """


@command.command("status")
@click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
@click.option("--home", type=click.Path(path_type=Path), help=lakes.HOME_HELP)
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", show_default=True)
def status(lake: LakePath | None, home: Path | None, form: str) -> None:
    """Show of each table files, rows, bytes and days, and of the lake what waits and what was done last.

    \b
      spanledger lake status
      spanledger lake status --format json | jq '.tables[].rows'

    `small_files` wait to be merged. The backlog is what the home's log holds that isn't in the lake yet.
    """
    from spanledger_collector.status import status_of

    settings = load(lake=lake, home=home)
    lakes.check_readable(settings.lake)
    found = status_of(settings.lake, settings.home)
    if not found.tables:
        lakes.say_empty(settings.lake)
    if form == "json":
        click.echo(json.dumps(asdict(found), default=_text, indent=1))
        return
    _print(found)


def _print(found: LakeStatus) -> None:
    import pyarrow as pa

    from .answer import write

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    tables = [asdict(table) for table in found.tables]
    words = write(pa.Table.from_pylist(tables), "table", sys.stdout.buffer, width) if tables else None
    if words:
        say(words)
    backlog = found.backlog
    per_span = found.bytes_per_span
    lines = {
        "bytes a span": None if per_span is None else f"{per_span:.1f}",
        "oldest day to write anew": found.oldest_day_to_write_anew,
        "settled until": found.settled_until,
        **{f"last {name}": at for name, at in found.last_maintenance.items()},
        "waiting in the log": f"{backlog.segments} segments, {backlog.bytes:,} bytes",
        "waiting since": backlog.since,
        "dead letters": f"{backlog.dead_letters}, {backlog.dead_bytes:,} bytes",
    }
    click.echo()
    for name, value in lines.items():
        click.echo(f"{name:<26}{'-' if value is None else _text(value)}")


def _text(value: object) -> str:
    """Return dates and times as JSON has them."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)


@command.command("verify")
@click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
def verify(lake: LakePath | None) -> None:
    """Count a lake again, and list what is wrong: a line on stdout for each thing.

    Looked at are: the live files (there, readable, read-only, as long as the log says), what lies on disk that no
    commit names, spans that count twice, costs whose parts don't add up, settlements and corrections of rows that don't
    exist, and rollups that don't say what spans come to. It reads the whole lake, a day at a time, changes nothing, and
    may run beside collectors.

    \b
      spanledger lake verify
      spanledger lake verify --lake ./copy > faults.txt || cat faults.txt

    Exit codes: 0 all is right, 1 something is wrong.
    """
    if importlib.util.find_spec("duckdb") is None:
        raise MissingExtraError("lake verify", "duckdb", "analytics")
    from spanledger_analytics.verify import CHECKS, Subject, count_units, verify as make_checks

    path = load(lake=lake).lake
    lakes.check_readable(path)
    subject = Subject(path)
    if not subject.tables:
        lakes.say_empty(path)
    faults = 0
    with counting("files and days", count_units(subject)) as advance:
        for fault in make_checks(subject, advance):
            faults += 1
            click.echo(f"{fault.check}: {fault.where} {fault.words}")
    rows = sum(file.rows for files in subject.live.values() for file in files)
    say(f"{rows:,} rows of {len(subject.tables)} tables, {len(CHECKS)} checks: {faults or 'no'} faults")
    if faults:
        sys.exit(1)

"""`spanledger unpriced`: the models that have no price, and what to write into the contract for each."""

from __future__ import annotations

import shutil
import sys
from datetime import datetime

import click

from spanledger.lake_path import LakePath
from spanledger.settings import load
from spanledger_analytics.connection import Ledger
from spanledger_analytics.scope import EVERYTHING
from spanledger_analytics.unpriced import unpriced_models

from . import lakes
from .answer import FORMATS, write


@click.command()
@click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="Only from this day on (UTC).")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Only up to this day (UTC).")
@click.option("--format", "form", type=click.Choice([form for form in FORMATS if form != "parquet"]), default="table")
def command(lake: LakePath | None, first: datetime | None, last: datetime | None, form: str) -> None:
    """List what has no price: model, reason, calls, tokens, first seen, and the line to add.

    The line goes into the contract (docs/contracts.md); spanledger reprice then prices what is booked already.

    \b
    Examples:
      spanledger unpriced
      spanledger unpriced --from 2026-11-01 --format csv
    """
    path = load(lake=lake).lake
    lakes.check_readable(path)
    days = [day.date() if day is not None else None for day in (first, last)]
    answer = unpriced_models(Ledger(path, EVERYTHING), *days).to_arrow()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    words = write(answer, form, sys.stdout.buffer, width)
    if words:
        click.echo(f"spanledger: {words}", err=True)

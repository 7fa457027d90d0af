"""`spanledger import revenue`: what customers pay, for the report `margin`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from spanledger import contract
from spanledger.contract_file import use_named
from spanledger.lake_path import LakePath
from spanledger.settings import load

from . import lakes
from .errors import FileError
from .progress import say

_STDIN: Final = "-"


@click.command("revenue")
@click.argument("path", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--source", help="What the file is known by; default: its name. Importing a source again replaces it.")
@click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
def command(path: Path, source: str | None, lake: LakePath | None) -> None:
    """Take revenue from a file, to be held against cost: spanledger report margin.

    \b
      spanledger import revenue invoices-2026.csv
      billing-export | spanledger import revenue - --source billing

    \b
      customer,month,amount,currency
      acme,2026-11,1200.00,
      beta,2026-11,950.50,EUR

    CSV with a line of names, or an object of JSON a line. Columns: customer, user, team, feature (at least one of
    them), day (2026-11-03) or month (2026-11, of the calendar), amount, and currency if it isn't USD: the contract's
    rate of the first day counts. Other columns are left alone.

    A file that is imported again replaces what it said before, so nothing is doubled; files of different names add up.
    A line that can't be taken is named, and then nothing of the file is.

    Exit codes: 0 taken, 1 nothing was (stderr says why), 2 usage.
    """
    from spanledger_collector.revenue import also_in, read_revenue, take_revenue

    known = source or ("" if str(path) == _STDIN else path.name)
    if not known:
        raise click.UsageError("say with --source what standard input is known by")
    settings = load(lake=lake)
    use_named(settings)
    read = read_revenue(_text(path), known, contract.in_force())
    lakes.make_ready(settings.lake)
    others = also_in(settings.lake, read)
    take_revenue(settings.lake, read)
    lines = len(read.rows)
    say(f"{known}: {lines:,} line{'' if lines == 1 else 's'}, {read.usd:,.2f} US dollars")
    if read.unused:
        say(f"  nothing was taken from: {', '.join(read.unused)}")
    for other, count in sorted(others.items()):
        say(f"  {count:,} of them have days and payers that {other} has too: both count; --source {other} replaces it")


def _text(path: Path) -> str:
    try:
        raw = sys.stdin.buffer.read() if str(path) == _STDIN else path.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise FileError(path, f"can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FileError(path, "is no UTF-8; save it as CSV in UTF-8") from None

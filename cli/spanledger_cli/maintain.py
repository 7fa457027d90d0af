"""`spanledger maintain`: what a collector does for its lake in quiet moments, by hand."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import click

from spanledger.settings import load

from . import lakes

_LOOK_S: Final = 0.5


@click.command()
@click.option("--lake", type=click.Path(path_type=Path), help=lakes.HELP)
@click.option("--once", is_flag=True, help="End when there is nothing left to do now.")
@click.option(
    "--from",
    "first",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Settle every trace with spans on this UTC day or later again, whether anything is new or not.",
)
@click.option(
    "--settle-after",
    type=click.IntRange(0),
    metavar="SECONDS",
    help="How long a span waits for the rest of its trace (SPANLEDGER_SETTLE_AFTER_S); default: 600.",
)
def command(lake: Path | None, *, once: bool, first: datetime | None, settle_after: int | None) -> None:
    """Settle the traces of a lake: one charge a call, agents charged where nothing below them is, tags from above.

    A running collector does this by itself. By hand it is for a lake that none runs on, for a trace that shall not
    wait, and after a price was added to the book: calls that had none get it then.

    \b
    Examples:
      spanledger maintain --once                   there for 10 minutes
      spanledger maintain --once --settle-after 0  everything that is there
      spanledger maintain --once --from 2026-11-01 again, at today's prices
      spanledger maintain                          go on, until Ctrl-C

    It may run beside collectors and other `maintain`s of the same lake. docs/settling.md says what changes when.
    """
    from spanledger_collector.contracts import ContractWatch
    from spanledger_collector.settle import Settler
    from spanledger_collector.settling import Settled, settle_again, settle_new

    settings = load(lake=lake)
    lakes.check_readable(settings.lake)
    contract = ContractWatch(settings)
    quiet = timedelta(seconds=settings.settle_after_s if settle_after is None else settle_after)

    def say(done: Settled) -> None:
        click.echo(f"spanledger: settled {done.traces} traces, {done.decisions} decisions", err=True)

    if first is not None:
        say(settle_again(settings.lake, first.date()))
    if once:
        say(settle_new(settings.lake, quiet))
        return
    settler = Settler(settings.lake, quiet)
    while True:
        contract.refresh()
        settler.step()
        time.sleep(_LOOK_S)

"""`spanledger outcome`: say how work ended that is known by its session or trace.

It needs the bare install only, so that a ticket system's hook can run it. Where the collector is away, the outcome
waits in the spool like everything else.
"""

from __future__ import annotations

import click

from spanledger import settings as all_settings
from spanledger.delivery import Delivery
from spanledger.outcomes import outcome_record
from spanledger.tracing import SpanMaker


@click.command()
@click.option("--name", required=True, help="What ended: resolved, refunded, ...")
@click.option("--session", "session_id", metavar="ID", help="The session that it belongs to.")
@click.option("--trace", "trace_id", metavar="HEX", help="The trace that it belongs to, 32 hex digits.")
@click.option("--success/--failure", "success", default=None, help="How it ended, if it can be said in a word.")
@click.option("--value-usd", metavar="AMOUNT", help="What it was worth, in US dollars.")
@click.option("--endpoint", metavar="URL", help="Where spans go (SPANLEDGER_ENDPOINT).")
def command(
    name: str,
    session_id: str | None,
    trace_id: str | None,
    success: bool | None,
    value_usd: str | None,
    endpoint: str | None,
) -> None:
    """Say how work ended, and what it was worth, later and from any process.

    \b
      spanledger outcome --session s-9 --name resolved --success --value-usd 12.50
      spanledger outcome --trace HEX --name refunded --failure

    Where the collector is away, the outcome is kept and sent later.
    """
    if session_id is None and trace_id is None:
        raise click.UsageError("say which work it is about: --session or --trace")
    try:
        record = outcome_record(name, success, value_usd, session_id, trace_id)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    settings = all_settings.load(endpoint=endpoint)
    if not Delivery(settings).deliver(SpanMaker(settings).encode([record]), "now"):
        click.echo("The collector is away: the outcome is kept and sent later.", err=True)

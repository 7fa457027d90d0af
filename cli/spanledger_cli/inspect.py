"""`spanledger inspect`: OTLP bodies as canonical rows, cost included.

One JSON object a line on stdout; what is wrong with a file goes to stderr, and the other files are shown all the same.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from spanledger.settings import load
from spanledger_collector.inspect import inspect_file
from spanledger_collector.wal import Signal

from .in_force import price_as_set


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--signal",
    type=click.Choice(["traces", "logs", "metrics"]),
    default="traces",
    show_default=True,
    help="What the bodies hold.",
)
def command(files: tuple[Path, ...], signal: Signal) -> None:
    """Show OTLP bodies (.pb, .json) as canonical rows, one JSON object a line.

    \b
      spanledger inspect trace.json
      spanledger inspect *.pb | jq 'select(.counted) | {user_id, cost_usd}'
      spanledger inspect --signal logs claude-code.json

    A FILE is what an exporter posts to /v1/traces, /v1/logs or /v1/metrics: an ExportTraceServiceRequest, and so on.
    Each is a batch of its own, priced as the collector would, and nothing is stored. A row has the columns of
    docs/schema.md and `file`; `counted` is false, with `not_counted_reason`, on what is not a charge. Logs become
    calls and tools of coding agents, and outcomes (`table` says so); metrics become readings.

    Exit codes: 0 all shown, 1 something in a file could not be shown (stderr says what), 2 usage.
    """
    price_as_set(load())
    failed = False
    for file in files:
        failed |= _show(file, signal)
    sys.exit(1 if failed else 0)


def _show(file: Path, signal: Signal) -> bool:
    """Print the rows of a file; True if something in it could not be shown."""
    try:
        inspected = inspect_file(file, signal)
    except OSError as error:
        click.echo(f"spanledger: {file}: {error.strerror}", err=True)
        return True
    for row in inspected.rows:
        click.echo(json.dumps(row, ensure_ascii=False))
    for fault in inspected.faults:
        click.echo(f"spanledger: {file}: {fault}", err=True)
    return bool(inspected.faults)

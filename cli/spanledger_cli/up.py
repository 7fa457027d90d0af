"""`spanledger up`: collector and dashboard together, each started again if it dies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from spanledger.settings import load
from spanledger_collector.address import Address

from . import lakes
from .attached import attached
from .collect import PORT, beside_of, collector_options
from .dashboard import check_strangers, serving


@click.command()
@collector_options
@click.option("--dashboard-port", type=PORT, default=8501, show_default=True, help="Dashboard; 0 takes a free port.")
def command(
    host: str,
    grpc_port: int,
    http_port: int,
    dashboard_port: int,
    *,
    allow_remote: bool,
    **named: Path | str | None,
) -> None:
    """Run the collector and the dashboard together, until Ctrl-C.

    \b
      spanledger up                        then open http://127.0.0.1:8501
      SPANLEDGER_ENABLED=1 python app.py   in another terminal
      spanledger up --lake ./lake --dashboard-port 8600
      spanledger collect                   the collector without the dashboard

    The dashboard shows the lake that the collector fills. It listens on this machine only, whatever --host says.
    Rules of alerts.toml in the home folder are evaluated, too, and budgets of policy.toml set right by what is booked:
    spanledger alerts --help, spanledger budget --help.
    """
    from spanledger_collector.doors import bind
    from spanledger_collector.serve import CollectorOptions, log_to_stderr, run_collector
    from spanledger_collector.supervise import ChildCommand

    log_to_stderr()
    settings = load(**named)
    check_strangers(settings, allow_remote=allow_remote)
    lakes.make_ready(settings.lake)
    with bind("127.0.0.1", dashboard_port, "--dashboard-port") as tried:
        port: int = tried.getsockname()[1]
    click.echo(f"dashboard: http://127.0.0.1:{port}", err=True)
    dashboard = ChildCommand("dashboard", tuple(attached(serving(settings, port))))
    address = Address(host, grpc_port, http_port)
    options = CollectorOptions.of(settings, address, allow_remote=allow_remote)
    run_collector(replace(options, beside=(dashboard, *beside_of(settings))))

"""`spanledger dashboard`: the dashboard in the foreground."""

from __future__ import annotations

import os

import click

from spanledger.lake_path import LakePath, absolute
from spanledger.settings import load

from . import lakes
from .collect import PORT


@click.command()
@click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
@click.option("--dashboard-port", type=PORT, default=8501, show_default=True, help="Dashboard; 0 takes a free port.")
def command(lake: LakePath | None, dashboard_port: int) -> None:
    """Run the dashboard over a lake, until Ctrl-C.

    \b
      spanledger dashboard            then open http://127.0.0.1:8501
      spanledger dashboard --lake ./lake --dashboard-port 8600

    It listens on this machine only, asks no other host for anything, and writes nothing. `spanledger up` runs the
    collector beside it.
    """
    from spanledger_collector.doors import bind
    from spanledger_dashboard.server import HOST, command as streamlit_command

    settings = load(lake=lake)
    lakes.check_readable(settings.lake)
    with bind(HOST, dashboard_port, "--dashboard-port") as tried:
        port: int = tried.getsockname()[1]
    click.echo(f"dashboard: http://{HOST}:{port} over {settings.lake}", err=True)
    arguments = streamlit_command(absolute(settings.lake), port)
    # In place of this process, so that signals and the exit code are the server's own.
    os.execv(arguments[0], arguments)  # noqa: S606

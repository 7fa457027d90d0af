"""`spanledger collect`: the collector in the foreground."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from spanledger.settings import Settings, load, setting_of
from spanledger_collector.address import Address
from spanledger_collector.terms import FLAGS

from . import lakes

if TYPE_CHECKING:
    from spanledger_collector.supervise import ChildCommand

_DEFAULT: Final = Address()
PORT: Final = click.IntRange(0, 65535)
_OPTIONS: Final = (
    click.option("--home", type=click.Path(path_type=Path), help=lakes.HOME_HELP),
    click.option("--lake", type=lakes.LAKE, help=lakes.HELP),
    click.option("--host", default=_DEFAULT.host, show_default=True, help="Address to listen on."),
    click.option(
        "--grpc-port", type=PORT, default=_DEFAULT.grpc_port, show_default=True, help="OTLP/gRPC; 0 takes a free port."
    ),
    click.option(
        "--http-port", type=PORT, default=_DEFAULT.http_port, show_default=True, help="OTLP/HTTP; 0 takes a free port."
    ),
    click.option(
        "--allow-remote", is_flag=True, help="Let other machines reach --host without a token or certificate."
    ),
    *(click.option(f"--{name.replace('_', '-')}", help=setting_of(name).sentence) for name in FLAGS),
)


def collector_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of the collector."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def beside_of(settings: Settings) -> tuple[ChildCommand, ...]:
    """Return what to keep running beside a collector where DuckDB is installed: who counts rollups, and who alerts."""
    from spanledger_analytics.alert import alert_command
    from spanledger_analytics.rollup import rollup_command

    if importlib.util.find_spec("duckdb") is None:
        return ()
    return rollup_command(settings.home, settings.lake), alert_command(settings.home, settings.lake)


@click.command()
@collector_options
def command(host: str, grpc_port: int, http_port: int, *, allow_remote: bool, **named: Path | str | None) -> None:
    """Run the collector: spans in over OTLP, priced rows out as Parquet, queryable within 3 seconds.

    \b
    Who sends to it:
      SPANLEDGER_ENABLED=1 python app.py                  needs no address
      OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318   HTTP, protobuf or JSON
      OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317   gRPC

    \b
    Examples:
      spanledger collect --lake ./lake --home ./state
      spanledger collect --grpc-port 14317 --http-port 14318
      spanledger collect --host 0.0.0.0 --token-file tokens \\
        --tls-cert cert.pem --tls-key key.pem

    A span is acknowledged when it is on disk. When there is no room, senders are told to try again. Ctrl-C (or
    SIGTERM) answers what is in flight, finishes what is in the log and ends; whatever is left is done by the next
    start. http://127.0.0.1:4318/readyz and /metrics say how it is. Rules of alerts.toml in the home folder are
    evaluated, too, and budgets of policy.toml set right by what is booked: spanledger alerts --help, spanledger budget
    --help.
    """
    from spanledger_collector.serve import CollectorOptions, log_to_stderr, run_collector

    log_to_stderr()
    settings = load(**named)
    lakes.make_ready(settings.lake)
    options = CollectorOptions.of(settings, Address(host, grpc_port, http_port), allow_remote=allow_remote)
    run_collector(replace(options, beside=beside_of(settings)))

"""The `spanledger` command: a thin face over the other packages.

Each command stands in a module of its own and is imported when it is run, so that `--help` costs nothing and the
bare install (without duckdb, streamlit, ...) still has `run`, `doctor` and `price`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

import click

from spanledger.errors import SpanledgerError

from .errors import MissingExtraError


class _Command(NamedTuple):
    module: str
    extra: str
    """The extra that brings what it imports; empty for the bare install."""
    sentence: str


EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "collector": ("deltalake", "grpc", "pyarrow", "rich"),
    "analytics": ("duckdb", "rich"),
    "dashboard": ("grpc", "streamlit"),
    "all": ("anthropic", "grpc", "openai", "streamlit"),
}
"""Extra to modules that show whether it is installed; not all that it brings."""

COMMANDS: Final[dict[str, _Command]] = {
    "demo": _Command("demo.command", "all", "See everything at once: no key, no network, a lake of its own."),
    "up": _Command("up", "dashboard", "Run the collector and the dashboard together."),
    "collect": _Command("collect", "collector", "Run the collector: OTLP in, Parquet out."),
    "dashboard": _Command("dashboard", "dashboard", "Run the dashboard over a lake."),
    "maintain": _Command("maintain", "collector", "Settle a lake, merge its files, drop its oldest days."),
    "lake": _Command("lake", "collector", "Look at a lake: size and state, and whether all is right."),
    "reprice": _Command("reprice", "collector", "Price again what was booked at a wrong price."),
    "run": _Command("run", "", "Run one command with tracing switched on."),
    "sql": _Command("sql", "analytics", "Ask the lake a question in SQL."),
    "report": _Command("report", "analytics", "Ask a report: spend, and more, by team, model, user, feature ..."),
    "alerts": _Command("alerts", "analytics", "Be told when spend is out of bounds: rules, state, silences."),
    "policy": _Command("policy", "analytics", "Check a policy, explain it, try it on last week's calls."),
    "budget": _Command("budget", "analytics", "Look at budgets: spent, held, past windows; set one."),
    "breaker": _Command("breaker", "", "Look at spend breakers; trip one by hand, let it go on."),
    "import": _Command("importing", "collector", "Take spans from files of OTLP into the ledger."),
    "export": _Command("exporting", "analytics", "Write the spans of the lake as OTLP or Parquet."),
    "inspect": _Command("inspect", "collector", "Show OTLP bodies as canonical rows, cost included."),
    "dead": _Command("dead", "collector", "Look at what could not become rows, and send it again."),
    "contract": _Command("contract", "", "Check and show what you have agreed on with your providers."),
    "price": _Command("price", "", "Price one call, or a call a line, and show why."),
    "prices": _Command("prices", "", "Look at the price book, and renew it."),
    "unpriced": _Command("unpriced", "analytics", "List what has no price, and what to add so that it has."),
    "drain": _Command("drain", "", "Make the requests that an application put off."),
    "outcome": _Command("outcome", "", "Say how work ended, by its session or trace."),
    "doctor": _Command("doctor", "", "Say what is instrumented, where spans go, and what is wrong."),
}


class _Commands(click.Group):
    """A group that knows its commands' sentences without importing them, and which extra each one needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        known = COMMANDS[cmd_name]
        for module in EXTRAS.get(known.extra, ()):
            if importlib.util.find_spec(module) is None:
                raise MissingExtraError(cmd_name, module, known.extra)
        command: click.Command = importlib.import_module(f".{known.module}", __package__).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, known.sentence) for name, known in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spanledger")
def cli() -> None:
    """What every LLM call costs, who caused it, and what to do about it.

    \b
    Start here:
      spanledger demo                           see it work, without a key
      spanledger up                             collector and dashboard
      SPANLEDGER_ENABLED=1 python app.py        trace your own program
      spanledger sql "select * from llm_calls"  ask anything

    Each command explains itself: spanledger sql --help. Settings come from flags, then SPANLEDGER_* variables, then
    spanledger.toml in the working directory (or the file named by SPANLEDGER_CONFIG); docs/settings.md has them all.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit codes: 0 done, 1 failed, 2 usage, 3 a single call unpriced."""
    try:
        cli(args=arguments, prog_name="spanledger", standalone_mode=True)
    except SpanledgerError as error:
        click.echo(f"spanledger: {error}", err=True)
        sys.exit(1)

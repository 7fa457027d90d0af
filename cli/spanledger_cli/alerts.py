"""`spanledger alerts`: what rules see now, what has fired, whether receivers can be told, and silences."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
import polars as pl

from spanledger.lake_path import LakePath
from spanledger.settings import Settings, load
from spanledger_analytics.alerts.kinds import KINDS
from spanledger_analytics.alerts.rules import Receiver, Rules
from spanledger_analytics.alerts.rules_file import named, read_rules

from . import lakes
from .answer import FORMATS, write
from .errors import FileError
from .lengths import Length
from .progress import say

_HOME: Final = click.option("--home", type=click.Path(path_type=Path), help=lakes.HOME_HELP)
_LAKE: Final = click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
_RULES: Final = click.option(
    "--rules",
    type=click.Path(path_type=Path),
    help="File of rules (SPANLEDGER_ALERTS); default: alerts.toml in the home folder.",
)
_FORM: Final = click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
_STARTING_FILE: Final = Path(__file__).with_name("alerts.toml")


_KINDS: Final = "\n".join(f"  {kind.name:<10} {kind.sentence}" for kind in KINDS.values())


@click.group(epilog=f"\b\nKinds of rules:\n{_KINDS}")
def command() -> None:
    """Be told when spend is out of bounds: rules of yours, evaluated every 20 seconds by `spanledger up` and `collect`.

    \b
      spanledger alerts init       write a first alerts.toml, to be changed
      spanledger alerts check      evaluate the rules once, and show what they see
      spanledger alerts test       tell every receiver that this is a test
      spanledger alerts list       what fires, and what has fired
      spanledger alerts silence    not be told for a while

    Without the file nothing is watched. docs/alerts.md explains each kind of rule.
    """


@command.command("init")
@_HOME
@_RULES
def init(home: Path | None, rules: Path | None) -> None:
    """Write a file of rules to begin with; one that is there stays as it is.

    \b
      spanledger alerts init
      spanledger alerts init --rules ./alerts.toml
    """
    path = named(_settings(home, rules))
    lakes.make_folder(path.absolute().parent, "--rules")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_STARTING_FILE.read_text("utf-8"))
    except FileExistsError:
        raise FileError(path, "is there already; it stays as it is") from None
    click.echo(path)
    say("change it to what you want to be told of, then: spanledger alerts check")


@command.command("check")
@_HOME
@_LAKE
@_RULES
@_FORM
def check(home: Path | None, lake: LakePath | None, rules: Path | None, form: str) -> None:
    """Evaluate every rule once, and show what it sees: nothing is kept, nobody is told.

    \b
      spanledger alerts check
      spanledger alerts check --rules ./new.toml --format json

    `state` is ok, tripped (fires if it stays so for the rule's number of evaluations), firing, silenced, or error. The
    exit code is 0 whatever fires; 1 where the file can't be used.
    """
    from spanledger_analytics.alerts.episodes import seen_now
    from spanledger_analytics.alerts.evaluate import look
    from spanledger_analytics.alerts.lookout import Lookout
    from spanledger_analytics.alerts.store import Store
    from spanledger_analytics.connection import Ledger
    from spanledger_analytics.reports.calendar import Calendar
    from spanledger_analytics.scope import EVERYTHING

    settings = _settings(home, rules, lake)
    asked = _rules(settings)
    lakes.check_readable(settings.lake)
    ledger = Ledger(settings.lake, EVERYTHING)
    if ledger.version() < 0:
        lakes.say_empty(settings.lake)
    lookout = Lookout(ledger, Calendar(settings.zone, settings.billing_day))
    now = datetime.now(UTC)
    store = Store(settings.home)
    _show(seen_now(look(asked, lookout, now), store.alerts(), store.silences(), now), form)
    for note in lookout.notes:
        say(note)


@command.command("list")
@_HOME
@click.option("--since", type=Length(), default="7d", show_default=True, help="How far back: 90s, 5m, 4h, 2d.")
@_FORM
def list_(home: Path | None, since: timedelta, form: str) -> None:
    """Show what fires, what is about to, and what has fired.

    \b
      spanledger alerts list
      spanledger alerts list --since 30d --format csv
    """
    from spanledger_analytics.alerts.episodes import episodes
    from spanledger_analytics.alerts.store import Store
    from spanledger_analytics.scope import EVERYTHING

    settings = load(home=home)
    store = Store(settings.home)
    _show(episodes(store, EVERYTHING, datetime.now(UTC) - since), form)
    facts = store.facts()
    if "evaluated_at" in facts:
        say(f"evaluated last at {facts['evaluated_at']}, in {facts.get('cpu_ms', '?')} ms of CPU")
    else:
        say("nothing was ever evaluated in this home; `spanledger up` does, where there are rules")
    for trouble in filter(None, (facts.get("file"), facts.get("trouble"))):
        say(trouble)
    for waiting in store.outbox():
        if waiting["done_at"] is None and waiting["failed"]:
            say(f"{waiting['receiver']} waits to be told since {waiting['made_at']}: {waiting['failed']}")


@command.command("test")
@_HOME
@_RULES
@click.option("--receiver", "only", multiple=True, help="Just this one; can be given several times.")
def test(home: Path | None, rules: Path | None, only: tuple[str, ...]) -> None:
    """Tell every receiver that this is a test, and say what became of it; the exit code is 1 if one wasn't told.

    \b
      spanledger alerts test
      spanledger alerts test --receiver ops
    """
    asked = _rules(_settings(home, rules))
    for name in only:
        if name not in asked.receivers:
            raise click.UsageError(f"no receiver is called {name!r}; there are {', '.join(asked.receivers)}")
    arrived = [_test(asked, asked.receivers[name]) for name in only or asked.receivers]
    if not all(arrived):
        sys.exit(1)


def _test(asked: Rules, receiver: Receiver) -> bool:
    from spanledger_analytics.alerts.errors import DeliveryError
    from spanledger_analytics.alerts.notification import test_of
    from spanledger_analytics.alerts.receivers import address_of, send

    payload, key = test_of(asked.pace, receiver, datetime.now(UTC))
    try:
        words, arrived = f"told, {send(receiver, payload, key)}", True
    except DeliveryError as error:
        words, arrived = f"not told: {error}", False
    click.echo(f"{receiver.name} ({receiver.kind}, {address_of(receiver)}): {words}")
    return arrived


@command.group("silence")
def silence() -> None:
    """Not be told of some alerts for a while; they still fire, and are listed.

    \b
      spanledger alerts silence make --for 2h alertname="fast" team=search
      spanledger alerts silence list
      spanledger alerts silence end 3
    """


@silence.command("make")
@_HOME
@click.option("--for", "length", type=Length(), required=True, help="How long: 90s, 5m, 4h, 2d.")
@click.option("--comment", default="", help="Why, for those who come after.")
@click.argument("matchers", nargs=-1, required=True)
def make(home: Path | None, length: timedelta, comment: str, matchers: tuple[str, ...]) -> None:
    """Silence the alerts whose labels fulfil all of MATCHERS: label=value, label!=value; prints its number."""
    from spanledger_analytics.alerts.silences import parse_matchers
    from spanledger_analytics.alerts.store import Store

    read = parse_matchers(matchers)
    now = datetime.now(UTC)
    click.echo(Store(load(home=home).home).silence(read, now + length, comment, now))


@silence.command("list")
@_HOME
@_FORM
def list_silences(home: Path | None, form: str) -> None:
    """Show the silences that hold."""
    from spanledger_analytics.alerts.store import Store

    now = datetime.now(UTC)
    held = [one for one in Store(load(home=home).home).silences() if one.until > now]
    schema: dict[str, Any] = {"number": pl.Int64, "matchers": pl.String, "until": pl.Datetime("us", "UTC")}
    rows = [(one.number, ", ".join(map(str, one.matchers)), one.until, one.comment) for one in held]
    _show(pl.DataFrame(rows, schema=schema | {"comment": pl.String}, orient="row"), form)


@silence.command("end")
@_HOME
@click.argument("number", type=int)
def end(home: Path | None, number: int) -> None:
    """End silence NUMBER now."""
    from spanledger_analytics.alerts.store import Store

    if not Store(load(home=home).home).end_silence(number, datetime.now(UTC)):
        raise click.UsageError(f"no silence {number} holds; spanledger alerts silence list")


def _settings(home: Path | None, rules: Path | None, lake: LakePath | None = None) -> Settings:
    return load(home=home, lake=lake, alerts=None if rules is None else str(rules))


def _rules(settings: Settings) -> Rules:
    path = named(settings)
    if not path.exists():
        raise FileError(path, "isn't there, so nothing is watched; `spanledger alerts init` writes one to begin with")
    return read_rules(path)


def _show(frame: pl.DataFrame, form: str) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if words := write(frame.to_arrow(), form, sys.stdout.buffer, width):
        say(words)

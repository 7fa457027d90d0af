"""`spanledger breaker`: which breakers are not closed, and why; trip one, or reset it, from any process.

It needs the bare install only, because it is run where the application is. A change by hand is told to the ledger as
the application's own are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import click

from spanledger.delivery import Delivery
from spanledger.errors import SpanledgerError
from spanledger.guard import policy_path
from spanledger.guard.breaker import PREFIX, Breaker, State, decode, encode
from spanledger.guard.breaker_words import change, reason, tags_in
from spanledger.guard.decisions import exact, moment
from spanledger.guard.durations import EXPECTED, read_ms
from spanledger.guard.policy import Policy
from spanledger.guard.policy_file import read_policy
from spanledger.guard.store import Store
from spanledger.names import SESSION_ID
from spanledger.settings import Settings, load
from spanledger.tracing import SpanMaker

from . import lakes
from .aligned import write_table
from .errors import FileError
from .policy_store import shared_store

_HOME: Final = click.option("--home", type=click.Path(path_type=Path), help=lakes.HOME_HELP)
_POLICY: Final = click.option(
    "--policy",
    type=click.Path(path_type=Path),
    help="File of rules (SPANLEDGER_POLICY); default: policy.toml in the home folder.",
)
_COLUMNS: Final = ("breaker", "scope", "state", "since", "until", "shadow", "reason")
_TRIES: Final = 5


@click.group("breaker")
def command() -> None:
    """Look at the spend breakers of the policy, open one by hand, and let it go on.

    \b
      spanledger breaker list
      spanledger breaker trip "a team's pace" team_id=red --for 2h
      spanledger breaker reset "a team's pace" team_id=red

    The application sees a change within a second. It works on the store that the policy names, which has to be sqlite
    (the processes of this host and this home folder) or redis://. docs/breakers.md explains each state.
    """


@command.command("list")
@_HOME
@_POLICY
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", show_default=True)
def list_(home: Path | None, policy: Path | None, form: str) -> None:
    """Show each breaker, and each scope that it is not closed for.

    \b
      spanledger breaker list
      spanledger breaker list --format json

    `state` is closed, degraded, open or half_open; it moves when a call comes, so one that nobody calls stays as it is.
    A breaker of which nothing is kept is closed for all.
    """
    settings, rules = _read(home, policy)
    with _open(settings, rules) as store:
        kept = _states(store)
    breakers: tuple[Breaker, ...] = rules.more["breaker"]
    states = [*kept, *(State(rule.name, "") for rule in breakers if all(one.breaker != rule.name for one in kept))]
    shadows = {rule.name: rule.shadow for rule in breakers}
    found = [_told(state, shadows.get(state.breaker)) for state in sorted(states, key=lambda one: one.key)]
    if form == "json":
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    elif found:
        rows = [{name: _shown(one[name]) for name in _COLUMNS} for one in found]
        click.echo("\n".join(write_table(rows, _COLUMNS, always=("breaker", "scope", "state"))))
    else:
        click.echo(f"{rules.path} has no [[breaker]]", err=True)


@command.command("trip")
@click.argument("name")
@click.argument("scope", required=False)
@click.option("--for", "length", metavar="LENGTH", help="Close again by itself after that: 90s, 30m, 2h, 1d.")
@click.option("--degraded", is_flag=True, help="Have calls go to the model that stands in, not be refused.")
@_HOME
@_POLICY
def trip(
    name: str, scope: str | None, length: str | None, degraded: bool, home: Path | None, policy: Path | None
) -> None:
    """Open the breaker NAME for SCOPE, whatever is spent; until it is reset, or for as long as --for says.

    \b
      spanledger breaker trip "an agent's run" session_id=run-17
      spanledger breaker trip "a team's pace" team_id=red --for 2h --degraded

    SCOPE names what the breaker counts apart, as `list` shows it: user_id=ann, several with commas. It can be left out
    where the breaker has only one.
    """
    settings, rules = _read(home, policy)
    rule = _named(rules, name)
    scope = _scope(rule, scope)
    now_ms = time.time_ns() // 1_000_000
    until_ms = now_ms + _length_ms(length) if length is not None else 0
    state = State(name, scope, "degraded" if degraded else "open", now_ms, until_ms=until_ms, by_hand=True)
    with _open(settings, rules) as store:
        _put(store, settings, rule, state)
    click.echo(f"{name} ({scope}): {state.name}{f' until {_instant(until_ms)}' if until_ms else ''}")


@command.command("reset")
@click.argument("name")
@click.argument("scope", required=False)
@_HOME
@_POLICY
def reset(name: str, scope: str | None, home: Path | None, policy: Path | None) -> None:
    """Close the breaker NAME for SCOPE, or, where it is left out, for all that it is not closed for.

    \b
      spanledger breaker reset "a team's pace" team_id=red
      spanledger breaker reset "an agent's run"

    What was spent so far is not held against it: a session may spend as much once more, a budget's share grow by as
    much again, for a day. What goes on too fast opens it again.
    """
    settings, rules = _read(home, policy)
    rule = _named(rules, name)
    with _open(settings, rules) as store:
        wanted = _scope(rule, scope) if scope is not None else None
        found = [one for one in _states(store) if one.breaker == name and wanted in (None, one.scope)]
        found = [one for one in found if one.name != "closed"]
        for one in found:
            now_ms = time.time_ns() // 1_000_000
            _put(store, settings, rule, State(name, one.scope, since_ms=now_ms, forgive=True))
            click.echo(f"{name} ({one.scope}): closed, was {one.name}")
    if not found:
        click.echo(f"{name} is closed{f' for {wanted}' if wanted else ''}; there was nothing to reset", err=True)


def _read(home: Path | None, policy: Path | None) -> tuple[Settings, Policy]:
    settings = load(home=home, policy=None if policy is None else str(policy))
    path = policy_path(settings)
    if path is None or not path.exists():
        raise FileError(path or settings.home / "policy.toml", "isn't there, so there is no breaker (docs/breakers.md)")
    return settings, read_policy(path, settings)


def _open(settings: Settings, policy: Policy) -> AbstractContextManager[Store]:
    return shared_store(
        "breaker",
        settings,
        policy,
        f'{policy.path} has store = "memory": its breakers are inside the application, where no command reaches them;'
        ' write store = "sqlite" (the processes of one host) or "redis://..."',
    )


def _states(store: Store) -> list[State]:
    found = []
    for key, text in store.states(PREFIX).items():
        try:
            found.append(decode(text))
        except (ValueError, TypeError, KeyError):
            click.echo(f"spanledger: what is kept as {key!r} is no state of a breaker; left out", err=True)
    return found


def _named(policy: Policy, name: str) -> Breaker:
    known: Mapping[str, Breaker] = {rule.name: rule for rule in policy.more["breaker"]}
    if name not in known:
        raise click.UsageError(f"no breaker is called {name!r}; there are: {', '.join(known) or 'none'}")
    return known[name]


def _scope(rule: Breaker, words: str | None) -> str:
    """Return the scope that was typed, as the application writes it."""
    given = tags_in(words or "")
    keys = [*rule.match.keys, *(rule.budget.match.keys if rule.budget is not None else ())]
    values = {wire: exact_value for _, wire, exact_value, _ in keys if exact_value is not None} | given
    needs_session = rule.is_of_sessions and SESSION_ID not in values
    scope = None if needs_session else rule.scope(values, values.get(SESSION_ID, ""))
    if scope is None:
        named = dict.fromkeys([*(key for key, *_ in keys), *(["session_id"] if rule.is_of_sessions else [])])
        wanted = ",".join(f"{key}=..." for key in named)
        asked = f"is not about {words}" if words else "counts several apart"
        raise click.UsageError(f"{rule.name!r} {asked}; write its scope as {wanted}")
    return scope


def _length_ms(text: str) -> int:
    found = read_ms(text)
    if found is None:
        raise click.UsageError(f"--for: {EXPECTED}, not {text!r}")
    return found


def _put(store: Store, settings: Settings, rule: Breaker, state: State) -> None:
    """Keep a state whatever is kept now, and tell the ledger what changed."""
    for _ in range(_TRIES):
        text = store.states(state.key).get(state.key)
        if store.put_state(state.key, encode(state), text):
            before = decode(text) if text is not None else State(state.breaker, state.scope)
            told = change(before, state, tags_in(state.scope), shadow=rule.shadow)
            if before.name != state.name and not Delivery(settings).deliver(SpanMaker(settings).encode([told]), "now"):
                click.echo("The collector is away: the change is kept and told later.", err=True)
            return
    raise SpanledgerError(f"the state of {state.breaker!r} ({state.scope}) couldn't be kept; try again")


def _told(state: State, shadow: bool | None) -> dict[str, Any]:
    trip = state.trip
    return {
        "breaker": state.breaker,
        "scope": state.scope,
        "state": state.name,
        "since": _instant(state.since_ms),
        "until": _instant(state.until_ms),
        "by_hand": state.by_hand,
        "shadow": shadow,
        "in_policy": shadow is not None,
        "trip": trip.trip if trip is not None else None,
        "unit": trip.unit if trip is not None else None,
        "value": f"{exact(trip.value, trip.unit):f}" if trip is not None else None,
        "limit": f"{exact(trip.limit, trip.unit):f}" if trip is not None else None,
        "reason": reason(state) if state.name != "closed" else None,
    }


def _shown(value: object) -> str:
    return "" if value is None or value is False else "yes" if value is True else str(value)


def _instant(at_ms: int) -> str | None:
    return f"{moment(at_ms):%Y-%m-%dT%H:%M:%SZ}" if at_ms else None

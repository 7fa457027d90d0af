"""`spanledger policy`: write a first policy, say what is wrong with one, and try it on calls that were made."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from spanledger.errors import SpanledgerError
from spanledger.guard.decisions import exact, shown
from spanledger.guard.gate import worker_count
from spanledger.guard.policy import Budget, Policy
from spanledger.guard.rehearsal import is_played
from spanledger.lake_path import LakePath
from spanledger.settings import Settings, load
from spanledger_dashboard.format import many

from . import lakes
from .errors import FileError
from .lengths import Length
from .policies import FORM, HOME, LAKE, Cell, accounts_of, by_wire, load_policy, parse_values, print_rows
from .progress import counting, say

if TYPE_CHECKING:
    from spanledger.guard.store import Account
    from spanledger_analytics.controls.explain import Explained
    from spanledger_analytics.controls.lint import Finding
    from spanledger_analytics.controls.simulate import Effect, Key, Simulation

_STARTING_FILE: Final = Path(__file__).with_name("policy.toml")
_WEEK: Final = timedelta(days=7)
_FILE: Final = click.argument("file", required=False, type=click.Path(path_type=Path))
_EFFECTS: Final = ("refused", "put_off", "throttled", "degraded", "routed", "warned")


@click.group("policy")
def command() -> None:
    """Write, check and try the policy: the rules that calls are held against before they are sent.

    FILE is the one of the settings where it is left out: SPANLEDGER_POLICY, else policy.toml in the home folder.

    \b
      spanledger policy init                    write a first one
      spanledger policy check                   what is wrong with it
      spanledger policy check --call user_id=ann,model=gpt-4o
      spanledger policy simulate --since 7d     what it would have done

    docs/budgets.md explains the commands, docs/controls.md the rules.
    """


@command.command("init")
@HOME
@_FILE
def init(home: Path | None, file: Path | None) -> None:
    """Write a policy to begin with; one that is there stays as it is.

    \b
      spanledger policy init
      spanledger policy init ./policy.toml
    """
    settings = load(home=home)
    path = file or (Path(settings.policy).expanduser() if settings.policy else settings.home / "policy.toml")
    lakes.make_folder(path.absolute().parent, "--home")
    try:
        with path.open("x", encoding="utf-8") as target:
            target.write(_STARTING_FILE.read_text("utf-8"))
    except FileExistsError:
        raise FileError(path, "is there already; it stays as it is") from None
    click.echo(path)
    say("change it to what you want, then: spanledger policy check")


@command.command("check")
@HOME
@LAKE
@_FILE
@click.option("--call", "calls", multiple=True, metavar="TAGS", help="Explain a call: user_id=ann,model=gpt-4o.")
@click.option("--no-lake", is_flag=True, help="Don't look at the calls of the last week.")
@FORM
def check(
    home: Path | None, lake: LakePath | None, file: Path | None, calls: tuple[str, ...], form: str, *, no_lake: bool
) -> None:
    """Say what is wrong with FILE, or likely wrong; with --call, which of its rules a call meets.

    \b
      spanledger policy check
      spanledger policy check new.toml --format json
      spanledger policy check --call user_id=ann,team_id=support,model=gpt-4o

    A file that can't be used is told with its line and key. What is likely wrong are rules that never match or never do
    what they say, by the price book and by the calls of the last week. Exit codes: 0 it can be used, 1 it can't.
    """
    settings, policy = load_policy(home, file, lake)
    findings = _findings(settings, policy, ask_lake=not no_lake)
    if calls:
        _explain(settings, policy, parse_values(calls), form)
        for one in findings:
            say(f"{one.level}: {one.rule or policy.path}: {one.sentence}")
    else:
        rows = [[Cell(text, text) for text in one] for one in findings]
        if rows or form != "table":
            print_rows(("level", "rule", "finding"), rows, form)
        count = len(policy.rules) + len(policy.degrades) + sum(map(len, policy.more.values()))
        say(f"{policy.path}: {many(count, 'rule')}, {len(rows) or 'nothing'} to look at")
    if any(one.level == "error" for one in findings):
        sys.exit(1)


@command.command("simulate")
@HOME
@LAKE
@_FILE
@click.option("--since", type=Length(), default="7d", show_default=True, help="How far back: 90s, 5m, 4h, 2d.")
@click.option("--enforce", is_flag=True, help="Take rules in shadow as if they weren't.")
@FORM
def simulate(
    home: Path | None, lake: LakePath | None, file: Path | None, since: timedelta, form: str, *, enforce: bool
) -> None:
    """Play past calls against FILE: what would have been refused, slowed down, made at another model, and saved.

    \b
      spanledger policy simulate --since 7d
      spanledger policy simulate --since 30d --enforce new.toml --format json

    The calls of the lake are played in the order of time through the code that holds calls up, with accounts that begin
    as the lake has them. A row is a rule and a day; those without a day are all days. A call that would have been
    refused saves what it had cost; those that its run made after it are played all the same.
    """
    from spanledger_analytics.connection import Ledger
    from spanledger_analytics.controls.simulate import hours, simulate as play
    from spanledger_analytics.scope import EVERYTHING
    from spanledger_collector.base_watch import BaseWatch
    from spanledger_collector.contracts import ContractWatch

    settings, policy = load_policy(home, file, lake)
    if enforce:
        policy = _enforced(policy)
    lakes.check_readable(settings.lake)
    BaseWatch(settings)
    ContractWatch(settings)
    ledger = Ledger(settings.lake, EVERYTHING)
    if ledger.version() < 0:
        lakes.say_empty(settings.lake)
    now = datetime.now(UTC)
    with counting("hours", hours(now - since, now)) as advance:
        found = play(ledger, policy, settings, now - since, now, advance)
    print_rows(("rule", "kind", "shadow", "day", *_EFFECTS, "saved_usd"), list(_effects(found)), form)
    _say_simulated(policy, found)


def _findings(settings: Settings, policy: Policy, *, ask_lake: bool) -> list[Finding]:
    from spanledger_analytics.connection import Ledger
    from spanledger_analytics.controls.lint import lint
    from spanledger_analytics.controls.seen import ends, seen
    from spanledger_analytics.scope import EVERYTHING
    from spanledger_collector.base_watch import BaseWatch
    from spanledger_collector.contracts import ContractWatch

    BaseWatch(settings)
    ContractWatch(settings)
    known, ended = None, dict[str, Counter[str]]()
    if ask_lake:
        now = datetime.now(UTC)
        lakes.check_readable(settings.lake)
        ledger = Ledger(settings.lake, EVERYTHING)
        known = seen(ledger, policy.rules, now - _WEEK, now)
        ended = ends(ledger, policy.more.get("cache", ()), now - _WEEK, now)
    return lint(policy, worker_count(), known, ended, time.time_ns())


def _explain(settings: Settings, policy: Policy, given: Mapping[str, str], form: str) -> None:
    from spanledger_analytics.controls.explain import explain

    if settings.environment:
        given = {"environment": settings.environment, **given}
    accounts = _accounts(settings, policy)
    budgets = {budget.name: budget for budget in policy.budgets}
    rows = [_explained(one, budgets, accounts) for one in explain(policy, by_wire(given))]
    names = ("kind", "rule", "applies", "scope", "does", "window", "spent", "held", "cap", "unit", "shadow")
    print_rows(names, sorted(rows, key=lambda row: row[2].exact is not True), form)


def _accounts(settings: Settings, policy: Policy) -> Mapping[str, Account] | None:
    """Return the accounts by key; None where they can't be seen, which is said."""
    try:
        with accounts_of(settings, policy) as store:
            return {account.key: account for account in store.accounts()}
    except SpanledgerError as error:
        say(str(error))
        return None


def _explained(one: Explained, budgets: Mapping[str, Budget], accounts: Mapping[str, Account] | None) -> list[Cell]:
    from spanledger.guard.keys import budget_key

    applies = one.scope is not None
    scope = one.scope if one.scope is not None else one.why_not
    budget = budgets.get(one.rule) if one.kind == "budget" else None
    cells = [Cell(text, text) for text in (one.kind, one.rule)]
    cells += [Cell(applies, "yes" if applies else "no"), Cell(scope, scope), Cell(one.does, one.does)]
    shadow = Cell(one.shadow, "shadow" if one.shadow else "")
    if budget is None:
        return [*cells, *[Cell(None, "")] * 5, shadow]
    window = budget.window(time.time_ns() // 1_000_000).name
    amounts = [Cell(None, "")] * 2
    if applies and accounts is not None and budget.per not in ("request", "session"):
        account = accounts.get(budget_key(budget, one.scope or "", window))
        amounts = [_amount(amount, budget) for amount in ((0, 0) if account is None else (account.spent, account.held))]
    return [*cells, Cell(window, window), *amounts, _amount(budget.cap, budget), Cell(budget.unit, ""), shadow]


def _amount(amount: int, budget: Budget) -> Cell:
    return Cell(f"{exact(amount, budget.unit):f}", shown(amount, budget.unit), right=True)


def _enforced(policy: Policy) -> Policy:
    return replace(
        policy,
        budgets=tuple(replace(rule, shadow=False) for rule in policy.budgets),
        limits=tuple(replace(rule, shadow=False) for rule in policy.limits),
        more={
            **policy.more,
            "breaker": tuple(replace(rule, shadow=False) for rule in policy.more.get("breaker", ())),
            "route": tuple(
                replace(rule, mode="percentage", percent=100) if rule.shadow else rule
                for rule in policy.more.get("route", ())
            ),
        },
    )


def _effects(found: Simulation) -> Iterator[list[Cell]]:
    """Yield what each rule did on all days, the most saving one first, and below that its days."""
    rules: dict[tuple[str, str, bool], list[tuple[Key, Effect]]] = {}
    for key, effect in sorted(found.effects.items()):
        rules.setdefault(key[:3], []).append((key, effect))
    saved = {rule: sum((effect.saved_usd for _, effect in days), Decimal(0)) for rule, days in rules.items()}
    for rule in sorted(rules, key=lambda rule: (-saved[rule], rule)):
        days = rules[rule]
        yield _effect(rule, None, [effect for _, effect in days])
        for key, effect in days:
            yield _effect(rule, key, [effect])


def _effect(rule: tuple[str, str, bool], key: Key | None, effects: list[Effect]) -> list[Cell]:
    name, kind, shadow = rule
    counts = [sum(getattr(effect, column) for effect in effects) for column in _EFFECTS]
    saved = sum((effect.saved_usd for effect in effects), Decimal(0))
    return [
        *(Cell(text, text) for text in (name, kind)),
        Cell(shadow, "shadow" if shadow else ""),
        Cell(None if key is None else key.day, "all" if key is None else f"{key.day}"),
        *(Cell(count, f"{count:,}", right=True) for count in counts),
        Cell(saved, f"${saved:,.2f}", right=True),
    ]


def _say_simulated(policy: Policy, found: Simulation) -> None:
    say(
        f"{many(found.calls, 'call')} of ${found.cost_usd:,.2f}: {found.refused_calls:,} would have been refused,"
        f" {found.changed_calls:,} answered by a stand-in, {found.waited_s:,} s waited;"
        f" ${found.cost_usd - found.would_cost_usd:,.2f} would have been saved"
    )
    if found.refused_calls:
        say(
            "a run whose call is refused may end there: its later calls are played although they may not have been made"
        )
    if found.unpriced_calls:
        say(f"without a price, and in no sum: {many(found.unpriced_calls, 'call')}")
    if policy.more.get("cache"):
        say("[[cache]] is not played: what a cache would have given hangs on prompts, which the lake doesn't have")
    for rule in policy.more.get("route", ()):
        if not is_played(rule):
            say(f"the route {rule.name!r} is not played: it asks for code or a schema, which the lake doesn't have")

"""`spanledger budget`: what budgets have spent and hold now, what they spent before, and how to set one right."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from spanledger.guard.decisions import exact, moment, shown
from spanledger.guard.keys import budget_key, session_window
from spanledger.guard.policy import Budget, Policy
from spanledger.guard.store import NANO, Store
from spanledger.guard.windows import Window
from spanledger.lake_path import LakePath
from spanledger_analytics.controls.balances import BudgetBalance, balances
from spanledger_analytics.controls.watch import STATE
from spanledger_dashboard.format import many

from . import lakes
from .lengths import Length
from .policies import (
    FORM,
    HOME,
    LAKE,
    POLICY,
    Cell,
    accounts_of,
    by_wire,
    load_policy,
    parse_values,
    print_rows,
)
from .progress import counting, say

if TYPE_CHECKING:
    from spanledger_analytics.controls.history import PastWindow

_ANY_TIME_MS: Final = 2**53
"""Also of a clock that is ahead."""
_BAR: Final = 10
_NAMES: Final = ("budget", "scope", "window", "spent", "held", "cap", "unit", "share", "flagged", "resets_at", "state")
_NOTHING: Final = Cell(None, "-", right=True)


@click.group("budget")
def command() -> None:
    """Look at the budgets of the policy: what is spent and held, what was before, and set one.

    \b
      spanledger budget status
      spanledger budget history --since 90d
      spanledger budget set "support, a month" --from-lake

    docs/budgets.md says where the numbers come from.
    """


@command.command("status")
@HOME
@POLICY
@click.option("--name", "names", multiple=True, help="Just this budget; can be given several times.")
@click.option("--scope", help="Just accounts of this: user_id=ann.")
@FORM
def status(home: Path | None, policy: Path | None, names: tuple[str, ...], scope: str | None, form: str) -> None:
    """Show every account of every budget: who, which window, spent, held, and what is done to the next call.

    \b
      spanledger budget status
      spanledger budget status --name "ann's day" --format json
      spanledger budget status --scope team_id=support

    `state` is ok, or the action of the highest share that is reached. `flagged` is the part of `spent` that is an
    estimate, because nobody came to settle the call. Holds that have run out are ended first, as the next call would do
    it. A dash is an account that no call has drawn on yet.
    """
    settings, rules = load_policy(home, policy)
    budgets = _named(rules, names)
    with accounts_of(settings, rules) as store:
        # Over already: a call that needs the room ends them first, so what they hold is none of what it would find.
        ended = store.sweep(_now_ms())
        found = balances(budgets, store.accounts(), _now_ms())
        compared = store.states(STATE).get(STATE)
    if scope is not None:
        found = [one for one in found if f",{scope}," in f",{one.scope},"]
    print_rows(_NAMES, [_row(one) for one in found], form)
    if not budgets:
        say(f"{rules.path} has no [[budget]]")
    if ended:
        say(f"ended, as nobody renewed them: {many(ended, 'hold')}; what had been sent is charged by estimate")
    if compared is not None:
        said = json.loads(compared)
        say(f"compared with the lake last at {said['at']}; still to be confirmed: {many(said['waiting'], 'call')}")


@command.command("history")
@HOME
@LAKE
@POLICY
@click.option("--since", type=Length(), default="30d", show_default=True, help="How far back: 90s, 5m, 4h, 2d.")
@click.option("--name", "names", multiple=True, help="Just this budget; can be given several times.")
@FORM
def history(
    home: Path | None,
    lake: LakePath | None,
    policy: Path | None,
    since: timedelta,
    names: tuple[str, ...],
    form: str,
) -> None:
    """Show past windows of budgets by the lake: what the calls that match spent, against the cap.

    \b
      spanledger budget history --since 90d
      spanledger budget history --name "support, a month" --format csv

    It asks the lake, not the store: calls count that were made before there was the budget, and by applications that
    have no policy. Calls without a price are counted, and in no sum.
    """
    from spanledger_analytics.connection import Ledger
    from spanledger_analytics.controls.history import history as windows_of
    from spanledger_analytics.scope import EVERYTHING

    settings, rules = load_policy(home, policy, lake)
    lakes.check_readable(settings.lake)
    ledger = Ledger(settings.lake, EVERYTHING)
    if ledger.version() < 0:
        lakes.say_empty(settings.lake)
    now = datetime.now(UTC)
    found: list[PastWindow] = []
    budgets = _named(rules, names)
    with counting("budgets", len(budgets)) as advance:
        for budget in budgets:
            found += windows_of(ledger, budget, now - since, now)
            advance(1)
    columns = (
        "budget",
        "scope",
        "window",
        "spent",
        "cap",
        "unit",
        "share",
        "calls",
        "unpriced_calls",
        "begins",
        "ends",
    )
    print_rows(columns, [_past(one) for one in found], form)
    for budget in budgets:
        if budget.per == "request":
            say(f"{budget.name!r} is about single calls, and has no windows")


class _Change(NamedTuple):
    """What an account is set to."""

    scope: str
    window: str
    amount: int


@command.command("set")
@HOME
@LAKE
@POLICY
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="Whose account: user_id=ann; where the budget has patterns.")
@click.option("--session", help="Whose account, of a budget of sessions.")
@click.option("--spent", metavar="AMOUNT", help="Dollars, or tokens where the budget counts these.")
@click.option("--from-lake", is_flag=True, help="What the lake says of the window so far; without --scope of all.")
def set_(
    home: Path | None,
    lake: LakePath | None,
    policy: Path | None,
    name: str,
    scopes: tuple[str, ...],
    session: str | None,
    spent: str | None,
    *,
    from_lake: bool,
) -> None:
    """Say what budget NAME has spent in the window under way.

    \b
      spanledger budget set "support, a month" --from-lake
      spanledger budget set "ann's day" --spent 0
      spanledger budget set "a user's day" --scope user_id=ann --spent 2.50

    --from-lake is for a budget that begins in mid-month. Calls that the lake doesn't have yet are not forgotten: while
    there are some, and where an account is drawn on meanwhile, it is only raised.
    """
    if (spent is None) == (not from_lake):
        raise click.UsageError("say --spent AMOUNT, or --from-lake")
    settings, rules = load_policy(home, policy, lake)
    (budget,) = _named(rules, (name,))
    if budget.per == "request":
        raise click.UsageError(f"{name!r} is about single calls, and has no account")
    scope = _scope(budget, scopes, needed=not from_lake)
    window = budget.window(_now_ms())
    with accounts_of(settings, rules) as store:
        before = _spent(store)
        if spent is not None:
            changes = [_Change(scope or "", _window(budget, window, session), _amount(budget, spent))]
            for one in changes:
                store.set_spent(budget_key(budget, one.scope, one.window), one.amount, window.until_ms, budget.unit)
        else:
            lakes.check_readable(settings.lake)
            changes, known = _from_lake(store, settings.lake, budget, window)
            changes = [one for one in changes if scope in (None, one.scope)]
            if session is not None:
                changes = [one for one in changes if one.window == session_window(session)]
            _set_as_in_lake(store, budget, window, changes, known)
        after = _spent(store)
    for one in changes:
        key = budget_key(budget, one.scope, one.window)
        was, now = (shown(amounts.get(key, 0), budget.unit) for amounts in (before, after))
        click.echo(f"{one.scope}  {one.window}  {was} -> {now}")
    if not changes:
        say("the lake has no call of it in this window; nothing is changed")


def _spent(store: Store) -> dict[str, int]:
    return {account.key: account.spent for account in store.accounts()}


def _from_lake(
    store: Store, lake: LakePath, budget: Budget, window: Window
) -> tuple[list[_Change], dict[str, int] | None]:
    """Return what accounts are by the lake, and what they had spent when it had all of that; None where it hadn't."""
    from spanledger_analytics.connection import Ledger
    from spanledger_analytics.controls.reconcile import reconcile
    from spanledger_analytics.controls.spent import spent
    from spanledger_analytics.scope import EVERYTHING

    ledger, now = Ledger(lake, EVERYTHING), datetime.now(UTC)
    waiting = reconcile(store, ledger, now, provisional=True).waiting
    # Looked at before the lake adds up: what is confirmed by then, by whomever, is in its sum.
    known = _spent(store)
    waiting = waiting or len(store.charges(_ANY_TIME_MS, 1))
    if waiting:
        say(
            f"not in the lake yet, or without a cost there: {many(waiting, 'call')};"
            " accounts are raised, none is lowered"
        )
    found = spent(ledger, budget, [window])
    changes = [_Change(one.scope, one.window.name, one.amount(budget)) for one in found]
    return sorted(changes), None if waiting else known


def _set_as_in_lake(
    store: Store, budget: Budget, window: Window, changes: Sequence[_Change], known: Mapping[str, int] | None
) -> None:
    """Set accounts that have spent what they had when the lake had all of it; others are raised."""
    drawn_on = 0
    for one in changes:
        key, until_ms, unit = budget_key(budget, one.scope, one.window), window.until_ms, budget.unit
        if known is not None and store.set_spent(key, one.amount, until_ms, unit, known.get(key, 0)):
            continue
        drawn_on += known is not None
        store.raise_spent({key: (one.amount, until_ms, unit)})
    if drawn_on:
        say(f"drawn on while the lake was asked: {many(drawn_on, 'account')}; raised, not lowered; say it again")


def _scope(budget: Budget, words: Sequence[str], *, needed: bool) -> str | None:
    """Return the scope that words name; where a budget has no patterns there is but one."""
    if not words:
        fixed = {wire: value for _, wire, value, _ in budget.match.keys if value is not None}
        scope = budget.match.scope(fixed)
        if scope is None and needed:
            raise click.UsageError(f"{budget.name!r} has an account for each {budget.match.told}; name one by --scope")
        return scope
    scope = budget.match.scope(by_wire(parse_values(words)))
    if scope is None:
        raise click.UsageError(f"{budget.name!r} is about {budget.match.told}, not about {','.join(words)}")
    return scope


def _window(budget: Budget, window: Window, session: str | None) -> str:
    if budget.per != "session":
        return window.name
    if session is None:
        raise click.UsageError(f"{budget.name!r} has an account for each session; name one by --session")
    return session_window(session)


def _amount(budget: Budget, text: str) -> int:
    try:
        number = Decimal(text.lstrip("$").replace(",", ""))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise click.UsageError(f"--spent: expected an amount of at least 0, not {text!r}")
    return int((number * (NANO if budget.unit == "usd" else 1)).to_integral_value(ROUND_CEILING))


def _named(rules: Policy, names: Sequence[str]) -> list[Budget]:
    known = {budget.name: budget for budget in rules.budgets}
    for name in names:
        if name not in known:
            raise click.UsageError(f"no budget is called {name!r}; there are {', '.join(known) or 'none'}")
    return [budget for budget in rules.budgets if not names or budget.name in names]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _row(one: BudgetBalance) -> list[Cell]:
    budget, share = one.budget, one.share
    state = f"{one.state} (shadow)" if budget.shadow and one.state != "ok" else one.state
    bar = "" if share is None else f"{share:>7.1%} {_bar(one)}"
    resets = "-" if one.resets_at is None else f"{one.resets_at.astimezone(budget.zone):%m-%d %H:%M %Z}"
    return [
        *(Cell(text, text) for text in (budget.name, one.scope, one.window)),
        *(_money(amount, budget) for amount in (one.spent, one.held, budget.cap)),
        Cell(budget.unit, ""),
        Cell(share, bar),
        _money(one.flagged, budget) if one.flagged else Cell(one.flagged if one.flagged is None else "0", ""),
        Cell(one.resets_at, resets),
        Cell(state, state),
    ]


def _money(amount: int | None, budget: Budget) -> Cell:
    if amount is None:
        return _NOTHING
    return Cell(f"{exact(amount, budget.unit):f}", shown(amount, budget.unit), right=True)


def _bar(one: BudgetBalance) -> str:
    """Draw what is spent, held and left of a budget."""
    full, used = (min(_BAR, amount * _BAR // one.budget.cap) for amount in (one.spent or 0, one.used))
    return "█" * full + "▒" * (used - full) + "·" * (_BAR - used)


def _past(one: PastWindow) -> list[Cell]:
    budget, spent = one.budget, one.spent
    begins, ends = (moment(at_ms) for at_ms in (spent.window.from_ms, spent.window.until_ms))
    return [
        *(Cell(text, text) for text in (budget.name, spent.scope, spent.window.name)),
        Cell(f"{one.used.normalize():f}", _in_words(one.used, budget), right=True),
        _money(budget.cap, budget),
        Cell(budget.unit, ""),
        Cell(one.share, f"{one.share:.1%}", right=True),
        *(Cell(count, f"{count:,}", right=True) for count in (spent.calls, spent.unpriced_calls)),
        *(Cell(at, f"{at.astimezone(budget.zone):%Y-%m-%d %H:%M %Z}") for at in (begins, ends)),
    ]


def _in_words(used: Decimal, budget: Budget) -> str:
    amount = int((used * (NANO if budget.unit == "usd" else 1)).to_integral_value(ROUND_CEILING))
    return shown(amount, budget.unit)

"""The policy, and what its store knows: accounts of budgets, calls under way, states of breakers.

It is looked at and never changed. To somebody who sees some teams only what a rule counts for one of these is shown:
its scope has to name the team by the rule's own keys, so that no value of a tag can pass for one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import streamlit as st

from spanledger import settings
from spanledger.errors import SpanledgerError
from spanledger.guard import policy_path
from spanledger.guard.breaker import PREFIX, Breaker, State, decode, key_of
from spanledger.guard.policy import Limit, Match, Policy
from spanledger.guard.policy_file import read_policy
from spanledger.guard.store import Account, StoreAwayError
from spanledger.guard.stores import FILE, open_shared
from spanledger.settings import Settings
from spanledger_analytics.controls.balances import BudgetBalance, balances
from spanledger_analytics.scope import TEAM, Scope

from .data import Lake

_PATIENCE_S: Final = 0.5
_KEPT_S: Final = 3
"""How old what the store says may be."""
_MEMORY: Final = (
    'Its accounts are in the memory of each process (store = "memory"), where nobody else sees them; what they decided '
    "stands below."
)


@dataclass(frozen=True, slots=True)
class Standing:
    """A policy and what is known of its accounts."""

    policy: Policy = field(default_factory=Policy)
    budgets: Sequence[BudgetBalance] = ()
    limits: Sequence[tuple[Limit, int | None]] = ()
    """Each with how many calls of its scopes are under way; None where that isn't known."""
    breakers: Sequence[tuple[Breaker, State]] = ()
    """A state for each scope that isn't closed; one that is closed for breakers without."""
    trouble: str = ""
    """Why the accounts, or the policy itself, can't be read."""


def standing(lake: Lake) -> Standing | None:
    """Return the policy as far as whoever looks may see it; None where there is none, or nothing of it is theirs."""
    read = settings.load()
    path = policy_path(read)
    if path is None:
        return None
    try:
        policy = read_policy(path, read)
    except SpanledgerError as error:
        return Standing(trouble=f"{error}" if lake.is_whole else "The policy can't be read.")
    accounts, states, trouble = _known(policy.store, read)
    found = _standing(policy, accounts, states, trouble, lake.scope)
    return found if lake.is_whole or found.budgets or found.breakers else None


def _standing(
    policy: Policy, accounts: Sequence[Account] | None, states: Sequence[str], trouble: str, scope: Scope
) -> Standing:
    budgets = balances(policy.budgets, accounts or (), time.time_ns() // 1_000_000)
    breakers = _breakers(policy, states)
    if scope.is_everything:
        limits = [(limit, _under_way(limit, accounts)) for limit in policy.limits]
        return Standing(policy, budgets, limits, breakers, trouble)
    teams = scope.values(TEAM)
    return Standing(
        policy,
        [one for one in budgets if one.spent is not None and is_of_teams(one.scope, [one.budget.match], teams)],
        breakers=[
            (rule, state)
            for rule, state in breakers
            if state.since_ms and is_of_teams(state.scope, _matches(rule), teams, by_session=rule.is_of_sessions)
        ],
    )


def is_of_teams(scope: str, matches: Sequence[Match], teams: Sequence[str], *, by_session: bool = False) -> bool:
    """Tell whether what a rule counts is that of one of some teams, by the keys that the rule's scopes are made of.

    Values may have commas and equal signs in them, so a scope that can be read in two ways is nobody's.
    """
    keys = {key for match in matches for key, *_ in match.keys} | ({"session_id"} if by_session else set())
    parts = scope.split(",")
    named = [part.partition("=")[0] for part in parts]
    return TEAM in keys and sorted(named) == sorted(keys) and any(f"{TEAM}={team}" in parts for team in teams)


def _matches(rule: Breaker) -> list[Match]:
    return [rule.match, *([rule.budget.match] if rule.budget is not None else [])]


def _breakers(policy: Policy, states: Sequence[str]) -> list[tuple[Breaker, State]]:
    known = []
    for text in states:
        try:
            known.append(decode(text))
        except (ValueError, TypeError, KeyError):
            continue  # of a later version; `spanledger breaker list` says so
    found: list[tuple[Breaker, State]] = []
    rules: Sequence[Breaker] = policy.more.get("breaker", ())
    for rule in rules:
        mine = [state for state in known if state.key == key_of(rule.name, state.scope)]
        found += [(rule, state) for state in sorted(mine, key=lambda state: state.scope)] or [
            (rule, State(rule.name, rule.match.told))
        ]
    return found


def _under_way(limit: Limit, accounts: Sequence[Account] | None) -> int | None:
    if accounts is None or limit.concurrent is None:
        return None
    return sum(
        account.held
        for account in accounts
        if account.kind == "lease" and account.key.startswith(f"limit/{limit.name}/")
    )


def _known(store: str, read: Settings) -> tuple[list[Account] | None, list[str], str]:
    """Return accounts, states of breakers, and why they aren't known."""
    if store == "memory":
        return None, [], _MEMORY
    if store == "sqlite" and not (read.home / FILE).exists():
        return [], [], ""
    try:
        return (*_asked(store, f"{read.home}"), "")
    except StoreAwayError as error:
        return None, [], f"The store of the policy can't be reached: {error}."
    except ImportError:
        return None, [], "The store of the policy needs a library: pip install 'spanledger[redis]'."


@st.cache_data(ttl=_KEPT_S, max_entries=8, show_spinner=False)
def _asked(store: str, home: str) -> tuple[list[Account], list[str]]:
    opened = open_shared(store, settings.load(home=home).home, _PATIENCE_S)
    try:
        return opened.accounts(), list(opened.states(PREFIX).values())
    finally:
        opened.close()

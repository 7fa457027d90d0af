"""How the policy's rules stand: what is spent and held of budgets, limits, and what breakers are in."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import polars as pl
import streamlit as st

from spanledger.guard.breaker import Breaker, State
from spanledger.guard.breaker_words import reason
from spanledger.guard.decisions import exact, moment
from spanledger.guard.policy import EVERYTHING, Limit, Match
from spanledger_analytics.controls.balances import BudgetBalance
from spanledger_analytics.spend import Doubts
from spanledger_dashboard.charts.holds import DONE, amount_words, holds_figure, name_of
from spanledger_dashboard.components.card import card
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.rows import Row, show_rows
from spanledger_dashboard.data import configured_calendar, now
from spanledger_dashboard.format import ago, day_name, many, markdown, share_used
from spanledger_dashboard.policies import Standing

_BUDGETS_PX: Final = 320
_RULES_PX: Final = 220
_MOST: Final = 12
_MOST_TOLD: Final = 4
"""Accounts that are told of in words, too."""
_READING: Final = (
    "Spent, and held by calls under way, of what may be spent. A colour is what is done to the next call, pale in"
    " shadow; marks are where that begins. What the lake doesn't have yet is in it by estimate."
)
_STATES: Final = {
    "closed": "lets every call through",
    "degraded": "has a cheaper model answer",
    "open": "refuses calls",
    "half_open": "lets a few dollars through, to see",
}


def show_trouble(known: Standing) -> None:
    """Say why the policy or its accounts can't be read."""
    if known.trouble:
        st.warning(markdown(known.trouble, 600))


@card("holds", _BUDGETS_PX)
def show_budgets(budgets: Sequence[BudgetBalance]) -> None:
    """Draw accounts of budgets, the one that is used most first, and list those that have none yet."""
    used = sorted((one for one in budgets if one.share is not None), key=_rank)
    show_heading(answer_of(budgets), _READING, Doubts())
    if used:
        show_figure(
            holds_figure(used[:_MOST]), key="holds", alt=f"Bars of what is used of each budget. {answer_of(budgets)}."
        )
    reached = [one for one in used if one.state != "ok"]
    show_rows([_reached(one) for one in reached[:_MOST_TOLD]])
    if len(reached) > _MOST_TOLD:
        st.caption(f"{len(reached) - _MOST_TOLD} more are in the table.")
    for one in (one for one in budgets if one.share is None):
        st.caption(markdown(_unused(one), 300))
    _show_table(budgets, len(used))


def _rank(one: BudgetBalance) -> tuple[Decimal, str]:
    return -(one.share or Decimal(0)), name_of(one)


def answer_of(budgets: Sequence[BudgetBalance]) -> str:
    """Say how many budgets do something to calls."""
    done = {
        action: [one for one in budgets if one.state == action] for action in ("block", "defer", "degrade", "throttle")
    }
    said = [
        f"{len(found)} {'has' if len(found) == 1 else 'have'} calls {DONE[action]}{_shadowed(found)}"
        for action, found in done.items()
        if found
    ]
    accounts = [one for one in budgets if one.share is not None]
    whole = many(len(accounts), "budget account")
    if said:
        return f"Of {whole}, {' and '.join(said)}"
    warned = sum(one.state == "warn" for one in budgets)
    if warned:
        return f"Of {whole}, {warned} {'is' if warned == 1 else 'are'} near the end"
    return f"All of {whole} have room" if len(accounts) > 1 else "Every budget has room"


def _shadowed(found: Sequence[BudgetBalance]) -> str:
    shadow = sum(one.budget.shadow for one in found)
    if not shadow:
        return ""
    return " in shadow" if shadow == len(found) else f" ({shadow} in shadow)"


def _reached(one: BudgetBalance) -> Row:
    unit = one.budget.unit
    flagged = f" {amount_words(one.flagged, unit)} of it is by estimate." if one.flagged else ""
    shadow = " In shadow: it stops nothing." if one.budget.shadow else ""
    held = f", {amount_words(one.held, unit)} held" if one.held else ""
    little = one.turns_away and one.used < one.budget.cap
    left = f" What is left is too little for calls that were {DONE[one.state]}." if little else ""
    return Row(
        share_used(one.share or Decimal(0), 1),
        f"{name_of(one)}: calls {'would be' if one.budget.shadow else 'are'} {DONE.get(one.state, one.state)}",
        f"{amount_words(one.spent, unit)} spent{held} of {amount_words(one.budget.cap, unit)} {_per(one)}."
        f"{left}{_resets(one)}{flagged}{shadow}",
    )


def _per(one: BudgetBalance) -> str:
    return {"request": "for a single call", "total": "in all"}.get(one.budget.per, f"a {one.budget.per}")


def _resets(one: BudgetBalance) -> str:
    if one.resets_at is None:
        return ""
    at = one.resets_at.astimezone(one.budget.zone)
    return f" It starts anew {day_name(at.date())} {at:%H:%M} {at:%Z}."


def _unused(one: BudgetBalance) -> str:
    cap = amount_words(one.budget.cap, one.budget.unit)
    whose = "" if one.scope == EVERYTHING else f" for {one.scope}"
    spent = "Nothing is kept of it." if one.budget.per == "request" else "No call has drawn on it yet."
    shadow = ", in shadow" if one.budget.shadow else ""
    return f"{one.budget.name}{shadow}: {cap} {_per(one)}{whose}. {spent}"


def _show_table(budgets: Sequence[BudgetBalance], used: int) -> None:
    label = f"Table of {many(used, 'account')}" if used <= _MOST else f"Table, with {used - _MOST} more"
    fold = st.expander(label, key="holds-fold", on_change="rerun", type="compact")
    if fold.open:
        with fold:
            st.dataframe(table_of(budgets), key="holds-table", hide_index=True)
            st.caption(
                "A hold of a process that died stays until it is ended: within a minute by an application or a"
                " collector, else by the first of these. The second tells past windows by the lake:"
            )
            st.code("spanledger budget status\nspanledger budget history", language="bash")


def table_of(budgets: Sequence[BudgetBalance]) -> pl.DataFrame:
    """Return accounts as a table, amounts exact, in their units."""

    def told(one: BudgetBalance, amount: int | None) -> str | None:
        return None if amount is None else f"{exact(amount, one.budget.unit):f}"

    return pl.DataFrame(
        [
            (
                one.budget.name,
                one.scope,
                one.window,
                told(one, one.spent),
                told(one, one.held),
                told(one, one.budget.cap),
                one.budget.unit,
                told(one, one.flagged),
                one.resets_at,
                f"{one.state}, in shadow" if one.budget.shadow else one.state,
            )
            for one in budgets
        ],
        schema=["budget", "scope", "window", "spent", "held", "cap", "unit", "by estimate", "starts anew", "does"],
        orient="row",
    )


@card("limits", _RULES_PX)
def show_limits(known: Standing) -> None:
    """List limits, and how many calls are under way."""
    running = [count for _, count in known.limits if count is not None]
    answer = f"{many(len(known.limits), 'limit')} on how fast calls come"
    if running:
        answer += f", {many(sum(running), 'call')} under way"
    show_heading(
        answer, "Rates slide over a minute, so what they have now isn't shown; what they refused is below.", Doubts()
    )
    show_rows([limit_row(limit, count) for limit, count in known.limits])


def limit_row(limit: Limit, running: int | None) -> Row:
    """Say what a limit lets through, and for whom."""
    most = [
        *([f"{many(limit.requests_per_minute, 'call')} a minute"] if limit.requests_per_minute is not None else []),
        *([f"{many(limit.tokens_per_minute, 'token')} a minute"] if limit.tokens_per_minute is not None else []),
        *([f"{limit.concurrent:,} at a time"] if limit.concurrent is not None else []),
    ]
    waits = f" A call waits up to {limit.max_wait_ms / 1000:g} s." if limit.max_wait_ms else ""
    shadow = " In shadow: it stops nothing." if limit.shadow else ""
    return Row(
        "" if running is None else f"{running:,} now",
        limit.name,
        f"{', '.join(most)}{_for_whom(limit.match)}.{waits}{shadow}",
    )


def _for_whom(match: Match) -> str:
    return ", for all calls together" if not match.keys else f", for {match.told}"


@card("breakers", _RULES_PX)
def show_breakers(known: Standing) -> None:
    """List breakers, those that do something first."""
    rows = sorted(known.breakers, key=lambda pair: (pair[1].name == "closed", -pair[1].since_ms))
    open_ = sum(state.name != "closed" for _, state in rows)
    whole = many(len(rows), "breaker")
    answer = f"{open_} of {whole} {'is' if open_ == 1 else 'are'} not closed" if open_ else f"Closed: {whole}"
    show_heading(answer, "Closed lets every call through; spanledger breaker reset closes one by hand.", Doubts())
    show_rows([breaker_row(rule, state) for rule, state in rows[:_MOST]])


def breaker_row(rule: Breaker, state: State) -> Row:
    """Say what a breaker is in, since when, and why."""
    name = state.name.replace("_", "-")
    whose = "" if state.scope == EVERYTHING else f", {state.scope}"
    shadow = " In shadow: it stops nothing." if rule.shadow else ""
    does = _STATES[state.name]
    if not state.since_ms:
        return Row(name, f"{rule.name}{whose}", f"It {does}.{shadow}")
    since = moment(state.since_ms)
    at = configured_calendar().local(since)
    why = f": {reason(state)}" if state.name != "closed" else ""
    return Row(
        name,
        f"{rule.name}{whose}",
        f"It {does}, since {day_name(at.date())} {at:%H:%M} ({ago(since, now())}){why}.{shadow}",
    )

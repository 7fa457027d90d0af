"""What a refusal says: the sentence that a person reads, the error that a program gets, the decision on the span."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from spanledger.errors import BudgetExceeded, LimitExceeded, Refusal

from .decisions import Decision, Kind, exact, moment, shown
from .plans import Plan
from .policy import Action, Budget, Limit, Threshold
from .store import Balance, Line


class Refused(NamedTuple):
    """A refusal, as the application and as the span get it."""

    refusal: Refusal
    decision: Decision


def no_money(rule: Budget, plan: Plan, balance: Balance, now_ms: int) -> Refused:
    """Say that a budget has no room for a call."""
    line, share = plan.line, rule.block_share()
    action: Action = "defer" if any(one.share == share and one.action == "defer" for one in rule.at) else "block"
    cap = line.cap + (0 if line.amount else 1)
    until_ms = plan.until_ms if rule.per not in ("session", "total") else None
    held = f" and {shown(balance.held, rule.unit)} held by calls under way" if balance.held else ""
    ends = f"; it starts anew at {moment(until_ms):%Y-%m-%d %H:%M} UTC" if until_ms is not None else ""
    message = (
        f"The budget '{rule.name}' ({plan.scope}) has {shown(cap, rule.unit)} {_per(rule)}:"
        f" {shown(balance.spent, rule.unit)} spent{held}, and this call may cost {shown(line.amount, rule.unit)}{ends}."
    )
    return Refused(
        BudgetExceeded(
            message,
            policy=rule.name,
            scope=plan.scope,
            action=action,
            unit=rule.unit,
            limit=exact(cap, rule.unit),
            spent=exact(balance.spent, rule.unit),
            held=exact(balance.held, rule.unit),
            resets_at=moment(until_ms) if until_ms is not None else None,
            retry_after_s=(until_ms - now_ms) / 1000 if until_ms is not None else None,
        ),
        Decision(
            rule.name,
            "budget",
            plan.scope,
            action,
            message,
            False,
            rule.unit,
            cap,
            balance.spent,
            balance.held,
            line.amount,
            until_ms,
        ),
    )


def too_fast(plan: Plan, balance: Balance, retry_ms: int) -> Refused:
    """Say that a limit has no room for a call; `retry_ms` as a reservation has it."""
    line = plan.line
    used = balance.held if line.kind == "lease" else balance.spent
    again = f"; try again in {max(1, -(-retry_ms // 1000))} s" if retry_ms > 0 else ""
    if retry_ms < 0:
        again = "; the call alone is larger than that"
    message = f"The limit '{plan.rule.name}' ({plan.scope}) {rate_words(line, line.cap)}{again}."
    return Refused(
        LimitExceeded(
            message,
            policy=plan.rule.name,
            scope=plan.scope,
            unit=line.unit,
            limit=exact(line.cap, line.unit),
            spent=exact(used, line.unit),
            retry_after_s=retry_ms / 1000 if retry_ms > 0 else (1.0 if retry_ms == 0 else None),
        ),
        Decision(
            plan.rule.name,
            _kind(plan),
            plan.scope,
            "block",
            message,
            False,
            line.unit,
            line.cap,
            used,
            None,
            line.amount,
        ),
    )


def share_reached(rule: Budget, plan: Plan, balance: Balance, reached: Threshold) -> Decision:
    """Say that a share of a budget is gone, now that the call is in."""
    used, percent = shown(balance.spent + balance.held, rule.unit), reached.percent
    sentence = f"{used} of {shown(rule.cap, rule.unit)} spent or held, {percent} reached"
    return Decision(
        rule.name,
        "budget",
        plan.scope,
        reached.action,
        sentence,
        rule.shadow,
        rule.unit,
        rule.cap,
        balance.spent,
        balance.held - plan.line.amount,
        plan.line.amount,
        plan.until_ms,
    )


def limit_passed(rule: Limit, plan: Plan, balance: Balance) -> list[Decision]:
    """Say that a limit in shadow would have had no room for the call, where it hadn't."""
    line = plan.line
    cap = {"calls": rule.requests_per_minute, "tokens": rule.tokens_per_minute}.get(line.unit)
    used = balance.spent if line.kind == "rate" else balance.held
    cap = rule.concurrent if line.kind == "lease" else cap
    if cap is None or used <= cap:
        return []
    sentence = rate_words(line, cap)
    return [Decision(rule.name, "limit", plan.scope, "block", sentence, True, line.unit, cap, used)]


def throttled(plan: Plan) -> Decision:
    """Say that a call waits for room."""
    line = plan.line
    sentence = f"waited for room: {rate_words(line, line.cap)}"
    return Decision(plan.rule.name, _kind(plan), plan.scope, "throttle", sentence, False, line.unit, line.cap)


def alone(rule: Budget, scope: str, amount: int, action: Action) -> Refused:
    """Say that a single call may cost more than a budget lets one."""
    message = (
        f"The budget '{rule.name}' ({scope}) lets a single call cost {shown(rule.cap, rule.unit)}, and this one may"
        f" cost {shown(amount, rule.unit)}."
    )
    nothing = exact(0, rule.unit)
    return Refused(
        BudgetExceeded(
            message,
            policy=rule.name,
            scope=scope,
            action=action,
            unit=rule.unit,
            limit=exact(rule.cap, rule.unit),
            spent=nothing,
            held=nothing,
        ),
        Decision(rule.name, "budget", scope, action, message, rule.shadow, rule.unit, rule.cap, 0, 0, amount),
    )


def without_price(rule: Budget, scope: str, provider: str, model: str) -> Refused:
    """Say that a budget takes no call whose price is not known."""
    return _closed(
        rule,
        scope,
        f"The budget '{rule.name}' ({scope}) takes no call of unknown price: {provider} {model} is not in the price"
        " book. Add it to your contract, or set unknown_price of the budget.",
    )


def store_away(store: object, rules: Iterable[tuple[object, str]]) -> Refused | None:
    """Say that a budget can't be looked up, and is one that lets nothing through then; None: none of these is."""
    if not getattr(store, "away", False):
        return None
    for rule, scope in rules:
        if isinstance(rule, Budget) and rule.fail_closed and not rule.shadow:
            message = (
                f"The budget '{rule.name}' ({scope}) can't be looked up: its store is away, and store_away is closed."
            )
            return _closed(rule, scope, message)
    return None


def rate_words(line: Line, cap: int) -> str:
    """Say how much a limit lets through."""
    if line.kind == "lease":
        return f"lets {cap:,} calls be under way at a time"
    return f"lets {shown(cap, line.unit)} a minute through"


def _per(rule: Budget) -> str:
    return {"total": "in all", "hour": "an hour"}.get(rule.per, f"a {rule.per}")


def _closed(rule: Budget, scope: str, message: str) -> Refused:
    return Refused(
        BudgetExceeded(message, policy=rule.name, scope=scope, unit=rule.unit, limit=exact(rule.cap, rule.unit)),
        Decision(rule.name, "budget", scope, "block", message, False, rule.unit, rule.cap),
    )


def _kind(plan: Plan) -> Kind:
    return "budget" if plan.throttles else "limit"

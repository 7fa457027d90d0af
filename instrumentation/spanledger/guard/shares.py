"""What a budget decides of a call by the shares of it that are used: `at` in the policy.

What is done from a share on is done to every call, `degrade` also where a later share has something else done; that a
share was reached is told once, of each account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .decisions import Decision
from .plans import Plan
from .policy import Budget, Threshold
from .store import Balance
from .words import Refused, alone, share_reached

if TYPE_CHECKING:
    from .gate import Gate

_STOPPING: Final = ("block", "defer")


def reached(gate: Gate, rule: Budget, plan: Plan, balance: Balance, *, degraded: bool) -> list[Decision]:
    """Return what an account calls for, now that the call is in; its gate learns whether its calls are slowed down.

    A call that is `degraded` isn't so once more.
    """
    used = balance.spent + balance.held
    if used < rule.reached_from[0]:
        if not rule.shadow:
            gate.throttle(plan.line.key, False)
        return []
    levels = zip(rule.at, rule.reached_from, strict=True)
    found = [one for one, level in levels if used >= level and one.action != "allow"]
    if not rule.shadow:
        gate.throttle(plan.line.key, any(one.action == "throttle" for one in found))
    if not rule.shadow or rule.stops_above is None or used <= rule.stops_above:
        found = [one for one in found if one.action not in _STOPPING]  # there was room for the call
    last = found[-1:]
    degrading = [one for one in found if one.action == "degrade"][-1:]
    told = last if last == degrading else [*degrading, *last]
    return [share_reached(rule, plan, balance, one) for one in told if _is_told(gate, rule, plan, one, degraded)]


def _is_told(gate: Gate, rule: Budget, plan: Plan, one: Threshold, degraded: bool) -> bool:
    if one.action == "degrade":
        return not degraded
    return rule.shadow or gate.first_time(plan.line.key, one.share)


def of_one_call(
    rule: Budget, scope: str, amount: int, before: Sequence[Decision], *, degraded: bool
) -> tuple[Refused | None, list[Decision]]:
    """Hold a single call against a budget of single calls: what refuses it, and what is decided beside that `before`.

    One that is too dear, and might be less so at another model, is refused only if there is none. The rule says what it
    has to say once, however often the call asks.
    """
    nothing = ("allow", "degrade") if degraded else ("allow",)
    found = [one for one in rule.at if amount > rule.cap * one.share and one.action not in nothing]
    if not found:
        return None, []
    refused = alone(rule, scope, amount, found[-1].action)
    stops = not rule.shadow and found[-1].action in _STOPPING
    degrades = not rule.shadow and any(one.action == "degrade" for one in found)
    decided = refused.decision._replace(action="degrade") if degrades else refused.decision
    said = any(one.rule == rule.name and one.kind == "budget" for one in before)
    return refused if stops else None, [decided] if not said and (degrades or not stops) else []

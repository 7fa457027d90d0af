"""What breakers see: sums that all processes share, kept in the store as accounts without a cap.

They are drawn on along with the call's budgets, in the same round trip, so that evidence costs none of its own. What
the call itself will cost is left out: a breaker trips on what went and what is under way, and the call that is stopped
is the one after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final

from .breaker import Breaker, Measured, State, key_of
from .decisions import shown
from .plans import MINUTE_MS
from .store import NO_CAP, Balance, Line
from .windows import session_until

_QUARTER_MS: Final = 15 * MINUTE_MS
_DAY_MS: Final = 96 * _QUARTER_MS
_QUARTERS_BEFORE: Final = 95
"""Quarters of an hour in a day, without the last one."""


def of_breaker(rule: Breaker, state: State, session: str, usd: int, now_ms: int) -> Iterator[Line]:
    """Yield what a call that may cost `usd` counts for in a breaker's evidence, and in its allowance if it has one."""
    home = key_of(rule.name, state.scope)
    if rule.usd_per_minute is not None:
        yield Line(f"{home}/minute", "rate", "usd", usd, NO_CAP, 0, MINUTE_MS)
    if rule.velocity is not None:
        yield Line(f"{home}/quarter", "rate", "usd", usd, NO_CAP, 0, _QUARTER_MS)
        if rule.usual_per_hour is None:
            yield Line(f"{home}/day", "rate", "usd", usd, NO_CAP, 0, _DAY_MS)
    if rule.is_of_sessions:
        until_ms = session_until(session, now_ms)
        if rule.session_usd is not None:
            yield Line(f"{home}/usd", "budget", "usd", usd, NO_CAP, until_ms)
        if rule.session_calls is not None:
            yield Line(f"{home}/calls", "budget", "calls", 1, NO_CAP, until_ms)
    if state.name == "half_open":
        # What is let through has no room once the allowance is used up; the call that does so has.
        cap = NO_CAP if rule.shadow else rule.allowance + usd - 1
        yield Line(allowance_key(state), "budget", "usd", usd, cap, state.since_ms + rule.hold_ms)


def allowance_key(state: State) -> str:
    """Return the account of what half-open lets through: each time one of its own."""
    return f"{state.key}/allowance/{state.since_ms}"


def measure(
    rule: Breaker,
    scope: str,
    used: Mapping[str, Balance],
    budget_used: int | None,
    attempts: Sequence[int],
    now_ms: int,
) -> list[Measured]:
    """Return what each trip sees.

    Args:
        rule: The breaker.
        scope: Whom it counts.
        used: Account to what others have in it, spent or held.
        budget_used: What is spent and held of the budget that the rule names, if that is known.
        attempts: Of the calls made last, as far as this process made them.
        now_ms: Unix milliseconds.
    """
    home = key_of(rule.name, scope)

    def has(account: str) -> int:
        return sum(used.get(f"{home}/{account}", ()))

    found: list[Measured] = []
    if rule.budget is not None and budget_used is not None:
        found.extend(_of_budget(rule, budget_used, now_ms))
    if rule.usd_per_minute is not None:
        found.append(Measured("usd_per_minute", has("minute"), rule.usd_per_minute, "usd"))
    if rule.velocity is not None:
        quarter, day = has("quarter"), has("day")
        found.append(Measured("velocity", quarter, _too_much_of_quarter(rule, quarter, day), "usd"))
    if rule.session_usd is not None:
        found.append(Measured("session_usd", has("usd"), rule.session_usd, "usd"))
    if rule.session_calls is not None:
        found.append(Measured("session_calls", has("calls"), rule.session_calls, "calls"))
    if rule.retry_share is not None and len(attempts) >= rule.retry_calls:
        made = sum(attempts)
        most = max(1, -(-made * rule.retry_share.numerator // rule.retry_share.denominator))
        found.append(Measured("retry_share", made - len(attempts), most, "calls"))
    return found


def _of_budget(rule: Breaker, used: int, now_ms: int) -> Iterator[Measured]:
    if rule.budget is None:
        return
    budget, (_, from_ms, until_ms) = rule.budget, rule.budget.window(now_ms)
    if rule.budget_share is not None:
        yield Measured("budget_share", used, rule.budget_share, budget.unit, until_ms)
    elapsed_ms, length_ms = now_ms - from_ms, until_ms - from_ms
    if rule.forecast is not None and elapsed_ms * 10 >= length_ms:  # before that it would multiply chance
        yield Measured("forecast", used * length_ms // elapsed_ms, rule.forecast, budget.unit, until_ms)


def _too_much_of_quarter(rule: Breaker, quarter: int, day: int) -> int:
    stated = rule.usual_per_hour
    usual = stated // 4 if stated is not None else max(0, day - quarter) // _QUARTERS_BEFORE
    times = rule.velocity or Fraction(1)
    return max(rule.velocity_floor, usual * times.numerator // times.denominator, 1)


_SENTENCES: Final = {
    "budget_share": "{value} of the budget is spent or held",
    "forecast": "at this pace the budget's window comes to {value}",
    "usd_per_minute": "{value} went in a minute",
    "velocity": "{value} went in a quarter of an hour",
    "session_usd": "one session has spent {value}",
    "session_calls": "one session has made {value}",
    "retry_share": "attempts were made again for {value}",
}


def sentence(seen: Measured) -> str:
    """Say what a trip saw."""
    value, limit = shown(seen.value, seen.unit), shown(seen.limit, seen.unit)
    return f"{_SENTENCES[seen.trip].format(value=value)}, and it is set to {limit}"

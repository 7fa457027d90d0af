"""What one call draws on: a line of the store for each account of each rule that is about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from .breaker import Breaker
from .keys import budget_key, session_window
from .policy import Budget, Limit
from .store import NO_CAP, Line, Unit
from .windows import session_until

MINUTE_MS: Final = 60_000


class Plan(NamedTuple):
    """A line of one rule."""

    line: Line
    rule: Budget | Limit | Breaker
    scope: str
    until_ms: int | None = None
    """When the window ends."""
    throttles: bool = False
    """The line is there because a budget slows its calls down."""


def of_budget(
    rule: Budget, scope: str, session: str, amount: int, now_ms: int, is_throttled: Callable[[str], bool]
) -> Iterator[Plan]:
    """Yield what a call that may cost `amount` draws on for a budget."""
    window = rule.window(now_ms)
    name, until_ms = window.name, window.until_ms
    if rule.per == "session":
        name, until_ms = session_window(session), session_until(session, now_ms)
    key = budget_key(rule, scope, name)
    cap = NO_CAP
    if rule.stops_above is not None and not rule.shadow:
        # What holds nothing is refused once all is spent.
        cap = rule.stops_above - (0 if amount else 1)
    yield Plan(Line(key, "budget", rule.unit, amount, cap, until_ms), rule, scope, until_ms)
    if not rule.shadow and is_throttled(key):
        line = Line(f"throttle/{rule.name}/{scope}", "rate", "calls", 1, rule.throttled_per_minute, 0, MINUTE_MS)
        yield Plan(line, rule, scope, until_ms, throttles=True)


def of_limit(rule: Limit, scope: str, tokens: Callable[[], int]) -> Iterator[Plan]:
    """Yield what a call draws on for a limit; `tokens` tells how many it may use."""

    def rate(unit: Unit, amount: int, cap: int) -> Plan:
        key = f"limit/{rule.name}/{scope}/{unit}"
        return Plan(Line(key, "rate", unit, amount, NO_CAP if rule.shadow else cap, 0, MINUTE_MS), rule, scope)

    if rule.requests_per_minute is not None:
        yield rate("calls", 1, rule.requests_per_minute)
    if rule.tokens_per_minute is not None:
        yield rate("tokens", tokens(), rule.tokens_per_minute)
    if rule.concurrent is not None:
        cap = NO_CAP if rule.shadow else rule.concurrent
        yield Plan(Line(f"limit/{rule.name}/{scope}/concurrent", "lease", "calls", 1, cap), rule, scope)

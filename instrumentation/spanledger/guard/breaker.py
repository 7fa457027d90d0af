"""A spend breaker: a rule that watches how money goes, and the state that what it sees puts it in.

`step` is a pure function of rule, state, evidence and time. What trips are about is money, not failures, so half-open
lets dollars through, not requests. Evidence is always how much against how much: that makes one level of all trips, and
`at` says from which share of their limits on calls are degraded or blocked. There is one state for each scope.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from .decisions import shown
from .policy import EVERYTHING, Action, Budget, Match, Threshold
from .store import NANO, Unit

StateName: TypeAlias = Literal["closed", "degraded", "open", "half_open"]
TripKind: TypeAlias = Literal[
    "budget_share", "forecast", "usd_per_minute", "velocity", "session_usd", "session_calls", "retry_share"
]
RESET: Final = Fraction(4, 5)
"""Part of the share that tripped below which spend is calm."""
CALM_TIMES: Final = 2
APART_MS: Final = 10_000
"""Calm that is seen sooner than this after it was seen last is the same calm."""
FORGET_MS: Final = 86_400_000
"""A state that nothing has changed for so long is forgotten: where its reason is still there, it comes back at once."""
_SLIDES_MS: Final[Mapping[str, int]] = {"usd_per_minute": 120_000, "velocity": 1_800_000}
"""Trip to how long after a reset it may still see what was before it."""
_STATES: Final[Mapping[Action, StateName]] = {"degrade": "degraded", "block": "open"}


@dataclass(frozen=True, slots=True)
class Breaker:
    """How money may go, and what is done once it goes otherwise; amounts in nano-dollars."""

    name: str
    match: Match
    at: tuple[Threshold, ...] = (Threshold(Fraction(1), "block"),)
    """By share of every trip's limit, the smallest first; degrade and block."""
    hold_ms: int = 300_000
    """How long a state lasts at least, and how long half-open lasts at most."""
    allowance: int = NANO // 2
    """What half-open lets through; the call that uses it up is let through whole."""
    budget: Budget | None = None
    budget_share: int | None = None
    """What is spent and held of the budget, in its unit: nano-dollars or tokens."""
    forecast: int | None = None
    """What the budget's window comes to at its pace, in the same unit."""
    usd_per_minute: int | None = None
    velocity: Fraction | None = None
    """Times the usual."""
    velocity_floor: int = 0
    """What a quarter of an hour may cost whatever is usual."""
    usual_per_hour: int | None = None
    """None: the mean of the last 24 hours."""
    session_usd: int | None = None
    session_calls: int | None = None
    retry_share: Fraction | None = None
    retry_calls: int = 20
    """How many calls the share is taken over; of fewer it says nothing."""
    flags: tuple[str, ...] = ()
    """Feature flags that are off unless it is closed."""
    shadow: bool = False

    @property
    def is_of_sessions(self) -> bool:
        """Whether there is a state for each session."""
        return self.session_usd is not None or self.session_calls is not None

    @property
    def does(self) -> str:
        """What is done at which part of which limits, in words."""
        done = ", ".join(f"{one.action} at {one.percent}" for one in self.at)
        unit: Unit = self.budget.unit if self.budget is not None else "usd"
        budget = f"budget '{self.budget.name}'" if self.budget is not None else ""
        told: tuple[tuple[int | None, Unit, str], ...] = (
            (self.budget_share, unit, f"of {budget}"),
            (self.forecast, unit, f"forecast for {budget}"),
            (self.usd_per_minute, "usd", "a minute"),
            (self.session_usd, "usd", "a session"),
            (self.session_calls, "calls", "a session"),
        )
        limits = [f"{shown(most, of)} {words}" for most, of, words in told if most is not None]
        if self.velocity is not None:
            limits.append(f"{float(self.velocity):g} times the usual")
        if self.retry_share is not None:
            limits.append(f"{float(self.retry_share * 100):g} % of attempts made again")
        return f"{done} of {', '.join(limits)}"

    def scope(self, values: Mapping[str, str], session: str) -> str | None:
        """Name what a call counts for; None where the rule isn't about it.

        A breaker on a budget is one for each scope of that budget, as the evidence is.
        """
        own = self.match.scope(values)
        if own is None or (self.budget is None and not self.is_of_sessions):
            return own
        parts = [own]
        named = {key for key, *_ in self.match.keys}
        if self.budget is not None:
            theirs = self.budget.match.scope(values)
            if theirs is None:
                return None
            if not named.issuperset(key for key, *_ in self.budget.match.keys):
                parts.append(theirs)
        if self.is_of_sessions and "session_id" not in named:
            parts.append(f"session_id={session}")
        return ",".join(part for part in parts if part != EVERYTHING) or EVERYTHING


class Measured(NamedTuple):
    """What one trip sees: how much, and how much makes it trip."""

    trip: TripKind
    value: int
    limit: int
    unit: Unit
    until_ms: int = 0
    """When the budget's window ends; 0 where it is about none."""


@dataclass(frozen=True, slots=True)
class State:
    """What a breaker is in for one scope; times in Unix milliseconds."""

    breaker: str
    scope: str
    name: StateName = "closed"
    since_ms: int = 0
    trip: Measured | None = None
    """What put it there."""
    until_ms: int = 0
    """When it closes whatever is seen; 0 for not by time."""
    by_hand: bool = False
    """Somebody put it there; no evidence changes it."""
    calm: int = 0
    calm_ms: int = 0
    """How often in a row spend was calm, and when last."""
    forgive: bool = False
    """Reset by hand: what is seen next is not held against it."""
    forgiven: Mapping[str, int] = field(default_factory=dict)
    """Trip to what is left out of what it sees."""

    @property
    def key(self) -> str:
        """Where a store keeps it."""
        return key_of(self.breaker, self.scope)

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to keep."""
        return self.name == "closed" and not self.forgive and not self.forgiven

    def is_stale(self, now_ms: int) -> bool:
        """Tell whether it is to be forgotten."""
        if self.by_hand or self.until_ms:
            return 0 < self.until_ms <= now_ms
        return now_ms - max(self.since_ms, self.calm_ms) > FORGET_MS


PREFIX: Final = "breaker/"


def key_of(name: str, scope: str) -> str:
    """Return where a store keeps the state of a breaker for a scope."""
    return f"{PREFIX}{name}/{scope}"


def encode(state: State) -> str | None:
    """Return a state as a store keeps it: JSON; None where there is nothing to keep."""
    if state.is_plain:
        return None
    plain = State("", "")
    told = {key: value for key, value in asdict(state).items() if value != getattr(plain, key)}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def decode(text: str) -> State:
    """Read a state; raises ValueError, TypeError or KeyError for what is none."""
    told: dict[str, Any] = json.loads(text)
    if told.get("trip") is not None:
        told["trip"] = Measured(*told["trip"])
    return State(**told)


def is_reached(rule: Breaker, measured: Sequence[Measured]) -> bool:
    """Tell whether anything has come to the first share that something is done from."""
    first = rule.at[0].share
    above, below = first.numerator, first.denominator
    return any(one.value * below >= one.limit * above for one in measured)


def step(rule: Breaker, state: State, measured: Sequence[Measured], let_through: int, now_ms: int) -> State:
    """Return the state that what is seen puts a breaker in; `let_through` is what half-open calls have spent."""
    if 0 < state.until_ms <= now_ms:
        state = State(state.breaker, state.scope, since_ms=now_ms)
    if state.forgive:
        return replace(state, forgive=False, since_ms=now_ms, forgiven={one.trip: one.value for one in measured})
    if state.by_hand:
        return state
    if state.since_ms - now_ms > rule.hold_ms:  # the clock was set back: it is held from now on, not from then
        state = replace(state, since_ms=now_ms, calm_ms=0)
    seen = [_unforgiven(one, state, now_ms) for one in measured]
    worst = max(seen, key=lambda one: Fraction(one.value, one.limit), default=None)
    return _move(rule, state, worst, let_through, now_ms)


def _unforgiven(one: Measured, state: State, now_ms: int) -> Measured:
    slides_ms = _SLIDES_MS.get(one.trip)
    if slides_ms is not None and now_ms - state.since_ms > slides_ms:
        return one
    return one._replace(value=max(0, one.value - state.forgiven.get(one.trip, 0)))


def _move(rule: Breaker, state: State, worst: Measured | None, let_through: int, now_ms: int) -> State:
    level = Fraction(worst.value, worst.limit) if worst is not None else Fraction(0)
    reached: list[StateName] = [_STATES[one.action] for one in rule.at if level >= one.share]
    asked: StateName = reached[-1] if reached else "closed"
    if asked == "open" and state.name != "open":
        return _enter(state, "open", worst, now_ms)
    if state.name == "closed":
        return state if asked == "closed" else _enter(state, asked, worst, now_ms)
    held = now_ms - state.since_ms >= rule.hold_ms
    if state.name == "half_open":
        return _enter(state, asked, worst, now_ms) if held or let_through >= rule.allowance else state
    state = _calmed(rule, state, level, now_ms)
    if not held or state.calm < CALM_TIMES:
        return state
    return _enter(state, "half_open" if state.name == "open" else "closed", worst, now_ms)


def _calmed(rule: Breaker, state: State, level: Fraction, now_ms: int) -> State:
    """Count calm: below a part of the share that put it there, so that it does not go on and off at that share."""
    share = next((one.share for one in rule.at if _STATES[one.action] == state.name), Fraction(1))
    if level >= share * RESET:
        return replace(state, calm=0, calm_ms=0) if state.calm else state
    if state.calm >= CALM_TIMES or 0 <= now_ms - state.calm_ms < APART_MS:
        return state
    return replace(state, calm=state.calm + 1, calm_ms=now_ms)


def _enter(state: State, name: StateName, why: Measured | None, now_ms: int) -> State:
    trip = None if name == "closed" else state.trip if name == "half_open" else why
    until_ms = trip.until_ms if trip is not None else 0
    return State(state.breaker, state.scope, name, now_ms, trip=trip, until_ms=until_ms, forgiven=dict(state.forgiven))

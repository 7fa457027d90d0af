"""A policy: the rules that calls are held against, as plain data.

What a rule is about (`match`) and what it counts for (a scope: one account for each value that a pattern found) come
from the same few keys. All rules that match a call apply; none wins over another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from spanledger import names
from spanledger.tagging import KNOWN

from .windows import Per, Window, window

Action: TypeAlias = Literal["allow", "warn", "throttle", "degrade", "defer", "block"]
ACTIONS: Final[tuple[Action, ...]] = ("allow", "warn", "throttle", "degrade", "defer", "block")
"""From the mildest to the hardest."""
Estimate: TypeAlias = Literal["strict", "expected", "postpaid"]

WIRE_NAMES: Final[Mapping[str, str]] = {
    **KNOWN,
    "environment": "deployment.environment.name",
    "model": names.REQUEST_MODEL,
    "provider": names.PROVIDER,
}
"""Key of `match` to the wire name of what it looks at; any other key is a tag of the application's own."""
EVERYTHING: Final = "everything"


class Facts(NamedTuple):
    """What is known of a call before it is made, for rules to match."""

    values: Mapping[str, str]
    """By wire name: tags, provider, model, environment."""
    session: str
    """The session, or else the `Trace` that the call is in."""


@dataclass(frozen=True, slots=True)
class Match:
    """Which calls a rule is about; all keys have to match, and a call without one of them does not."""

    keys: tuple[tuple[str, str, str | None, Callable[[str], object] | None], ...] = ()
    """Key, wire name and either the value or what takes those that a pattern means."""
    told: str = EVERYTHING
    """As people read it: user_id=*,feature=draft."""

    def scope(self, values: Mapping[str, str]) -> str | None:
        """Name what a call counts for, as `user_id=ann`; None where the rule isn't about it."""
        if not self.keys:
            return EVERYTHING
        found = []
        for key, wire, exact, pattern in self.keys:
            value = values.get(wire)
            if not value or (exact is not None and value != exact) or (pattern is not None and not pattern(value)):
                return None
            found.append(f"{key}={value}")
        return ",".join(found)


def make_match(given: Mapping[str, str]) -> Match:
    """Make a match from keys to values, in which `*` stands for any text."""
    keys = []
    for key, value in given.items():
        wire = WIRE_NAMES.get(key) or names.TAG_PREFIX + key
        pattern = _pattern(value) if "*" in value else None
        keys.append((key, wire, None if pattern else value, pattern))
    return Match(tuple(keys), ",".join(f"{key}={value}" for key, value in given.items()) or EVERYTHING)


def _pattern(text: str) -> Callable[[str], object]:
    if text == "*":
        return bool
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL).fullmatch


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which part of a budget on something is done."""

    share: Fraction
    action: Action

    @property
    def percent(self) -> str:
        """The share, as people read it."""
        return f"{float(self.share * 100):g} %"


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent, by whom, and in which time."""

    name: str
    match: Match
    per: Per
    cap: int
    """Nano-dollars, or tokens."""
    unit: Literal["usd", "tokens"]
    at: tuple[Threshold, ...]
    """By share, the smallest first."""
    estimate: Estimate = "expected"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    billing_day: int = 1
    unknown_price: int | Literal["allow", "deny"] = "allow"
    """What a call without a known price gets; a number is held in nano-dollars."""
    fail_closed: bool = False
    """Refuse where the store can't be reached."""
    throttled_per_minute: int = 6
    """Requests that the action `throttle` lets through."""
    shadow: bool = False
    reached_from: tuple[int, ...] = field(init=False, compare=False, repr=False)
    """From which amount on each of `at` is reached."""
    stops_above: int | None = field(init=False, compare=False, repr=False)
    """The most that may be spent and held, where calls are refused or put off at all."""

    def __post_init__(self) -> None:
        # Worked out once: every call asks, and fractions are slow.
        object.__setattr__(self, "reached_from", tuple(ceil(self.cap * one.share) for one in self.at))
        share = self.block_share()
        object.__setattr__(self, "stops_above", None if share is None else max(1, int(self.cap * share)))

    def window(self, at_ms: int) -> Window:
        """Return the window that a moment belongs to."""
        return _kept_window(self.per, at_ms // 1000, self.zone, self.billing_day)

    def block_share(self) -> Fraction | None:
        """Return from which share on calls are refused or put off, if ever."""
        return next((one.share for one in self.at if one.action in ("block", "defer")), None)


@lru_cache(maxsize=256)
def _kept_window(per: Per, at_s: int, zone: ZoneInfo, billing_day: int) -> Window:
    return window(per, at_s * 1000, zone, billing_day)


def fixed_price(rules: Iterable[object]) -> int:
    """Return what a call of unknown price is charged, nano-dollars: the most that a budget states for such."""
    stated = (rule.unknown_price for rule in rules if isinstance(rule, Budget))
    return max((amount for amount in stated if isinstance(amount, int)), default=0)


@dataclass(frozen=True, slots=True)
class Limit:
    """How fast calls may come, and how many at a time."""

    name: str
    match: Match
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    max_wait_ms: int = 0
    """How long a call may wait for room before it is refused."""
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Degrade:
    """What stands in for a model where a budget or a breaker asks for something cheaper."""

    name: str
    model: str
    to: str
    drop: tuple[str, ...] = ()
    """Parameters that are left out, because the other model refuses them."""
    supports: tuple[str, ...] = ()
    """What the other model takes, beside what is known of it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules, and where their accounts are."""

    store: str = "memory"
    """memory | sqlite | redis://..."""
    budgets: tuple[Budget, ...] = ()
    limits: tuple[Limit, ...] = ()
    degrades: tuple[Degrade, ...] = ()
    more: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Rules of other kinds, by kind: breaker, cache, route."""
    path: str = ""

    @property
    def rules(self) -> tuple[Budget | Limit, ...]:
        """What calls draw on."""
        return (*self.budgets, *self.limits)

    def about(self, values: Mapping[str, str]) -> list[tuple[Budget | Limit, str]]:
        """Return the rules that are about a call, each with whom it counts for; `values` by wire name."""
        return [(rule, scope) for rule in self.rules if (scope := rule.match.scope(values)) is not None]

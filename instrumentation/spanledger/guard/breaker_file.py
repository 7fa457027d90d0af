"""Reading `[[breaker]]` of a policy."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

from .breaker import Breaker
from .policy import Budget, Threshold
from .policy_file import SHARED, Kind, PolicyEntry, thresholds

_TIMES: Final = re.compile(r"(\d{1,4}(?:\.\d{1,2})?)\s*x")
_OF_BUDGETS: Final = ("budget_share", "forecast")
_OF_SESSIONS: Final = ("session_usd", "session_calls")
_OTHERS: Final = ("usd_per_minute", "velocity", "retry_share")
_TRIPS: Final = (*_OF_BUDGETS, *_OF_SESSIONS, *_OTHERS)
_GOES_WITH: Final = {
    "velocity_floor_usd": "velocity",
    "usual_usd_per_hour": "velocity",
    "retry_calls": "retry_share",
}
"""Key to the one that it says more about."""


def _breaker(entry: PolicyEntry) -> Breaker:
    given = entry.given
    _check(entry)
    budget = _budget(entry)
    rule = Breaker(
        name=entry.text("name"),
        match=entry.match(),
        at=_at(entry),
        hold_ms=entry.duration_ms("hold", 300_000),
        budget=budget,
        budget_share=_share_of(entry, "budget_share", budget),
        forecast=_share_of(entry, "forecast", budget),
        usd_per_minute=_nano(entry, "usd_per_minute"),
        velocity=_times(entry),
        velocity_floor=_nano(entry, "velocity_floor_usd") or 0,
        usual_per_hour=_nano(entry, "usual_usd_per_hour"),
        session_usd=_nano(entry, "session_usd"),
        session_calls=entry.whole("session_calls"),
        retry_share=_share(entry, "retry_share"),
        retry_calls=entry.whole("retry_calls", least=5) or 20,
        flags=entry.texts("flags"),
        shadow=entry.switch("shadow"),
    )
    return replace(rule, allowance=entry.nano("allowance_usd", given["allowance_usd"])) if _allows(entry) else rule


def _allows(entry: PolicyEntry) -> bool:
    return "allowance_usd" in entry.given


def _check(entry: PolicyEntry) -> None:
    given = entry.given
    if not any(key in given for key in _TRIPS):
        raise entry.refuse("name", f"needs at least one of {', '.join(_TRIPS)}")
    for key in _OF_SESSIONS:
        if key in given and (other := next((one for one in (*_OF_BUDGETS, *_OTHERS) if one in given), None)):
            raise entry.refuse(key, f"has a state for each session, and {other} has not: write a breaker for each")
    for key, other in _GOES_WITH.items():
        if key in given and other not in given:
            raise entry.refuse(key, f"says nothing without {other}")
    if "velocity" in given and not {"velocity_floor_usd", "usual_usd_per_hour"} & given.keys():
        raise entry.refuse(
            "velocity",
            "needs velocity_floor_usd, what a quarter of an hour may cost in any case, or usual_usd_per_hour",
        )


def _at(entry: PolicyEntry) -> tuple[Threshold, ...]:
    found = thresholds(entry)
    for one in found:
        if one.action not in ("degrade", "block"):
            raise entry.refuse("at", f"expected degrade or block, not {one.action!r}")
    return found


def _budget(entry: PolicyEntry) -> Budget | None:
    trip = next((key for key in _OF_BUDGETS if key in entry.given), None)
    if trip is None:
        if "budget" in entry.given:
            raise entry.refuse("budget", f"says nothing without {' or '.join(_OF_BUDGETS)}")
        return None
    name = entry.text("budget")
    budget = entry.budgets.get(name)
    if budget is None:
        known = ", ".join(repr(one) for one in entry.budgets) or "none"
        raise entry.refuse("budget", f"there is no budget {name!r}; there are: {known}")
    if budget.per in ("request", "session"):
        raise entry.refuse("budget", f"{name!r} is one of a {budget.per}; for sessions there is session_usd")
    if budget.per == "total" and "forecast" in entry.given:
        raise entry.refuse("forecast", f"the budget {name!r} has no end that could be looked ahead to")
    return budget


def _share_of(entry: PolicyEntry, key: str, budget: Budget | None) -> int | None:
    share = _share(entry, key)
    return max(1, int(budget.cap * share)) if budget is not None and share is not None else None


def _share(entry: PolicyEntry, key: str) -> Fraction | None:
    if key not in entry.given:
        return None
    found = re.fullmatch(r"(\d{1,4}(?:\.\d{1,2})?)\s*%", entry.text(key))
    if found is None or not Decimal(found[1]):
        raise entry.refuse(key, 'expected a share, as "90%"')
    return Fraction(found[1]) / 100


def _times(entry: PolicyEntry) -> Fraction | None:
    if "velocity" not in entry.given:
        return None
    found = _TIMES.fullmatch(entry.text("velocity"))
    if found is None or Decimal(found[1]) <= 1:
        raise entry.refuse("velocity", 'expected how many times the usual, as "3x"')
    return Fraction(found[1])


def _nano(entry: PolicyEntry, key: str) -> int | None:
    return entry.nano(key, entry.given[key]) if key in entry.given else None


KIND: Final = Kind(
    SHARED | {"at", "hold", "allowance_usd", "budget", "flags"} | {*_TRIPS, *_GOES_WITH},
    _breaker,
)

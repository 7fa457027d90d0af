"""What is usual at an hour: the median of that hour of the week, else of the day, else the mean of late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from .lookout import HOUR, Hours

LEAST_HOURS: Final = 24
"""With a shorter past nothing is usual."""
_LEAST: Final = 3
"""Weeks, or days, that a median needs."""
_DAY: Final = 24
_WEEK: Final = 7 * _DAY
_PICO: Final = Decimal("0.000000000001")
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Usual:
    """What would be usual."""

    amount: Decimal
    basis: str
    """What it is made of, in words."""


def usual_of_last_hour(hours: Hours, series: Sequence[Decimal] | Sequence[int], now: datetime) -> Usual | None:
    """Return what is usual in the 60 minutes before `now`, of a series of `hours`; None where the past is too short.

    They lie in two hours of the clock; each counts for the part of it that they have.
    """
    place = (now - hours.begin) // HOUR
    passed = now - (hours.begin + place * HOUR)
    before, under_way = (usual_at(hours, series, at, place - 1) for at in (place - 1, place))
    if before is None or under_way is None:
        return None
    part = Decimal(passed // _MICROSECOND) / (HOUR // _MICROSECOND)
    amount = before.amount * (1 - part) + under_way.amount * part
    return Usual(amount.quantize(_PICO), under_way.basis)


def usual_at(
    hours: Hours, series: Sequence[Decimal] | Sequence[int], place: int, before: int | None = None
) -> Usual | None:
    """Return what is usual in the hour at a place, by those before it; None where the past is too short.

    The mean of late is that of the hours up to `before` (None: the place itself).
    """
    before = place if before is None else before
    if before - hours.known < LEAST_HOURS:
        return None
    for step, basis in ((_WEEK, "this hour of the week"), (_DAY, "this hour of the day")):
        found = [Decimal(series[at]) for at in range(place - step, hours.known - 1, -step) if at < len(series)]
        if len(found) >= _LEAST:
            return Usual(median(found), basis)
    late = [Decimal(amount) for amount in series[hours.known : before]]
    return Usual((sum(late, Decimal(0)) / len(late)).quantize(_PICO), f"the mean of {len(late)} hours")


def median(amounts: Sequence[Decimal]) -> Decimal:
    """Return the middle one, of an even number the mean of both in the middle."""
    ordered = sorted(amounts)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

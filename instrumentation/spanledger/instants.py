"""Instants: how the price book writes moments, and whole nanoseconds, in which they are compared."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

END_OF_TIME: Final = 2**63 - 1
"""Also the start, negated, and the upper bound of the last tier."""
DAY_NS: Final = 86_400 * 10**9
EVERY_DAY: Final = 0b1111111
MONDAY: Final = 3
"""(days since 1970 + MONDAY) % 7 is the day of the week, Monday 0."""
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00Z")


def instant_ns(text: str) -> int:
    """Return an RFC 3339 moment as nanoseconds since 1970 UTC."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1) * 1000


def clock_ns(text: str) -> int:
    """Return `16:30:00` as nanoseconds since midnight."""
    hours, minutes, seconds = map(int, text.split(":"))
    return (hours * 3600 + minutes * 60 + seconds) * 10**9


def weekday_bits(text: str) -> int:
    """Return `mon-fri` or `sat` as bits, Monday the lowest.

    Raises:
        ValueError: no such day, or days out of order.
    """
    first, _, last = text.partition("-")
    start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    if start > end:
        raise ValueError(f"{text}: write the days in order, as in mon-fri")
    return sum(1 << day for day in range(start, end + 1))


def weekday(at_ns: int) -> int:
    """Return the day of the week in UTC, Monday 0."""
    return (at_ns // DAY_NS + MONDAY) % 7

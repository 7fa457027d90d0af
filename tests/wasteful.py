"""A company that pays for little: what the pages on efficiency, budgets and alerts are looked at with.

A prompt cache broke yesterday, agents go round in circles, conversations grow, answers are cut off, failed or repeated,
and yesterday afternoon a user ran away. All else is the same every day.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from zlib import crc32

from fingerprinted import hotel_with_fingerprints, sized
from ledger_rows import Row, call

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_POOR: Final[tuple[Row, ...]] = (
    {"max_tokens": 4000, "finish_reason": "max_tokens"},
    {"status": "error", "error_type": "APITimeoutError"},
    {"attempts": 3, "retry_cost_usd": Decimal("0.0875")},
)


def wasteful(last: datetime, days: int = 16) -> list[Row]:
    """Return the rows of so many days up to `last` (UTC)."""
    midnight = last.replace(hour=0, minute=0, second=0, microsecond=0)
    every = [
        *_usual(midnight - (days - 1) * _DAY, days),
        *_runaway(midnight - _DAY),
        *_cached(midnight - (days - 1) * _DAY, midnight - _DAY + 9 * _HOUR, last),
        *_circles(midnight - 2 * _DAY),
        *_conversations(midnight, days),
        *_poor(midnight, days),
    ]
    return [row for row in every if row["start_time"] < last]


def _usual(first: datetime, days: int) -> Iterator[Row]:
    """Yield a call an hour, in waves of a day."""
    for hour in range(days * 24):
        tokens = 40_000 + int(30_000 * math.sin(math.tau * hour / 24)) + 971 * hour % 4000
        tags: Row = {"user_id": f"u-{hour % 5}", "team_id": "support", "feature": "answers"}
        yield call(1_000_000 + hour, 1, first + hour * _HOUR, "gpt-5", tokens, 5000, **tags)


def _runaway(day: datetime) -> Iterator[Row]:
    tags: Row = {"user_id": "eve", "team_id": "support", "feature": "answers"}
    for number in range(24):
        start = day + 13 * _HOUR + number * timedelta(minutes=7)
        yield call(2_000_000 + number, 1, start, "claude-opus-4-5", 60_000, 4000, **tags)


def _cached(first: datetime, broken: datetime, last: datetime) -> Iterator[Row]:
    """Yield a line of calls that reads nine tenths from the cache until its system prompt is another each time."""
    tags: Row = {"user_id": "bob", "team_id": "growth", "feature": "research", "agent_name": "researcher"}
    for number in range((last - first) // _HOUR):
        start = first + number * _HOUR
        is_broken = start >= broken
        system = f"s{number}" if is_broken else "s"
        read, written = (0, 18_000) if is_broken else (18_000, 0)
        prompt = sized(8000, 64_000, 0, 0, 8000, chain=[1, crc32(system.encode()), number], prompt=f"p{number}")
        yield call(
            3_000_000 + number, 1, start, "claude-sonnet-4-5", 2000, 300, cache_read=read, cache_write=written,
            system_hash=system, tools_hash="t", **tags, **prompt,
        )  # fmt: skip


def _circles(day: datetime) -> Iterator[Row]:
    tags: Row = {"user_id": "cat", "team_id": "growth", "feature": "planning", "agent_name": "planner"}
    for trace, times in enumerate((14, 6, 4)):
        for number in range(times):
            start = day + (10 + trace) * _HOUR + number * timedelta(seconds=20)
            prompt = sized(4000, 20_000, 8000, 0, 400, chain=[7, 8, 900 + trace], prompt=f"loop-{trace}")
            yield call(4_000_000 + trace, number + 1, start, "claude-opus-4-5", 8100, 400, **tags, **prompt)


def _conversations(midnight: datetime, days: int) -> Iterator[Row]:
    tags: Row = {"user_id": "ann", "team_id": "search", "feature": "hotel-search"}
    for number in range(2 * days):
        start = midnight - (number // 2) * _DAY + (9 + 5 * (number % 2)) * _HOUR
        yield from hotel_with_fingerprints(5_000_000 + number, start, **tags)


def _poor(midnight: datetime, days: int) -> Iterator[Row]:
    tags: Row = {"user_id": "dan", "team_id": "platform", "feature": "summaries"}
    for number in range(3 * days):
        start = midnight - (number // 3) * _DAY + (11 + number % 3) * _HOUR
        yield call(6_000_000 + number, 1, start, "claude-opus-4-5", 9000, 4000, **tags, **_POOR[number % 3])

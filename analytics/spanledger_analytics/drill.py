"""From an hour to the request that cost the money: users, requests, and the spans of one trace.

A request is a trace. Each level counts the calls that began within the hour asked for, so that a row's children
add up to it; the trace page alone shows a request whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from spanledger_collector.rollups import HOURLY_USERS
from spanledger_collector.tables import OUTCOMES

from .connection import Ledger
from .spend import ALL, Filters

NO_USER = ""
"""Stands for calls without a user, in frames and as an argument."""
_DAY: Final = timedelta(days=1)


def users(ledger: Ledger, day: date, hour: int | None = None, filters: Filters = ALL) -> pl.DataFrame:
    """Return the totals of each user of a UTC hour, or of the whole day; dearest first."""
    told = filters.feature is None and filters.model is None and filters.environment is None
    rollup = HOURLY_USERS if told and not filters.tags else None
    return ledger.ask_rollup("users", rollup, day, day, day=day, hour=hour, **filters.bound())


def requests(ledger: Ledger, day: date, hour: int | None, user: str, filters: Filters = ALL) -> pl.DataFrame:
    """Return the requests of a user in a UTC hour (None: the whole day), dearest first.

    Columns: trace_id, started (UTC), name (of the root span where it is known), feature, models (list), calls,
    input_tokens, output_tokens, cost_usd, estimated_usd, unpriced_calls, estimated_calls, provisional_calls, errors,
    duration_us (first call's start to last end).
    """
    return ledger.ask(
        "requests",
        first=day - _DAY,
        last=day,
        day=day,
        hour=hour,
        user=user,
        **filters.bound(),
    )


def trace(ledger: Ledger, day: date | None, trace_id: str) -> pl.DataFrame:
    """Return every span of a trace that touches a UTC day (None: whenever it was), by start.

    A day either side is looked at, too. What was recorded on a span beyond these columns is told by `span`.
    """
    first, last = _around(day)
    return ledger.ask("trace", first=first, last=last, trace=trace_id)


def span(ledger: Ledger, day: date, trace_id: str, span_id: str) -> pl.DataFrame:
    """Return all that was recorded on one span of a trace that touches a UTC day: one row, none where there is none."""
    first, last = _around(day)
    return ledger.ask("span", first=first, last=last, trace=trace_id, span=span_id)


def outcomes(ledger: Ledger, day: date, trace_id: str, sessions: Sequence[str]) -> pl.DataFrame:
    """Return how the work of a trace that touches a UTC day ended: what was said of it, then of its sessions.

    The latest come first. Columns: name, label, score, value_usd, occurred_at (UTC), source, of_trace.
    """
    first, last = _around(day)
    files = ledger.files_of(OUTCOMES, first)
    return ledger.ask("trace_outcomes", first=first, last=last, outcomes=files, trace=trace_id, sessions=list(sessions))


def _around(day: date | None) -> tuple[date | None, date | None]:
    return (None, None) if day is None else (day - _DAY, day + _DAY)

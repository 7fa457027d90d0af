"""From an hour to the request that cost the money: users, requests, and the spans of one trace.

A request is a trace. Each level counts the calls that began within the hour asked for, so that a row's children
add up to it; the trace page alone shows a request whole.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from spanledger_collector.rollups import HOURLY_USERS

from .connection import Ledger
from .spend import ALL, Filters

NO_USER = ""
"""Stands for calls without a user, in frames and as an argument."""


def users(ledger: Ledger, day: date, hour: int | None = None, filters: Filters = ALL) -> pl.DataFrame:
    """Return the totals of each user of a UTC hour, or of the whole day; dearest first."""
    fits = filters.feature is None and filters.model is None and filters.environment is None
    rollup = HOURLY_USERS if fits else None
    return ledger.ask_rollup("users", rollup, day, day, day=day, hour=hour, **filters.parameters())


def requests(ledger: Ledger, day: date, hour: int | None, user: str, filters: Filters = ALL) -> pl.DataFrame:
    """Return the requests of a user in a UTC hour (None: the whole day), dearest first.

    Columns: trace_id, started (UTC), name (of the root span where it is known), feature, models (list), calls,
    input_tokens, output_tokens, cost_usd, estimated_usd, unpriced_calls, estimated_calls, provisional_calls, errors,
    duration_us (first call's start to last end).
    """
    return ledger.ask(
        "requests",
        first=day - timedelta(days=1),
        last=day,
        day=day,
        hour=hour,
        user=user,
        **filters.parameters(),
    )


def trace(ledger: Ledger, day: date, trace_id: str) -> pl.DataFrame:
    """Return every span of a trace that touches a UTC day, by start; a day either side is looked at too."""
    return ledger.ask("trace", first=day - timedelta(days=1), last=day + timedelta(days=1), trace=trace_id)

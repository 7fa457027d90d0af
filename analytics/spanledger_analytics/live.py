"""What is being spent now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import polars as pl

from .connection import Ledger

WINDOW: Final = timedelta(minutes=5)
HISTORY: Final = timedelta(minutes=30)
LONGEST_CALL: Final = timedelta(hours=1)
"""A call that began longer ago is looked for only if it began today."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Speed of spending over `WINDOW`; calls count when they end."""

    usd_per_hour: Decimal
    requests_per_minute: float
    tokens_per_minute: float
    estimated_usd_per_hour: Decimal
    """The part of it that is of tokens that nobody reported."""
    calls: int
    """In the window, priced or not."""
    unpriced_calls: int
    last_span: datetime | None
    """When the collector last took a span (UTC); None if none of today is there."""


def rate(ledger: Ledger, now: datetime) -> Rate:
    """Return the speed of spending at `now` (UTC)."""
    row = ledger.ask(
        "live",
        first=(now - LONGEST_CALL).date(),
        last=now.date(),
        since=(now - WINDOW).isoformat(),
        now=now.isoformat(),
    ).row(0, named=True)
    minutes = WINDOW.total_seconds() / 60
    return Rate(
        usd_per_hour=row["cost_usd"] * int(timedelta(hours=1) / WINDOW),
        requests_per_minute=row["requests"] / minutes,
        tokens_per_minute=row["tokens"] / minutes,
        estimated_usd_per_hour=row["estimated_usd"] * int(timedelta(hours=1) / WINDOW),
        calls=row["calls"],
        unpriced_calls=row["unpriced_calls"],
        last_span=row["last_span"],
    )


def minutes(ledger: Ledger, now: datetime) -> pl.DataFrame:
    """Return the totals of each full minute of the last `HISTORY`, quiet ones as zeros.

    Columns: minute (UTC), requests, calls, tokens, cost_usd, estimated_usd, unpriced_calls.
    """
    until = now.replace(second=0, microsecond=0)
    since = until - HISTORY
    found = ledger.ask(
        "live_minutes",
        first=(since - LONGEST_CALL).date(),
        last=until.date(),
        since=since.isoformat(),
        now=until.isoformat(),
    )
    wanted = [since + timedelta(minutes=step) for step in range(int(HISTORY.total_seconds() // 60))]
    frame = pl.DataFrame({"minute": wanted}, schema={"minute": found.schema["minute"]})
    return frame.join(found, on="minute", how="left").with_columns(pl.exclude("minute").fill_null(0))

"""Requests far outside their kind: held against what requests of the same feature cost in the days before.

Costs of requests differ by factors, so the rule is Tukey's for what is far out, on a scale of factors: as far above the
upper quartile as three times the distance of the quartiles. It takes the quartiles as they are found, so it is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from spanledger_analytics.connection import Ledger

from .question import Question
from .totals import parameters

KIND_DAYS: Final = 7
"""So many days before the period tell what is usual."""
LEAST: Final = 20
"""A kind of fewer requests is none."""
_FAR: Final = 3


@dataclass(frozen=True, slots=True)
class FarRequest:
    """A request, or its part for one feature, that cost far more than others of the feature."""

    trace_id: str
    started: datetime
    feature: str | None
    user: str | None
    calls: int
    cost_usd: Decimal
    median_usd: Decimal
    """Of the requests of the feature before."""
    requests: int
    """How many these are."""


def far_requests(ledger: Ledger, asked: Question, floor: Decimal, until: datetime | None = None) -> list[FarRequest]:
    """Return the requests of a period that cost at least `floor` US dollars and are far outside; the dearest first.

    Only calls that began before `until` (UTC; None: the end of the period) count.
    """
    period = asked.period
    reaching = replace(period, first=period.first - timedelta(days=KIND_DAYS))
    first, last = reaching.utc_days()
    told = parameters(replace(asked, period=reaching), ("feature",))
    told["end"] = min(period.end, until or period.end)
    found = ledger.ask(
        "far_requests",
        first=first,
        last=last,
        since=period.begin,
        floor=str(floor),
        least=LEAST,
        **told,
    )
    return [_request(row) for row in found.to_dicts() if row["cost_usd"] > fence(row["lower_usd"], row["upper_usd"])]


def fence(lower: Decimal, upper: Decimal) -> Decimal:
    """Return the cost beyond which a request is far out, by the quartiles of its kind."""
    return upper * (upper / lower) ** _FAR


def _request(row: Mapping[str, Any]) -> FarRequest:
    return FarRequest(**{name: row[name] for name in FarRequest.__slots__})

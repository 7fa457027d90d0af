"""Calls as rows of the collector, and what pricing fills in, for the tests that compare rows with single calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from price_cases import Call
from spanledger.pricing import Priced
from spanledger.rates import TOKEN_METERS
from spanledger_collector.row import MONEY_PARTS

FILLED = ("cost_usd", *MONEY_PARTS, "unpriced_reason", "cost_source", "price_id", "matched_model")


def row_of(call: Call) -> dict[str, Any]:
    """Return the row of a call, not priced yet."""
    usage = call.usage
    return {
        "role": "inference",
        "provider": call.provider,
        "response_model": call.model,
        "start_time": datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=call.at_ns // 1000),
        "service_tier": call.context.service_tier,
        "speed": call.context.speed,
        "region": call.context.region,
        "is_batch": call.context.processing == "batch",
        "provider_account": call.context.account,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        **{meter: getattr(usage, meter) or None for meter in TOKEN_METERS},
        "units": list(usage.units.items()) or None,
        "usage_state": usage.state,
    }


def filled(priced: Priced) -> dict[str, object]:
    """Return what a row of a call with this price has in the columns that pricing fills."""
    money = [None if pico is None else Decimal(pico).scaleb(-12) for pico in priced[:6]]
    words = (priced.unpriced_reason, priced.cost_source, priced.price_id, priced.matched_model)
    return dict(zip(FILLED, (*money, *words), strict=True))

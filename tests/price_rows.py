"""Calls as rows of the collector, and what pricing fills in, for the tests that compare rows with single calls."""

from __future__ import annotations

import random
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


def broken(row: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Return the row with one thing that pricing has to notice."""
    meter, other = chance.sample(TOKEN_METERS, 2)
    return row | chance.choice(
        (
            {meter: -chance.randrange(1, 2**50)},
            {meter: chance.choice((2**42, 2**42 + 1, 2**62)), "input_tokens": None, "output_tokens": None},
            {meter: 2**63 - 1, other: 2**63 - 1},
            {meter: chance.randrange(2**24 - 2, 2**36), "input_tokens": None, "output_tokens": None},
            {"input_tokens": (row["input_tokens"] or 0) + 1},
            {"output_tokens": chance.randrange(100)},
            {"usage_state": chance.choice(("missing", "inconsistent", "estimated", None))},
            {"usage_state": None, **dict.fromkeys((*TOKEN_METERS, "input_tokens", "output_tokens", "units"))},
            {"units": [("web_searches", Decimal(chance.randrange(-3, 3)))]},
            {"units": [("moon_landings", Decimal(chance.randrange(2))), ("web_searches", Decimal("0.5"))]},
            {"units": [("web_searches", Decimal("999999999999.999999")), ("requests", Decimal(0))]},
            {"provider": chance.choice((None, "", "nobody"))},
            {"response_model": chance.choice((None, "my-deployment")), "request_model": row["response_model"]},
            {"response_model": "nothing"},
            {"start_time": None},
            {"start_time": datetime(1903, 1, 1, tzinfo=UTC)},
            {"role": chance.choice(("tool", "agent", None))},
            {"duplicate_of": "00f067aa0ba902b7"},
            {"unpriced_reason": "error"},
            {"cost_usd": Decimal("0.25"), "cost_other": Decimal("0.25"), "cost_source": "provider"},
        )
    )

"""Calls that a subscription pays for: what they would have cost is kept apart, and never charged.

The provider's bill has a fixed fee in place of them, so that their price by the list is no cost. It tells what the
plan is worth. The same goes for a call of which nobody can tell who pays: it is not charged, and says so.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from .controls import NO_SOURCE
from .dialects import PLAN_PROVIDERS
from .pricing import price_rows
from .rawspans import is_word, known, translate
from .row import MONEY, MONEY_PARTS


def price_all(rows: pa.Table) -> pa.Table:
    """Price the rows as `price_rows` does, and take the money of what isn't billed by usage out of the costs."""
    inference = is_word(rows["role"], "inference") & ~known(rows["duplicate_of"])
    inference &= ~is_word(rows["cost_source"], NO_SOURCE)  # nothing was sent, so nobody pays
    plan = inference & is_word(rows["billing_basis"], "plan")
    apart = plan | (inference & ~known(rows["billing_basis"]))
    if not apart.any():
        return price_rows(rows)
    priced = _set(price_rows(_set(rows, "provider", _makers(rows))), "provider", rows["provider"])
    away, nothing = pa.array(apart), pa.scalar(None, MONEY)
    reason = pc.if_else(pa.array(plan), "plan", "unknown_billing")
    changed = {
        "equivalent_usd": pc.if_else(away, priced["cost_usd"], nothing),
        **{name: pc.if_else(away, nothing, priced[name]) for name in ("cost_usd", *MONEY_PARTS)},
        "cost_source": pc.if_else(away, "none", priced["cost_source"]),
        "unpriced_reason": pc.if_else(away, reason, priced["unpriced_reason"]),
    }
    for name, column in changed.items():
        priced = _set(priced, name, column)
    return priced


def _makers(rows: pa.Table) -> pa.ChunkedArray:
    """Return the providers, but for those that sell plans alone the one whose API the model is."""
    model = pc.coalesce(rows["response_model"], rows["request_model"]).combine_chunks()
    providers = rows["provider"].combine_chunks()
    for provider, makers in PLAN_PROVIDERS.items():

        def maker_of(name: str, makers: tuple[tuple[str, str], ...] = makers) -> str | None:
            return next((maker for pattern, maker in makers if re.search(pattern, name)), None)

        sells = pa.array(is_word(providers, provider))
        providers = pc.if_else(sells, pc.coalesce(translate(model, maker_of), providers), providers)
    return providers


def _set(rows: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, rows.schema.field(place), values)

"""The price of one call as a person checks it: what was counted, times what price, from which page, is what amount.

It is made from the JSON answer of `spanledger price`, so that both say the same. Tokens are shown at the price of a
million, as providers publish it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from .aligned import write_table

_COLUMNS: Final = ("quantity", "meter", "price", "amount", "source")


def explained(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines for an answer of `spanledger price`."""
    yield f"{answer['provider']} {answer['model']} at {answer['at']}"
    if answer["cost_usd"] is None:
        yield f"no price: {answer['unpriced_reason']}"
        return
    yield from (f"  {line}" for line in write_table(_rows(answer), _COLUMNS))
    yield f"price    {answer['price_id']} ({answer['cost_source']})"
    for factor in answer["multipliers"]:
        yield f"factor   {factor['name']}, x {factor['factor']}, is in these prices: {factor['source']}"


def _rows(answer: Mapping[str, Any]) -> Sequence[dict[str, str]]:
    charges: list[dict[str, str]] = [_row(charge) for charge in answer["charges"]]
    total = {"quantity": "", "meter": "cost", "price": "", "amount": f"${answer['cost_usd']}", "source": ""}
    rows = [*charges, total]
    width = max(len(row["quantity"]) for row in rows)
    point = max(len(row["amount"].partition(".")[0]) for row in rows)
    for row in rows:
        row["quantity"] = row["quantity"].rjust(width)
        row["amount"] = " " * (point - len(row["amount"].partition(".")[0])) + row["amount"]
    return rows


def _row(charge: Mapping[str, Any]) -> dict[str, str]:
    price = Decimal(charge["unit_price_usd"])
    by_million = charge["meter"].endswith("_tokens")
    shown = f"${(price * 10**6).normalize():f} a million" if by_million else f"${charge['unit_price_usd']} each"
    return {
        "quantity": f"{Decimal(charge['quantity']):,f}",
        "meter": charge["meter"],
        "price": f"x {shown}",
        "amount": f"${charge['amount_usd']}",
        "source": charge["source"] or "your contract",
    }

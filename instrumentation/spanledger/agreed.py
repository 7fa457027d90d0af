"""What a call costs under the contract in force: prices of yours first, then the list price, less your discounts.

All of it becomes windows as the book has them, so that whoever prices (in the process, a batch, SQL) needs to know
nothing of contracts. A discount cuts a list window where it begins and ends; of several, the first in the file holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from .book import Entry, PriceBook, current_book
from .contract import NONE, Contract, Discount, Price, in_force
from .instants import END_OF_TIME
from .rates import (
    PLAIN,
    REQUEST_METER,
    TOKEN_METERS,
    PriceContext,
    Rates,
    Window,
    context_values,
    list_rates,
    make_window,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BATCH: Final = "processing=batch"


def rates(provider: str, model: str, context: PriceContext = PLAIN, *, book: PriceBook | None = None) -> Rates:
    """Return all that a model can cost in a context, by the book and the contract in force; answers are kept.

    With a `book`, that book's list prices alone.
    """
    if book is not None:
        return list_rates(book, provider, model, context)
    return _kept(provider, model, context, in_force(), current_book())


@lru_cache(maxsize=4096)
def _kept(provider: str, model: str, context: PriceContext, contract: Contract, book: PriceBook) -> Rates:
    if contract is NONE:
        return list_rates(book, provider, model, context)
    return agreed_rates(contract, book, provider, model, context)


def agreed_rates(contract: Contract, book: PriceBook, provider: str, model: str, context: PriceContext) -> Rates:
    """Return all that a model can cost under a contract."""
    name, ref = provider.strip().lower(), model.strip().lower()
    known = book.provider_id(name)
    providers = (name,) if known is None or known == name else (name, known)
    ref = next(
        (one.model.lower() for one in contract.deployments if one.scope.covers(providers, ref, context.account)), ref
    )
    listed = list_rates(book, provider, ref, context)
    own = _own_windows(contract, providers, ref, context)
    wanted = [one for one in contract.discounts if _is_meant(one, providers, ref, listed.matched_model, context)]
    windows = (*own, *(part for window in listed.windows for part in _discounted(window, wanted)))
    matched = own[0].matched_model if own else listed.matched_model
    return Rates(windows, None if windows else listed.unpriced_reason, matched)


def _is_meant(
    discount: Discount, providers: tuple[str, ...], ref: str, matched: str | None, context: PriceContext
) -> bool:
    models = {ref, matched.lower()} if matched else {ref}
    return any(discount.scope.covers(providers, model, context.account) for model in models)


def _own_windows(contract: Contract, providers: tuple[str, ...], ref: str, context: PriceContext) -> list[Window]:
    """Return the windows of prices of yours; those for more of a context go first, and a batch has none but its own."""
    pairs = {f"{key}={value}" for key, value in context_values(context).items()}
    meant = [
        (price, set(filter(None, price.context.split("&"))))
        for price in contract.prices
        if price.scope.covers(providers, ref, context.account) and (_BATCH not in pairs or _BATCH in price.context)
    ]
    held = [(price, needed) for price, needed in meant if needed <= pairs]
    held.sort(key=lambda found: -len(found[1]))
    return [_window(price, providers[0]) for price, _ in held]


def _window(price: Price, provider: str) -> Window:
    entry = Entry("contract", "contract", provider, price.name, price.name, None, (), {}, {})
    row: dict[str, Any] = dict(price.row)
    if price.scope.from_ns > -END_OF_TIME:
        row["from"] = _instant(price.scope.from_ns)
    if price.scope.to_ns < END_OF_TIME:
        row["to"] = _instant(price.scope.to_ns)
    return make_window(entry, row, price.context)


def _discounted(window: Window, discounts: list[Discount]) -> Iterator[Window]:
    """Cut a window where discounts begin and end, and lower the prices in between."""
    edges = {window.from_ns, window.to_ns}
    for discount in discounts:
        cuts = discount.scope.from_ns, discount.scope.to_ns
        edges.update(cut for cut in cuts if window.from_ns < cut < window.to_ns)
    for start, end in pairwise(sorted(edges)):
        held = next((one for one in discounts if one.scope.from_ns <= start < one.scope.to_ns), None)
        part = replace(window, from_ns=start, to_ns=end)
        yield part if held is None else _lowered(part, held)


def _lowered(window: Window, discount: Discount) -> Window:
    def lower(meter: str, rate: int) -> int:
        return _half_up(rate * discount.factor) if not discount.meters or meter in discount.meters else rate

    return replace(
        window,
        price_id=f"contract:{discount.name}/{window.price_id}",
        token_rates=tuple(
            None if rate is None else lower(meter, rate)
            for meter, rate in zip(TOKEN_METERS, window.token_rates, strict=True)
        ),
        unit_rates={unit: lower(unit, rate) for unit, rate in window.unit_rates.items()},
        request_rate=lower(REQUEST_METER, window.request_rate),
    )


def _half_up(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _instant(at_ns: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_ns // 1000)).isoformat().replace("+00:00", "Z")

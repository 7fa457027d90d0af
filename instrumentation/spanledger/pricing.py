"""Pricing: what one call costs, to the pico-dollar.

Integer arithmetic throughout: each meter (a token part, a unit, a fee) is its quantity times an atto-dollar rate,
rounded half up to a pico-dollar (1e-12 USD); components and total are sums of rounded meters, so that they always
add up. `Priced` and `Charge` are named tuples because one of each is made on every call of the user's program, and
they cost a third of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple

from .agreed import rates
from .book import PriceBook
from .multipliers import Multiplier
from .rates import PLAIN, REQUEST_METER, TOKEN_METERS, PriceContext, Rates, Window
from .usage import INPUT_PARTS, Usage

__all__ = [
    "COMPONENTS",
    "MAX_COUNT",
    "MAX_PICO",
    "Charge",
    "PriceContext",
    "Priced",
    "Rates",
    "Window",
    "price",
    "rates",
]

COMPONENTS: Final = ("cost_input", "cost_cache_read", "cost_cache_write", "cost_output", "cost_other")
TOKEN_COMPONENTS: Final = (0, 1, 2, 2, 2, 0, 1, 0, 3, 3, 3, 3)
"""Token meter (in the order of TOKEN_METERS) to its place in COMPONENTS; units and fees go to the last."""
OTHER: Final = 4
MAX_PICO: Final = 10**18 - 1
"""What DECIMAL(18,12) holds; a single call above 999,999 dollars has a broken count, and isn't priced."""
UNKNOWN: Final = frozenset({"unknown_model", "unknown_provider"})
"""Reasons to look for the model that was asked for instead of the one that answered."""
MAX_COUNT: Final = 2**42
"""Tokens of one meter; more is a broken count, not a call."""


class Charge(NamedTuple):
    """One meter of one call."""

    meter: str
    """A token part, a unit, or `requests`."""
    quantity: int | Decimal
    """As billed: at least the minimum where the price has one."""
    unit_price_atto: int
    """1e-18 USD."""
    amount_pico: int
    """1e-12 USD."""
    source: str | None = None
    """Address of its page, where it isn't that of the whole price."""


class Priced(NamedTuple):
    """The price of one call, or why it has none."""

    cost_pico: int | None
    cost_input_pico: int | None
    cost_cache_read_pico: int | None
    cost_cache_write_pico: int | None
    cost_output_pico: int | None
    cost_other_pico: int | None
    charges: tuple[Charge, ...]
    """One per meter that counted anything; their amounts add up to cost_pico."""
    price_id: str | None
    matched_model: str | None
    cost_source: str
    """`list`, `contract`, or `none` when unpriced."""
    unpriced_reason: str | None
    """no_usage | inconsistent | unknown_provider | unknown_model | no_price."""
    source: str | None
    """Address of the page that the price comes from, where the book has one."""
    multipliers: tuple[Multiplier, ...] = ()
    """Factors (batch, region, ...) that are in the unit prices already."""


def price(
    provider: str,
    model: str,
    usage: Usage,
    at_ns: int,
    context: PriceContext = PLAIN,
    *,
    request_model: str | None = None,
    book: PriceBook | None = None,
    itemised: bool = True,
) -> Priced:
    """Price one call from the book, at the prices of the instant `at_ns` (nanoseconds since 1970 UTC).

    `request_model` is tried where the book doesn't know `model`; `charges` stay empty unless `itemised`.
    """
    if usage.state == "missing":
        return unpriced("no_usage")
    counts: tuple[int, ...] = usage[: len(TOKEN_METERS)]  # type: ignore[assignment]
    units = _micro_units(usage.units) if usage.units else ()
    if usage.state == "inconsistent" or units is None or min(counts) < 0 or max(counts) > MAX_COUNT:
        return unpriced("inconsistent")
    found = rates(provider, model, context, book=book)
    if found.unpriced_reason in UNKNOWN and request_model:
        asked = rates(provider, request_model, context, book=book)
        found = asked if asked.windows else found
    if not found.windows:
        return unpriced(found.unpriced_reason or "no_price", found.matched_model)
    total_input = sum(counts[: len(INPUT_PARTS)])
    for window in found.windows:
        if window.holds(at_ns, total_input):
            return _charge(window, counts, units, itemised)
    return unpriced("no_price", found.matched_model)


def unpriced(reason: str, matched_model: str | None = None) -> Priced:
    """Return the answer for a call that can't be priced: unknown, which is not zero."""
    return Priced(None, None, None, None, None, None, (), None, matched_model, "none", reason, None)


def token_pico(count: int, rate: int) -> int:
    """Return count x rate (atto) in pico-dollars, half up."""
    return (count * rate + 500_000) // 1_000_000


def unit_pico(micro_units: int, rate: int) -> int:
    """Return micro-units x rate (atto a unit) in pico-dollars, half up."""
    return (micro_units * rate + 500_000_000_000) // 1_000_000_000_000


def _charge(window: Window, counts: tuple[int, ...], units: Sequence[tuple[str, int]], itemised: bool) -> Priced:
    parts = [0, 0, 0, 0, 0]
    charges: list[Charge] = []
    for index, count in enumerate(counts):
        if count:
            rate = window.token_rates[index]
            if rate is None:
                return unpriced("no_price", window.matched_model)
            amount = (count * rate + 500_000) // 1_000_000  # as `token_pico`
            parts[TOKEN_COMPONENTS[index]] += amount
            if itemised:
                charges.append(Charge(TOKEN_METERS[index], count, rate, amount))
    for unit, reported in units:
        rate = window.unit_rate(unit)
        if rate is None:
            return unpriced("no_price", window.matched_model)
        micro = max(reported, window.minimums.get(unit, 0) * 10**6)
        amount = unit_pico(micro, rate)
        parts[OTHER] += amount
        charges.append(Charge(unit, Decimal(micro).scaleb(-6), rate, amount, window.fee_sources.get(unit)))
    if window.request_rate:
        amount = token_pico(1, window.request_rate)
        parts[OTHER] += amount
        charges.append(Charge(REQUEST_METER, 1, window.request_rate, amount))
    return _priced(window, parts, charges)


def _priced(window: Window, parts: Sequence[int], charges: Sequence[Charge]) -> Priced:
    total = sum(parts)
    if total > MAX_PICO:
        return unpriced("inconsistent", window.matched_model)
    return Priced(
        total,
        parts[0],
        parts[1],
        parts[2],
        parts[3],
        parts[4],
        tuple(charges),
        window.price_id,
        window.matched_model,
        window.cost_source,
        None,
        window.source,
        window.multipliers,
    )


def _micro_units(units: Mapping[str, Decimal]) -> list[tuple[str, int]] | None:
    """Return units in millionths, half up, as DECIMAL(18,6) keeps them, zeros left out; None if one is broken."""
    micro: list[tuple[str, int]] = []
    for unit, reported in units.items():
        quantity = Decimal(reported)
        if not quantity.is_finite() or quantity < 0 or (quantity and quantity.adjusted() >= 12):
            return None
        whole = int(quantity.scaleb(6).to_integral_value(ROUND_HALF_UP))
        if whole:
            micro.append((unit, whole))
    return micro

"""What a finished call costs, as one number: what its provider states, or else the book's price."""

from __future__ import annotations

from .pricing import PriceContext, Priced, price
from .record import Metered


def priced_by_book(metered: Metered, at_ns: int) -> Priced:
    """Price a call by the book and the contract in force."""
    return price(
        metered.provider,
        metered.model,
        metered.usage,
        at_ns,
        PriceContext(metered.processing, metered.service_tier, metered.speed, metered.region),
        request_model=metered.request_model,
        itemised=False,
    )


def cost_pico(metered: Metered, at_ns: int) -> int | None:
    """Return what a call costs in pico-dollars; None where nobody knows."""
    return metered.stated_pico if metered.stated_pico is not None else priced_by_book(metered, at_ns).cost_pico

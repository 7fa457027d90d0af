"""Multipliers: what a provider charges for a way of buying, as a factor on the prices of its tokens.

Half for a batch, a tenth more for a region: published as one sentence for all models, so kept as one line and not
as a price for each. A factor holds where the book has no price of its own for that context, and it leaves fees
(web searches, requests) as they are, as providers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from .matching import Rule, matches_loosely


@dataclass(frozen=True, slots=True)
class Multiplier:
    """One factor of one provider."""

    name: str
    """Shown in price ids: `base:openai/gpt-4o*batch`."""
    key: str
    """Part of the context that it is about: processing, service_tier, speed or region."""
    value: Rule
    """Which values of that part."""
    match: Rule | None
    """Which models of the book, None for all."""
    from_ns: int
    to_ns: int
    """Half-open [from_ns, to_ns), nanoseconds since 1970 UTC."""
    factor: Decimal
    spared: frozenset[str]
    """Meters that it doesn't change."""
    source: str
    """Address of the page that states it."""

    def applies(self, model: str, context: Mapping[str, str]) -> bool:
        """Tell whether a model in a context is charged by it at some time."""
        value = context.get(self.key)
        return (
            value is not None
            and matches_loosely(self.value, value)
            and (self.match is None or matches_loosely(self.match, model))
        )

    def times(self, meter: str, rate: int) -> int:
        """Return a meter's rate in atto-dollars times the factor, half up; fees and what is spared as it is."""
        if meter in self.spared or not meter.endswith("_tokens"):
            return rate
        over, under = self.factor.as_integer_ratio()
        return (2 * rate * over + under) // (2 * under)

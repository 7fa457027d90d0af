"""Random calls over the whole price book, for the tests that compare two ways of pricing them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from spanledger.book import PriceBook, shipped_book
from spanledger.instants import DAY_NS, END_OF_TIME
from spanledger.pricing import PriceContext
from spanledger.rates import PLAIN, TOKEN_METERS, Window, list_rates
from spanledger.usage import Usage

FIRST_NS = 1_672_531_200 * 10**9
"""2023-01-01."""
LAST_NS = 1_830_297_600 * 10**9
"""2028-01-01."""
UNITS = (
    "web_searches",
    "storage_searches",
    "input_characters",
    "audio_seconds",
    "input_audio_seconds",
    "input_document_pages",
)
CONTEXTS = tuple(
    PriceContext(processing, tier, speed)
    for processing in (None, "batch")
    for tier in (None, "default", "flex", "priority", "fast", "galactic")
    for speed in (None, "fast")
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call to price."""

    provider: str
    model: str
    usage: Usage
    at_ns: int
    context: PriceContext


def random_calls(count: int, seed: int, *, sharing: int = 20, book: PriceBook | None = None) -> Iterator[Call]:
    """Yield calls of every model of a book (the shipped one), around every edge of its windows and tiers.

    They have any mix of meters. `sharing` calls in a row have one model, as the look-ups that are kept are few.
    """
    chance = random.Random(seed)
    known = book or shipped_book()
    names = [name for name in known.names() if list_rates(known, *name).windows]
    dated = [name for name in names if len(list_rates(known, *name).windows) > 1]
    for number, start in enumerate(range(0, count, sharing)):
        provider, model = chance.choice(dated) if number % 3 == 0 else names[number % len(names)]
        contexts = (PLAIN, *chance.sample(CONTEXTS, 2))
        for _ in range(min(sharing, count - start)):
            context = chance.choice(contexts)
            windows = list_rates(known, provider, model, context).windows
            yield Call(provider, model, _usage(chance), _instant(chance, windows), context)


def _instant(chance: random.Random, windows: Sequence[Window]) -> int:
    at_ns = chance.randrange(FIRST_NS, LAST_NS)
    if windows and chance.random() < 0.5:
        edges = {edge for window in windows for edge in (window.from_ns, window.to_ns) if abs(edge) < END_OF_TIME}
        clocks = {clock for window in windows for clock in (window.daily_from_ns, window.daily_to_ns)}
        midnight = chance.choice(sorted(edges)) if edges else at_ns - at_ns % DAY_NS
        at_ns = midnight + chance.choice(sorted(clocks | {0})) + chance.choice((-1000, 0, 1000))
    return at_ns - at_ns % 1000


def _usage(chance: random.Random) -> Usage:
    meters = set(chance.sample(TOKEN_METERS, chance.randrange(0, 5)))
    if chance.random() < 0.8:
        meters |= {"input_uncached_tokens", "output_text_tokens"}
    parts = {meter: _count(chance) for meter in sorted(meters)}
    if "input_uncached_tokens" in parts and chance.random() < 0.3:
        edge = chance.choice((32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288))
        rest = sum(parts[meter] for meter in TOKEN_METERS[1:8] if meter in parts)
        parts["input_uncached_tokens"] = max(0, edge - rest + chance.choice((-1, 0, 1)))
    units = {}
    if chance.random() < 0.15:
        units[chance.choice(UNITS)] = chance.choice(
            (Decimal(chance.randrange(0, 40)), Decimal(chance.randrange(10**8)) / 10**6)
        )
    return Usage(**parts, units=units, state="reported")


def _count(chance: random.Random) -> int:
    return int(chance.lognormvariate(7, 2.2))

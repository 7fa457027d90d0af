"""Rates: everything a provider, model and context can cost, as dated windows of integer prices.

One call is priced with the first window that holds its instant and its total input; in-process, vectorised and
SQL pricing all read the same windows. A meter without a price of its own has that of its nearest priced ancestor
here already (reasoning that of output, a 1-hour cache write that of a cache write), so that no evaluator needs
the rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from .book import Entry, PriceBook
from .usage import INPUT_PARTS, OUTPUT_PARTS

TOKEN_METERS: Final = INPUT_PARTS + OUTPUT_PARTS
REQUEST_METER: Final = "requests"
"""Charged once a call where the model has a fee."""
END_OF_TIME: Final = 2**63 - 1
"""Also the start, negated, and the upper bound of the last tier."""
DAY_NS: Final = 86_400 * 10**9
PLAIN_TIERS: Final = frozenset({"", "auto", "default", "standard"})
"""Service tiers that mean no context."""

TOKEN_PRICES: Final = {
    "input_uncached_tokens": ("input_tokens",),
    "cache_read_tokens": ("cache_read_tokens", "input_tokens"),
    "cache_write_5m_tokens": ("cache_write_5m_tokens", "cache_write_tokens", "input_tokens"),
    "cache_write_1h_tokens": ("cache_write_1h_tokens", "cache_write_tokens", "input_tokens"),
    "cache_write_12h_tokens": ("cache_write_12h_tokens", "cache_write_tokens", "input_tokens"),
    "input_audio_tokens": ("input_audio_tokens", "input_tokens"),
    "cache_read_audio_tokens": (
        "cache_read_audio_tokens",
        "cache_read_tokens",
        "input_audio_tokens",
        "input_tokens",
    ),
    "input_image_tokens": ("input_image_tokens", "input_tokens"),
    "output_text_tokens": ("output_tokens",),
    "reasoning_tokens": ("reasoning_tokens", "output_tokens"),
    "output_audio_tokens": ("output_audio_tokens", "output_tokens"),
    "output_image_tokens": ("output_image_tokens", "output_tokens"),
}
"""Meter to the prices it may have, nearest first."""
UNIT_PRICES: Final = {
    "cache_read_image_tokens": (
        "cache_read_image_tokens",
        "cache_read_tokens",
        "input_image_tokens",
        "input_tokens",
    ),
    "characters": ("input_characters",),
    "input_annotated_document_pages": ("input_annotated_document_pages", "input_document_pages"),
    "input_audio_seconds": ("input_audio_seconds", "audio_seconds"),
    "input_video_tokens": ("input_video_tokens", "input_tokens"),
    "output_audio_seconds": ("output_audio_seconds", "audio_seconds"),
    "output_citation_tokens": ("output_citation_tokens", "output_tokens"),
    "output_video_tokens": ("output_video_tokens", "output_tokens"),
    "pages": ("input_document_pages",),
    "seconds": ("audio_seconds",),
}
"""Units with another name or an ancestor; any other unit has the price of its own name or none."""
TOKEN_PRICE_NAMES: Final = frozenset(
    name for chain in (*TOKEN_PRICES.values(), *UNIT_PRICES.values()) for name in chain if name.endswith("_tokens")
)
"""Prices that are stated by the million."""
_NOT_UNITS: Final = frozenset(name for names in TOKEN_PRICES.values() for name in names) | {REQUEST_METER}


_BATCH: Final = "batch"


class PriceContext(NamedTuple):
    """What besides the model decides a price; None where the plain price holds."""

    processing: str | None = None
    """`batch`."""
    service_tier: str | None = None
    """`flex`, `priority`, ...; auto, default and standard count as None."""
    speed: str | None = None
    """`fast`."""
    region: str | None = None
    account: str | None = None
    """At the provider; of use to a contract only."""


PLAIN: Final = PriceContext()
CONTEXT_KEYS: Final = frozenset({"processing", "region", "service_tier", "speed"})
"""What prices of the book and of contracts may depend on."""


@dataclass(frozen=True, slots=True)
class Window:
    """The prices in force for some instants and some totals of input; rates are atto-dollars (1e-18) a unit."""

    price_id: str
    """`base:openai/gpt-5.6-sol@2026-08-21+service_tier=flex>272000`: list, model, start, context, tier.

    Under a contract `contract:acme/roadrunner@2026-01-01`, or `contract:NAME OF A DISCOUNT/` and the list's."""
    matched_model: str
    source: str | None
    """Address of the page that the prices come from."""
    from_ns: int
    to_ns: int
    """Half-open [from_ns, to_ns), nanoseconds since 1970 UTC."""
    daily_from_ns: int
    daily_to_ns: int
    """Half-open, nanoseconds since midnight UTC; the whole day is [0, DAY_NS)."""
    above: int
    up_to: int
    """The tier: above < total input tokens <= up_to."""
    free: bool
    """Every meter costs nothing."""
    token_rates: tuple[int | None, ...]
    """In the order of TOKEN_METERS; None has no price."""
    unit_rates: Mapping[str, int]
    minimums: Mapping[str, int]
    """Unit to the least quantity that is billed."""
    request_rate: int

    @property
    def cost_source(self) -> str:
        """`contract` or `list`."""
        return "contract" if self.price_id.startswith("contract:") else "list"

    def unit_rate(self, unit: str) -> int | None:
        """Return the price of one unit, or None where the model has none for it."""
        return 0 if self.free else self.unit_rates.get(unit)

    def holds(self, at_ns: int, total_input: int) -> bool:
        """Tell whether a call at that instant with that much input is priced here."""
        return (
            self.from_ns <= at_ns < self.to_ns
            and self.above < total_input <= self.up_to
            and self.daily_from_ns <= at_ns % DAY_NS < self.daily_to_ns
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """The windows of one provider, model and context; the first that holds wins. Empty: see `unpriced_reason`."""

    windows: tuple[Window, ...]
    unpriced_reason: str | None = None
    """unknown_provider | unknown_model, where there is no window."""
    matched_model: str | None = None


def list_rates(book: PriceBook, provider: str, model: str, context: PriceContext = PLAIN) -> Rates:
    """Return all that a model can cost by a book."""
    found = book.find(provider, model)
    if isinstance(found, str):
        return Rates((), found)
    borrowed = found[0].provider != book.provider_id(provider)
    values = {} if borrowed else context_values(context)
    if context.processing == _BATCH and not any(_has_batch_price(entry, values) for entry in found):
        return Rates((), "no_price", found[0].model)
    windows = tuple(window for entry in found for window in _windows(entry, values))
    return Rates(windows, None, found[0].model)


def _has_batch_price(entry: Entry, values: Mapping[str, str]) -> bool:
    """Tell whether a batch has a price of its own, or none at all; it is never the plain one, but about half of it."""
    return all(row.get("free") for row in entry.tables[0]) or f"processing={_BATCH}" in _known_context(entry, values)


def context_values(context: PriceContext) -> dict[str, str]:
    """Return what of a context prices may depend on, by CONTEXT_KEYS."""
    values = {
        "processing": context.processing,
        "region": context.region,
        "service_tier": context.service_tier,
        "speed": context.speed,
    }
    kept = {key: value.strip().lower() for key, value in values.items() if value}
    if kept.get("service_tier") in PLAIN_TIERS:
        del kept["service_tier"]
    return kept


def _windows(entry: Entry, values: Mapping[str, str]) -> list[Window]:
    label = _known_context(entry, values)
    table = entry.tables[entry.contexts[label]] if label else entry.tables[0]
    # Where a context has the plain price, that is the one charged and named.
    plain = [{**row, "to": None} for row in entry.tables[0]]
    return [make_window(entry, row, "" if {**row, "to": None} in plain else label) for row in table]


def _known_context(entry: Entry, values: Mapping[str, str]) -> str:
    """Return the entry's name for a context, without what it has no prices for; empty where nothing is left."""
    pairs = {pair for name in entry.contexts for pair in name.split("&")}
    wanted = (f"{key}={value}" for key, value in sorted(values.items()))
    label = "&".join(pair for pair in wanted if pair in pairs)
    return label if label in entry.contexts else ""


def make_window(entry: Entry, row: Mapping[str, Any], label: str) -> Window:
    """Return the window of one row of an entry; `label` is the context that it is for."""
    prices: Mapping[str, int] = row["prices"]
    free = bool(row.get("free"))
    daily = row.get("daily")
    units = {name: name for name in prices if name not in _NOT_UNITS}
    for name, chain in UNIT_PRICES.items():
        priced = _nearest(prices, chain)
        if priced is not None:
            units[name] = priced
    return Window(
        price_id=_price_id(entry, row, label),
        matched_model=entry.model,
        source=entry.source,
        from_ns=_instant_ns(row["from"]) if "from" in row else -END_OF_TIME,
        to_ns=_instant_ns(row["to"]) if "to" in row else END_OF_TIME,
        daily_from_ns=_clock_ns(daily[0]) if daily else 0,
        daily_to_ns=_clock_ns(daily[1]) if daily else DAY_NS,
        above=row.get("above", -1),
        up_to=row.get("up_to", END_OF_TIME),
        free=free,
        token_rates=tuple(0 if free else _rate(prices, TOKEN_PRICES[meter]) for meter in TOKEN_METERS),
        unit_rates={name: prices[priced] for name, priced in units.items()},
        minimums={name: entry.minimums[priced] for name, priced in units.items() if priced in entry.minimums},
        request_rate=prices.get(REQUEST_METER, 0),
    )


def _price_id(entry: Entry, row: Mapping[str, Any], label: str) -> str:
    parts = [f"{entry.origin}:{entry.provider}/{entry.model}"]
    if "from" in row:
        parts.append(f"@{row['from'].removesuffix('T00:00:00Z')}")
    if "daily" in row:
        parts.append(f"~{row['daily'][0]}")
    if label:
        parts.append(f"+{label}")
    if "above" in row:
        parts.append(f">{row['above']}")
    return "".join(parts)


def _nearest(prices: Mapping[str, int], chain: Sequence[str]) -> str | None:
    return next((name for name in chain if name in prices), None)


def _rate(prices: Mapping[str, int], chain: Sequence[str]) -> int | None:
    name = _nearest(prices, chain)
    return None if name is None else prices[name]


def _instant_ns(text: str) -> int:
    since = datetime.fromisoformat(text) - datetime.fromisoformat("1970-01-01T00:00:00Z")
    return since // timedelta(microseconds=1) * 1000


def _clock_ns(text: str) -> int:
    hours, minutes, seconds = map(int, text.split(":"))
    return (hours * 3600 + minutes * 60 + seconds) * 10**9

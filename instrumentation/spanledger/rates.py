"""Rates: everything a provider, model and context can cost, as dated windows of integer prices.

One call is priced with the first window that holds its instant and its total input; in-process, vectorised and
SQL pricing all read the same windows. A meter without a price of its own has that of its nearest priced ancestor
here already (reasoning that of output, a 1-hour cache write that of a cache write), so that no evaluator needs
the rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

from .book import Entry, PriceBook
from .instants import DAY_NS, END_OF_TIME, EVERY_DAY, clock_ns, instant_ns, weekday, weekday_bits
from .multipliers import Multiplier
from .usage import INPUT_PARTS, OUTPUT_PARTS

TOKEN_METERS: Final = INPUT_PARTS + OUTPUT_PARTS
REQUEST_METER: Final = "requests"
"""Charged once a call where the model has a fee."""
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

    `base-0.2.4:` in place of `base:` where the base is the user's own, and of that version of the library.
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
    weekdays: int
    """The days of the week in UTC on which it holds, as bits; Monday is the lowest."""
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
    multipliers: tuple[Multiplier, ...] = ()
    """What the rates have been multiplied with."""
    fee_sources: Mapping[str, str] = field(default_factory=dict)
    """Unit to its page, where the price isn't the model's but the provider's, with any model."""

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
            and (self.weekdays == EVERY_DAY or self.weekdays >> weekday(at_ns) & 1 == 1)
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """The windows of one provider, model and context; the first that holds wins. Empty: see `unpriced_reason`."""

    windows: tuple[Window, ...]
    unpriced_reason: str | None = None
    """unknown_provider | unknown_model, where there is no window."""
    matched_model: str | None = None


@lru_cache(maxsize=4096)
def list_rates(book: PriceBook, provider: str, model: str, context: PriceContext = PLAIN) -> Rates:
    """Return all that a model can cost by a book."""
    found = book.find(provider, model)
    if isinstance(found, str):
        return Rates((), found)
    values = context_values(context)
    matched = found.entries[0].model
    factors = [factor for factor in book.multipliers(found.provider) if values and factor.applies(matched, values)]
    known: list[tuple[int, Window]] = []
    for entry in found.entries:
        own = values if entry.provider == found.provider else {}
        for window, honoured in _windows(entry, own):
            todo = [factor for factor in factors if factor.key not in honoured]
            known += (
                (len(honoured), piece) for piece in _multiplied(window, todo) if _may_charge(piece, values, honoured)
            )
    # A price made for the context is nearer than the plain one, even where that one is the overlay's.
    known.sort(key=lambda pair: -pair[0])
    windows = tuple(_with_fees(window, book, found.provider) for _, window in known)
    return Rates(windows, None if windows else "no_price", matched)


def reachable(windows: Sequence[Window]) -> list[Window]:
    """Leave out windows with the same bounds as an earlier one, which is the one charged."""
    first: dict[tuple[int, ...], Window] = {}
    for one in windows:
        clock = one.daily_from_ns, one.daily_to_ns, one.weekdays
        first.setdefault((one.from_ns, one.to_ns, *clock, one.above, one.up_to), one)
    return list(first.values())


def _with_fees(window: Window, book: PriceBook, provider: str) -> Window:
    """Add what the provider charges for with any model, where the model's own prices don't say otherwise."""
    added = {unit: rate for unit, rate in book.fees(provider).items() if unit not in window.unit_rates}
    if not added or window.free:
        return window
    sources = {unit: source for unit, source in book.fee_sources(provider).items() if unit in added}
    return replace(window, unit_rates={**added, **window.unit_rates}, fee_sources=sources)


def _may_charge(window: Window, values: Mapping[str, str], honoured: frozenset[str]) -> bool:
    """Refuse the plain price to a batch: it has a price of its own, about half, or none that anybody knows."""
    if values.get("processing") != _BATCH or window.free or "processing" in honoured:
        return True
    return any(factor.key == "processing" for factor in window.multipliers)


def _multiplied(window: Window, factors: Sequence[Multiplier]) -> list[Window]:
    """Cut a window where factors begin and end, and apply each within its time."""
    pieces = [window]
    for factor in () if window.free else factors:
        pieces = [piece for whole in pieces for piece in _cut(whole, factor)]
    return pieces


def _cut(window: Window, factor: Multiplier) -> list[Window]:
    start, end = max(window.from_ns, factor.from_ns), min(window.to_ns, factor.to_ns)
    if start >= end:
        return [window]
    before, after = replace(window, to_ns=start), replace(window, from_ns=end)
    inside = replace(
        window,
        price_id=f"{window.price_id}*{factor.name}",
        from_ns=start,
        to_ns=end,
        token_rates=tuple(
            None if rate is None else factor.times(meter, rate)
            for meter, rate in zip(TOKEN_METERS, window.token_rates, strict=True)
        ),
        unit_rates={unit: factor.times(unit, rate) for unit, rate in window.unit_rates.items()},
        multipliers=(*window.multipliers, factor),
    )
    return [piece for piece in (before, inside, after) if piece.from_ns < piece.to_ns]


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


def _windows(entry: Entry, values: Mapping[str, str]) -> list[tuple[Window, frozenset[str]]]:
    """Return the entry's windows, each with the keys of the context that its prices are for."""
    label = _known_context(entry, values)
    table = entry.tables[entry.contexts[label]] if label else entry.tables[0]
    keys = frozenset(pair.partition("=")[0] for pair in label.split("&")) if label else frozenset()
    # Where a context has the plain price, that is the one charged and named.
    plain = [{**row, "to": None} for row in entry.tables[0]]
    found = []
    for row in table:
        is_plain = {**row, "to": None} in plain
        found.append((make_window(entry, row, "" if is_plain else label), frozenset() if is_plain else keys))
    return found


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
        from_ns=instant_ns(row["from"]) if "from" in row else -END_OF_TIME,
        to_ns=instant_ns(row["to"]) if "to" in row else END_OF_TIME,
        daily_from_ns=clock_ns(daily[0]) if daily else 0,
        daily_to_ns=clock_ns(daily[1]) if daily else DAY_NS,
        weekdays=weekday_bits(row["weekdays"]) if "weekdays" in row else EVERY_DAY,
        above=row.get("above", -1),
        up_to=row.get("up_to", END_OF_TIME),
        free=free,
        token_rates=tuple(0 if free else _rate(prices, TOKEN_PRICES[meter]) for meter in TOKEN_METERS),
        unit_rates={name: prices[priced] for name, priced in units.items()},
        minimums={name: entry.minimums[priced] for name, priced in units.items() if priced in entry.minimums},
        request_rate=prices.get(REQUEST_METER, 0),
    )


def _price_id(entry: Entry, row: Mapping[str, Any], label: str) -> str:
    parts = [f"{entry.list_name}:{entry.provider}/{entry.model}"]
    if "from" in row:
        parts.append(f"@{row['from'].removesuffix('T00:00:00Z')}")
    if "weekdays" in row:
        parts.append(f"~{row['weekdays']}")
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

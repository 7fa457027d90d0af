"""The price book as a table: one row a model, context, window and meter, of list prices alone.

Where windows overlap the first charges, as in the book: `place` numbers them. What a context has at the plain price is
not told again, and neither are factors that a family of regions has in common.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from spanledger.book import PriceBook, current_book
from spanledger.instants import DAY_NS, END_OF_TIME, EVERY_DAY, WEEKDAYS
from spanledger.rates import (
    CONTEXT_KEYS,
    PLAIN,
    REQUEST_METER,
    TOKEN_METERS,
    PriceContext,
    Window,
    list_rates,
    reachable,
)
from spanledger_collector.row import COUNT, TEXT, TIME, Column

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
PRICE: Final = pa.decimal128(38, 18)
COLUMNS: Final = (
    Column("provider", TEXT, "Provider, by the book's name."),
    Column("model", TEXT, "Model, by the book's name: `matched_model` of its calls."),
    Column("context", TEXT, "What else decides the price: processing=batch, service_tier=flex, ...; NULL: nothing."),
    Column("valid_from", TIME, "From then on, UTC; NULL: since ever."),
    Column("valid_to", TIME, "Before then, UTC; NULL: until further notice."),
    Column("daily_from", TEXT, "From this time of day on, UTC; NULL: all day."),
    Column("daily_to", TEXT, "Before this time of day, UTC; NULL: all day."),
    Column("weekdays", TEXT, "Only on these days (UTC): mon,tue,...; NULL: every day."),
    Column("above", COUNT, "Only for calls with more input tokens than this, cached ones included; NULL: any."),
    Column("up_to", COUNT, "Only for calls with no more input tokens than this; NULL: any."),
    Column("place", COUNT, "Of rows of a model, context and meter that hold for a call, the lowest charges; from 1."),
    Column("unit", TEXT, "What is metered: a token column, a unit, or requests."),
    Column("price_usd", PRICE, "For one of it."),
    Column("price_id", TEXT, "`price_id` of calls that are charged by it."),
    Column("source", TEXT, "Address of the page that it is from; NULL where the book has none."),
)
SCHEMA: Final = pa.schema([(column.name, column.type) for column in COLUMNS])


def list_prices(book: PriceBook | None = None) -> pa.Table:
    """Return every list price of a book (the one in force), by COLUMNS."""
    known = book or current_book()
    names = dict.fromkeys(known.names())
    rows = [row for provider, model in names for row in _of_model(known, provider, model)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _of_model(book: PriceBook, provider: str, model: str) -> Iterator[dict[str, Any]]:
    told: set[str] = set()
    for label in ("", *contexts(book, provider, model)):
        windows = reachable(list_rates(book, provider, model, _context(label)).windows)
        fresh = [one for one in windows if one.price_id not in told]
        told.update(one.price_id for one in fresh)
        for place, window in enumerate(fresh, 1):
            head = {"provider": provider, "model": window.matched_model, "context": label or None, "place": place}
            for unit, rate in _rates(window):
                price = {"unit": unit, "price_usd": Decimal(rate).scaleb(-18)}
                yield {**head, **_bounds(window), **price, "source": window.fee_sources.get(unit, window.source)}


def contexts(book: PriceBook, provider: str, model: str) -> list[str]:
    """Return the contexts in which something else is charged, by the book's names."""
    found = book.find(provider, model)
    if isinstance(found, str):
        return []
    own = [label for entry in found.entries if entry.provider == found.provider for label in entry.contexts]
    factors = [f"{one.key}={one.value}" for one in book.multipliers(found.provider) if isinstance(one.value, str)]
    return [label for label in dict.fromkeys((*own, *factors)) if set(_pairs(label)) <= CONTEXT_KEYS]


def _pairs(label: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in label.split("&"))


def _context(label: str) -> PriceContext:
    return PriceContext(**_pairs(label)) if label else PLAIN


def _rates(window: Window) -> Iterator[tuple[str, int]]:
    yield from ((meter, rate) for meter, rate in zip(TOKEN_METERS, window.token_rates, strict=True) if rate is not None)
    yield from window.unit_rates.items()
    if window.request_rate:
        yield REQUEST_METER, window.request_rate


def _bounds(window: Window) -> dict[str, Any]:
    all_day = (window.daily_from_ns, window.daily_to_ns) == (0, DAY_NS)
    days = [day for number, day in enumerate(WEEKDAYS) if window.weekdays >> number & 1]
    return {
        "valid_from": _moment(window.from_ns) if window.from_ns > -END_OF_TIME else None,
        "valid_to": _moment(window.to_ns) if window.to_ns < END_OF_TIME else None,
        "daily_from": None if all_day else _clock(window.daily_from_ns),
        "daily_to": None if all_day else _clock(window.daily_to_ns),
        "weekdays": None if window.weekdays == EVERY_DAY else ",".join(days),
        "above": window.above if window.above >= 0 else None,
        "up_to": window.up_to if window.up_to < END_OF_TIME else None,
        "price_id": window.price_id,
    }


def _moment(at_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_ns // 1000)


def _clock(day_ns: int) -> str:
    minutes, seconds = divmod(day_ns // 10**9, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"

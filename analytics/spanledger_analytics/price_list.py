"""The book in force as people look it up: what each model costs at a moment, and what it has cost since ever.

Prices are dollars a million tokens, as providers publish them, or a unit. What is charged is worked out as `spanledger
prices list` does, by the same functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl

from spanledger.book import PriceBook
from spanledger.instants import END_OF_TIME
from spanledger.rates import PLAIN, TOKEN_METERS, PriceContext, Window, list_rates

from .price_windows import charged, charged_at, condition, fees, in_words, instant_of, kind_of

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PRICE: Final = pl.Decimal(38, 18)
_MOMENT: Final = pl.Datetime("us", "UTC")
SHOWN: Final = {
    "input": "input_uncached_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_5m_tokens",
    "output": "output_text_tokens",
}
"""Columns of `models` to the meters that they are of."""
_PLACES: Final[dict[str, int]] = {meter: place for place, meter in enumerate(TOKEN_METERS)}
_MODELS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "provider": pl.String,
    "model": pl.String,
    "when": pl.String,
    **dict.fromkeys(SHOWN, _PRICE),
    "fees": pl.String,
    "since": _MOMENT,
    "price_id": pl.String,
    "source": pl.String,
}
_HISTORY: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "meter": pl.String,
    "when": pl.String,
    "starts_at": _MOMENT,
    "ends_at": _MOMENT,
    "price_usd": _PRICE,
    "a_million": pl.Boolean,
    "price_id": pl.String,
    "source": pl.String,
}


def models(book: PriceBook, at: datetime, names: Iterable[tuple[str, str]] | None = None) -> pl.DataFrame:
    """Return what each model is charged at on the day of a moment (UTC), without any context, by provider and model.

    `names` are the (provider, model) to look up, None for all of the book; what the book doesn't know has no row. A row
    a window: a model with hours or tiers has several, told apart by `when` (in words, empty for always). Prices
    (Decimal, None where there is none) are US dollars a million tokens; `fees` are those a unit, as text; `since` is
    None for since ever.
    """
    at_ns = instant_of(at)
    rows = [
        _line(provider, model, window)
        for provider, model in dict.fromkeys(book.names() if names is None else names)
        for window in charged_at(list_rates(book, provider, model).windows, at_ns)
    ]
    return pl.DataFrame(rows, schema=_MODELS, orient="row").sort("provider", "model", "when", maintain_order=True)


def _line(provider: str, model: str, window: Window) -> dict[str, Any]:
    rates: dict[str, int | None] = dict(zip(TOKEN_METERS, window.token_rates, strict=True))
    shown = {column: Decimal(0) if window.free else _a_million(rates[meter]) for column, meter in SHOWN.items()}
    return {
        "provider": provider,
        "model": model,
        "when": in_words(condition(window)),
        **shown,
        "fees": ", ".join(f"{price} {unit}" for unit, price in fees(window).items()),
        "since": _moment(window.from_ns),
        "price_id": window.price_id,
        "source": window.source,
    }


def history(book: PriceBook, provider: str, model: str, context: str = "") -> pl.DataFrame:
    """Return what a model has been charged at: a row a meter and period, in order of time, None for an open end.

    Of meters that cost the same throughout, as kinds of input do, the first stands for all. `price_usd` is for a
    million tokens where `a_million`, else for one unit. `context` is one of `contexts(book, provider, model)`.
    """
    windows = list(charged(list_rates(book, provider, model, _parsed(context)).windows))
    told = [row for meter in _meters(windows) for row in _of_meter(windows, meter)]
    return pl.DataFrame(told, schema=_HISTORY, orient="row")


def _parsed(context: str) -> PriceContext:
    return PriceContext(**dict(pair.split("=", 1) for pair in context.split("&"))) if context else PLAIN


def _meters(windows: Sequence[Window]) -> Iterator[str]:
    """Yield the token meters that differ from an earlier one of their kind, and the units that cost something."""
    seen: set[tuple[str, tuple[int | None, ...]]] = set()
    for place, meter in enumerate(TOKEN_METERS):
        rates = tuple(0 if window.free else window.token_rates[place] for window in windows)
        if (kind_of(meter), rates) not in seen and any(rate is not None for rate in rates):
            seen.add((kind_of(meter), rates))
            yield meter
    yield from dict.fromkeys(unit for window in windows for unit in fees(window))


def _of_meter(windows: Sequence[Window], meter: str) -> Iterator[dict[str, Any]]:
    for window in sorted(windows, key=lambda one: (in_words(condition(one)), one.from_ns)):
        rate = _rate(window, meter)
        if rate is not None:
            by_million = meter in TOKEN_METERS
            yield {
                "meter": meter,
                "when": in_words(condition(window)),
                "starts_at": _moment(window.from_ns),
                "ends_at": _moment(window.to_ns),
                "price_usd": _a_million(rate) if by_million else Decimal(rate).scaleb(-18),
                "a_million": by_million,
                "price_id": window.price_id,
                "source": window.fee_sources.get(meter, window.source),
            }


def _rate(window: Window, meter: str) -> int | None:
    if meter in _PLACES:
        return 0 if window.free else window.token_rates[_PLACES[meter]]
    return window.request_rate or None if meter == "requests" else window.unit_rates.get(meter)


def _a_million(atto: int | None) -> Decimal | None:
    return None if atto is None else Decimal(atto).scaleb(-12)


def _moment(at_ns: int) -> datetime | None:
    return None if abs(at_ns) >= END_OF_TIME else _EPOCH + timedelta(microseconds=at_ns // 1000)

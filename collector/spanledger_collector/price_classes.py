"""The price classes of a batch of rows: its distinct (provider, models, context), and their windows as columns.

A batch has many rows and few classes; each class is looked up in the book once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from spanledger.instants import DAY_NS, MONDAY
from spanledger.pricing import MAX_PICO, UNKNOWN, PriceContext, Rates, Window, rates, token_pico

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HIGHEST: Final = 2**63 - 1
"""Atto-dollars; a contract may say more. Who meets it reckons with the window's own rate."""
CLASS_COLUMNS: Final = (
    "provider",
    "response_model",
    "request_model",
    "service_tier",
    "speed",
    "region",
    "is_batch",
    "provider_account",
)


def whole(column: pa.ChunkedArray) -> Ints:
    """Return whole numbers (times as microseconds), 0 for NULL."""
    return np.asarray(pc.fill_null(column.combine_chunks().cast(pa.int64()), 0).to_numpy(zero_copy_only=False))


def class_rates(rows: pa.Table) -> tuple[list[Rates], Ints]:
    """Return the rates of each distinct class, and the class of each row."""
    codes = np.zeros(rows.num_rows, np.int64)
    for name in CLASS_COLUMNS:
        encoded = rows[name].combine_chunks().dictionary_encode()
        code = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
        # Numbered anew after each column, so that products of cardinalities can't overflow.
        codes = _renumber(codes * (len(encoded.dictionary) + 1) + code + 1)
    first = np.empty(int(codes.max()) + 1, np.int64)
    first[codes[::-1]] = np.arange(rows.num_rows)[::-1]
    distinct = rows.select(CLASS_COLUMNS).take(first).to_pylist()
    return [_rates_of(values) for values in distinct], codes


def _renumber(codes: Ints) -> Ints:
    return np.asarray(pa.array(codes).dictionary_encode().indices.to_numpy(), dtype=np.int64)


def _rates_of(values: dict[str, Any]) -> Rates:
    models = [name for name in (values["response_model"], values["request_model"]) if name]
    if not values["provider"]:
        return Rates((), "unknown_provider")
    tried = [rates(values["provider"], model, context_of(values)) for model in models]
    known = [found for found in tried if found.windows or found.unpriced_reason not in UNKNOWN]
    return next(iter([*known, *tried]), Rates((), "unknown_model"))


def context_of(values: dict[str, Any]) -> PriceContext:
    """Return the price context of a row."""
    return PriceContext(
        "batch" if values["is_batch"] else None,
        values["service_tier"],
        values["speed"],
        values["region"],
        values["provider_account"],
    )


class WindowColumns:
    """The windows of a batch's classes as columns."""

    def __init__(self, classes: Sequence[Rates]) -> None:
        self.windows: list[Window] = [window for found in classes for window in found.windows]
        self.models = [found.matched_model for found in classes]
        sizes = np.array([len(found.windows) for found in classes], np.int64)
        self._size = sizes
        self._start = np.cumsum(sizes) - sizes
        self._bounds = {
            name: np.array([getattr(window, name) for window in self.windows], np.int64)
            for name in ("from_ns", "to_ns", "daily_from_ns", "daily_to_ns", "weekdays", "above", "up_to")
        }
        requests = [token_pico(1, window.request_rate) for window in self.windows]
        self.request_pico = np.array([min(pico, MAX_PICO + 1) for pico in requests], np.int64)

    def window_of(self, of_row: Ints, at_us: Ints, total_input: Ints) -> Ints:
        """Return the first window of each row's class that holds it, -1 where none does."""
        at_ns = at_us * 1000
        of_day, of_week = at_ns % DAY_NS, (at_ns // DAY_NS + MONDAY) % 7
        found = np.full(len(of_row), -1, np.int64)
        for place in range(int(self._size.max())):
            rest = np.flatnonzero((found < 0) & (self._size[of_row] > place))
            window = self._start[of_row[rest]] + place
            bound = {name: values[window] for name, values in self._bounds.items()}
            holds = (bound["from_ns"] <= at_ns[rest]) & (at_ns[rest] < bound["to_ns"])
            holds &= (bound["above"] < total_input[rest]) & (total_input[rest] <= bound["up_to"])
            holds &= (bound["daily_from_ns"] <= of_day[rest]) & (of_day[rest] < bound["daily_to_ns"])
            holds &= (bound["weekdays"] >> of_week[rest]) & 1 == 1
            found[rest[holds]] = window[holds]
        return found

    def token_rates(self, meter: int) -> Ints:
        """Return the atto rate of one token meter in each window, as `held`."""
        return held([window.token_rates[meter] for window in self.windows])


def held(rates: Sequence[int | None]) -> Ints:
    """Return rates in 64 bits: -1 for None, HIGHEST for what is as high, or higher."""
    return np.array([-1 if rate is None else min(rate, HIGHEST) for rate in rates], np.int64)

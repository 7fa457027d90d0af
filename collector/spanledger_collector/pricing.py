"""Price a batch of rows: the same book and the same pico-dollar as `spanledger.pricing.price`, without a loop per row.

Distinct (provider, models, context) classes are looked up once; their windows become columns of integers that rows
index into. An atto-dollar rate is split into whole pico-dollars and a millionth rest, so that tokens x rate stays in
64 bits; a row too dear for that is handed to `price` itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spanledger.pricing import (
    COMPONENTS,
    MAX_COUNT,
    MAX_PICO,
    OTHER,
    TOKEN_COMPONENTS,
    price,
    unit_pico,
)
from spanledger.rates import TOKEN_METERS
from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS, Usage

from .price_classes import CLASS_COLUMNS, HIGHEST, Bools, Ints, WindowColumns, class_rates, context_of, held, whole
from .row import MONEY, TEXT, UNIT_MAP

_MICRO: Final = 10**6
_METER_LIMIT: Final = 2**57
"""Pico-dollars of one meter; the sum of all meters of a row then fits in 64 bits."""
READ: Final = (
    *CLASS_COLUMNS,
    *TOKEN_METERS,
    "input_tokens",
    "output_tokens",
    "start_time",
    "units",
    "usage_state",
)
"""Columns that a price depends on."""
_REASONS: Final = ("no_usage", "inconsistent", "unknown_provider", "unknown_model", "no_price")


def price_rows(rows: pa.Table) -> pa.Table:
    """Return the rows with cost_usd, its parts, unpriced_reason, cost_source, price_id and matched_model filled in.

    Priced are rows with role inference that are no duplicate and carry no unpriced_reason or cost_source yet; all
    others pass as they are. A row is never dropped: what can't be priced says why.
    """
    wanted = _unpriced_calls(rows)
    read = rows.select(READ)
    everything = bool(pc.all(wanted, min_count=0).as_py())
    chosen = read if everything else read.filter(wanted)
    if not chosen.num_rows:
        return rows
    filled = _price_chosen(chosen)
    for name, values in filled.items():
        index = rows.schema.get_field_index(name)
        column = values if everything else pc.replace_with_mask(rows[name].combine_chunks(), wanted, values)
        rows = rows.set_column(index, rows.schema.field(index), column)
    return rows


def _unpriced_calls(rows: pa.Table) -> pa.Array:
    """Return a mask; cost_source is set on declared or already priced rows."""
    wanted = pc.fill_null(pc.equal(rows["role"], "inference"), False)
    for name in ("duplicate_of", "unpriced_reason", "cost_source"):
        wanted = pc.and_(wanted, pc.is_null(rows[name]))
    return wanted.combine_chunks()


@dataclass(slots=True)
class _Answer:
    """The answer for a batch, an element a row."""

    parts: list[Ints]
    """Pico-dollars, in the order of COMPONENTS."""
    window: Ints
    """Index into the book's windows, -1 without."""
    reason: Ints
    """Index into _REASONS, -1 where priced; the first reason found stays."""

    def refuse(self, rows: Bools, reason: str) -> None:
        """Give a reason to rows that have none yet."""
        self.reason[rows & (self.reason < 0)] = _REASONS.index(reason)


def _price_chosen(rows: pa.Table) -> dict[str, pa.Array]:
    counts = [whole(rows[name]) for name in TOKEN_METERS]
    units = _Units(rows["units"])
    classes, of_row = class_rates(rows)
    book = WindowColumns(classes)
    total_input = np.sum(counts[: len(INPUT_PARTS)], axis=0)
    window = book.window_of(of_row, whole(rows["start_time"]), total_input)
    zeros = [np.zeros(rows.num_rows, np.int64) for _ in COMPONENTS]
    answer = _Answer(zeros, window, np.full(rows.num_rows, -1, np.int64))
    _refuse_usage(answer, rows, counts, units)
    looked_up = answer.reason < 0
    for reason in ("unknown_provider", "unknown_model"):
        answer.refuse(np.array([found.unpriced_reason == reason for found in classes])[of_row], reason)
    answer.refuse(window < 0, "no_price")
    if book.windows:
        odd = _add_meters(answer, book, counts, units)
        for index in np.flatnonzero(odd & (answer.reason < 0)).tolist():
            _price_single(rows.slice(index, 1), answer, index)
    return _columns(answer, book, of_row, looked_up)


def _refuse_usage(answer: _Answer, rows: pa.Table, counts: Sequence[Ints], units: _Units) -> None:
    """Refuse rows that have no usage to price, or one that contradicts itself."""
    state = rows["usage_state"]
    every = np.stack(counts)
    metered = units.any | np.any(every != 0, axis=0)
    answer.refuse(_mask(pc.is_null(state)) & ~metered | _mask(pc.equal(state, "missing")), "no_usage")
    answer.refuse(_mask(pc.equal(state, "inconsistent")) | units.negative, "inconsistent")
    answer.refuse(np.any((every < 0) | (every > MAX_COUNT), axis=0), "inconsistent")
    for total, parts in (("input_tokens", INPUT_PARTS), ("output_tokens", OUTPUT_PARTS)):
        added = np.sum([counts[TOKEN_METERS.index(part)] for part in parts], axis=0)
        answer.refuse(_mask(pc.is_valid(rows[total])) & (whole(rows[total]) != added), "inconsistent")


def _mask(values: pa.Array | pa.ChunkedArray) -> Bools:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


# Meters


def _add_meters(answer: _Answer, book: WindowColumns, counts: Sequence[Ints], units: _Units) -> Bools:
    """Add up the parts and refuse what has no price; return the rows that must be priced one by one."""
    odd = np.zeros(len(answer.window), np.bool_)
    unknown = odd.copy()
    for meter, count in enumerate(counts):
        if count.any():
            rate = book.token_rates(meter)[answer.window]
            amount, fits = _amounts(count, rate)
            answer.parts[TOKEN_COMPONENTS[meter]] += amount
            odd |= ~fits
            unknown |= (count != 0) & (rate < 0)
    odd |= units.add_to(answer, book, unknown)
    answer.parts[OTHER] += book.request_pico[answer.window]
    answer.refuse(unknown & ~odd, "no_price")
    answer.refuse((np.sum(answer.parts, axis=0) > MAX_PICO) & ~odd, "inconsistent")
    return odd


def _amounts(count: Ints, rate: Ints) -> tuple[Ints, Bools]:
    """Return count x rate in pico-dollars, half up, and where that fitted (elsewhere it is 0)."""
    known = (rate < HIGHEST) | (count == 0)
    rate = np.maximum(rate, 0)
    pico, rest = rate // _MICRO, rate % _MICRO
    fits = known & (count >= 0) & (count <= MAX_COUNT) & (count <= _METER_LIMIT // np.maximum(pico, 1))
    count = np.where(fits, count, 0)
    return count * pico + (count * rest + _MICRO // 2) // _MICRO, fits


_UNIT_LISTS: Final = pa.list_(pa.struct([("key", pa.string()), ("value", UNIT_MAP.item_type)]))
"""Compute functions take no maps, but a map is a list of entries."""


class _Units:
    """The entries of the column `units` that counted anything, one element an entry."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        maps = column.combine_chunks().cast(_UNIT_LISTS)
        lengths = np.asarray(pc.fill_null(pc.list_value_length(maps), 0).to_numpy(zero_copy_only=False))
        entries = pc.list_flatten(maps)
        names = pc.struct_field(entries, 0).dictionary_encode()
        micro = _unscaled(pc.struct_field(entries, 1))
        counted = micro != 0
        self._row = np.repeat(np.arange(len(maps)), lengths)[counted]
        self._names: list[str] = names.dictionary.to_pylist()
        self._name = names.indices.to_numpy(zero_copy_only=False)[counted].astype(np.int64)
        self._micro = micro[counted]
        self.any = np.zeros(len(maps), np.bool_)
        self.any[self._row] = True
        self.negative = np.zeros(len(maps), np.bool_)
        self.negative[self._row[self._micro < 0]] = True

    def add_to(self, answer: _Answer, book: WindowColumns, unknown: Bools) -> Bools:
        """Add the units' amounts to the last part; mark rows with a unit that has no price, return broken ones."""
        odd = np.zeros(len(answer.window), np.bool_)
        if not len(self._row):
            return odd
        rate, least = self._rates(book, answer.window[self._row])
        micro = np.where(self._micro > 0, np.maximum(self._micro, least * _MICRO), self._micro)
        amount, fits = _amounts(micro // _MICRO, rate)
        for entry in np.flatnonzero((micro % _MICRO != 0) & (rate >= 0) & fits).tolist():
            exact = unit_pico(int(micro[entry]), int(rate[entry]))
            fits[entry] = exact <= _METER_LIMIT
            amount[entry] = min(exact, _METER_LIMIT)
        np.add.at(answer.parts[OTHER], self._row, amount)
        unknown[self._row[rate < 0]] = True
        fits &= rate < HIGHEST
        odd[self._row[~fits]] = True
        return odd

    def _rates(self, book: WindowColumns, window: Ints) -> tuple[Ints, Ints]:
        """Return each entry's atto rate (-1 without) and least billed quantity."""
        pairs, of_entry = np.unique(window * len(self._names) + self._name, return_inverse=True)
        known = [
            (book.windows[pair // len(self._names)], self._names[pair % len(self._names)]) for pair in pairs.tolist()
        ]
        listed = [window.unit_rate(name) for window, name in known]
        rate = held(listed)
        least = np.array([window.minimums.get(name, 0) for window, name in known], np.int64)
        return rate[of_entry], least[of_entry]


# One by one, and back to columns


def _price_single(row: pa.Table, answer: _Answer, index: int) -> None:
    """Let `price` decide on a row that is too dear for 64 bits."""
    values = row.to_pylist()[0]
    counts = {name: values[name] or 0 for name in TOKEN_METERS}
    usage = Usage(**counts, units=dict(values["units"] or ()), state="reported")
    at_us = int(whole(row["start_time"])[0])
    model = values["response_model"] or values["request_model"]
    found = price(
        values["provider"], model, usage, at_us * 1000, context_of(values), request_model=values["request_model"]
    )
    if found.unpriced_reason is not None:
        answer.reason[index] = _REASONS.index(found.unpriced_reason)
    for part, amount in zip(answer.parts, found[1:6], strict=True):
        part[index] = amount or 0


def _columns(answer: _Answer, book: WindowColumns, of_row: Ints, looked_up: Bools) -> dict[str, pa.Array]:
    priced = answer.reason < 0
    matched = pc.coalesce(
        _texts([window.matched_model for window in book.windows], answer.window), _texts(book.models, of_row)
    )
    return {
        "cost_usd": _money(np.sum(answer.parts, axis=0), priced),
        **{name: _money(part, priced) for name, part in zip(COMPONENTS, answer.parts, strict=True)},
        "unpriced_reason": _texts(_REASONS, answer.reason),
        "cost_source": _texts(
            ["none", *(window.cost_source for window in book.windows)], np.where(priced, answer.window + 1, 0)
        ),
        "price_id": _texts([window.price_id for window in book.windows], np.where(priced, answer.window, -1)),
        "matched_model": pc.if_else(pa.array(looked_up), matched, pa.scalar(None, TEXT)),
    }


def _texts(values: Sequence[str | None], index: Ints) -> pa.Array:
    """Return values[index], NULL where the index is negative."""
    return pa.array(values, TEXT).take(pa.array(index, mask=index < 0))


def _money(pico: Ints, valid: Bools) -> pa.Array:
    """Return pico-dollars as DECIMAL(18,12) by their bits: no float on the way."""
    words = np.empty((len(pico), 2), np.int64)
    words[:, 0] = np.where(valid, pico, 0)
    words[:, 1] = words[:, 0] >> 63
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    return pa.Array.from_buffers(MONEY, len(pico), [bitmap, pa.py_buffer(words.tobytes())])


def _unscaled(values: pa.Array) -> Ints:
    """Return decimals that fit in 64 bits as whole numbers of their last place, 0 for NULL."""
    if not len(values):
        return np.zeros(0, np.int64)
    filled = pc.fill_null(values, Decimal(0))
    words = np.frombuffer(filled.buffers()[1], np.int64).reshape(-1, 2)
    return words[filled.offset : filled.offset + len(filled), 0]

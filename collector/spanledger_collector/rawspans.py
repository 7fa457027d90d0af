"""The raw table with the look-ups that the tables of `vocabulary` ask for.

Where a span says one thing under two keys and they differ, the first wins; `returned` puts the other back among the
attributes, so that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .mined import MINED
from .row import TEXT_MAP
from .tokens import Count
from .vocabulary import COUNTS, FIRSTS, KEPT, NUMBERS, RESOURCE_TEXTS, TEXTS
from .wire import json_text

Flags = npt.NDArray[np.bool_]


class RawSpans:
    """A raw table; one column of the row at a time is asked for by the name that `vocabulary` gives it."""

    def __init__(self, raw: pa.Table) -> None:
        self.rows = raw.num_rows
        self._columns: dict[str, pa.Array] = {name: whole(raw[name]) for name in raw.column_names}
        self._overruled: dict[str, Flags] = {}

    def column(self, name: str) -> pa.Array:
        """Return a column that every raw table has."""
        return self._columns[name]

    def pick(self, keys: Sequence[str], kind: pa.DataType) -> pa.Array:
        """Return the first of `keys` that each span has."""
        return self._first([f"span:{key}" for key in keys], [], kind)

    def text(self, name: str) -> pa.Array:
        """Return a text column, from the span or else from its resource; empty text is NULL."""
        names = [f"span:{key}" for key in TEXTS.get(name, ())]
        names += [f"resource:{key}" for key in RESOURCE_TEXTS.get(name, ())]
        return self._first(names, self._mined(name), pa.string())

    def first(self, name: str) -> pa.Array:
        """Return the first of a list."""
        return self._first([f"span:{key}" for key in FIRSTS[name]], self._mined(name), pa.string())

    def count(self, name: str) -> Count:
        """Return a whole number, 0 where it isn't known."""
        mined = [texts.cast(pa.int64()) for texts in self._mined(name)]
        found = self._first([f"span:{key}" for key in COUNTS[name]], mined, pa.int64())
        return Count(numbers(found, 0), known(found))

    def number(self, name: str) -> npt.NDArray[np.float64]:
        """Return any number, NaN where it isn't known."""
        mined = [texts.cast(pa.float64()) for texts in self._mined(name)]
        found = self._first([f"span:{key}" for key in NUMBERS[name]], mined, pa.float64())
        filled: npt.NDArray[np.float64] = pc.fill_null(found, np.nan).to_numpy(zero_copy_only=False)
        return filled

    def has(self, key: str) -> bool:
        """Say whether any span has the key."""
        return f"span:{key}" in self._columns

    def distinct(self, key: str) -> list[str]:
        """Return the different texts of one key."""
        found: list[str] = self.pick((key,), pa.string()).drop_null().unique().to_pylist()
        return found

    def returned(self, name: str, prefix: str) -> pa.Array:
        """Return a map of other attributes with what lost against another key of the same meaning."""
        lost: dict[int, dict[str, str]] = {}
        for column, mask in self._overruled.items():
            if column.startswith(prefix) and column.removeprefix(prefix) not in KEPT:
                for row in np.flatnonzero(mask).tolist():
                    value = json_text(self._columns[column][row].as_py())
                    lost.setdefault(row, {})[column.removeprefix(prefix)] = value
        return _with_entries(self._columns[name], lost)

    def _first(self, names: Sequence[str], more: Sequence[pa.Array], kind: pa.DataType) -> pa.Array:
        present = [name for name in names if name in self._columns]
        texts = kind == pa.string()
        arrays = [_nonempty(self._columns[name]) if texts else self._columns[name] for name in present]
        if not arrays and not more:
            return pa.nulls(self.rows, kind)
        found = pc.coalesce(*arrays, *more) if len(arrays) + len(more) > 1 else [*arrays, *more][0]
        for name, array in list(zip(present, arrays, strict=True))[1:]:
            self._overruled[name] = flags(pc.fill_null(pc.not_equal(array, found), False))
        return found

    def _mined(self, name: str) -> list[pa.Array]:
        """Return what stands inside the JSON texts of other keys."""
        return [
            pc.struct_field(pc.extract_regex(self._columns[f"span:{key}"], pattern), "found")
            for key, pattern in MINED.get(name, ())
            if f"span:{key}" in self._columns
        ]


def _with_entries(maps: pa.Array, entries: Mapping[int, Mapping[str, str]]) -> pa.Array:
    """Return the maps with entries added to some of them; what they have already stays."""
    if not entries:
        return maps
    places = sorted(entries)
    changed = [
        [*({**entries[place], **dict(old)}).items()]
        for place, old in zip(places, maps.take(pa.array(places)).to_pylist(), strict=True)
    ]
    source = np.arange(len(maps))
    source[places] = len(maps) + np.arange(len(places))
    return pa.concat_arrays([maps, pa.array(changed, TEXT_MAP)]).take(pa.array(source))


def translate(texts: pa.Array, change: Callable[[str], str | None]) -> pa.Array:
    """Return `change` of every text, called once per distinct one."""
    if texts.null_count == len(texts):
        return texts
    encoded = texts.dictionary_encode()
    return pa.array([change(text) for text in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)


def words_of(codes: pa.Array, words: Sequence[str]) -> pa.Array:
    """Return the word of each code; a code that isn't in the list is the first word."""
    places = codes.to_numpy()
    inside = (places >= 0) & (places < len(words))
    return pa.array(words, pa.string()).take(pa.array(np.where(inside, places, 0)))


def numbers(array: pa.Array, unknown: float) -> npt.NDArray[np.int64]:
    """Return numbers as numpy has them, with `unknown` for NULL."""
    filled: npt.NDArray[np.int64] = pc.fill_null(array, unknown).to_numpy(zero_copy_only=False)
    return filled


def known(array: pa.Array) -> Flags:
    """Return where a value is."""
    return flags(pc.is_valid(array))


def is_word(texts: pa.Array, word: str) -> Flags:
    """Return where a text is `word`."""
    return flags(pc.fill_null(pc.equal(texts, word), False))


def flags(array: pa.Array) -> Flags:
    """Return booleans as numpy has them."""
    return np.asarray(array.to_numpy(zero_copy_only=False), np.bool_)


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece; pyarrow would copy one that is."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _nonempty(texts: pa.Array) -> pa.Array:
    empty = pc.equal(texts, "")
    return pc.if_else(empty, pa.scalar(None, pa.string()), texts) if pc.any(empty).as_py() else texts

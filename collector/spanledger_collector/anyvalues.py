"""Whole arrays of serialised AnyValues, read without a Python step per value.

An AnyValue on the wire is one field: a tag byte and what follows. Encoders write it in exactly one way; `canonical`
finds the values that are written in any other and has the official class write them anew, so that all else here can
trust the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from . import slim
from .vocabulary import Kind
from .wire import DIGITS, EXACT_DOUBLES, HASH_BYTES, json_text, json_value, plain_text

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

EMPTY: Final = 0
STRING: Final = 0x0A
BOOL: Final = 0x10
INT: Final = 0x18
DOUBLE: Final = 0x21
ARRAY: Final = 0x2A
BYTES: Final = 0x3A
_DELIMITED: Final = (STRING, ARRAY, 0x32, BYTES)
"""String, array, kvlist, bytes: a length follows the tag."""
_TAGS_OF_KIND: Final[Mapping[Kind, tuple[int, ...]]] = {
    "text": (STRING, INT),
    "count": (INT, DOUBLE, STRING),
    "number": (DOUBLE, INT),
    "flag": (BOOL,),
    "first": (STRING, ARRAY),
    "hashes": (BYTES,),
}
_READABLE: Final = {kind: np.isin(np.arange(256), tags) for kind, tags in _TAGS_OF_KIND.items()}
_IS_DELIMITED: Final = np.isin(np.arange(256), _DELIMITED)
_END: Final = 2**31 - 1
"""pyarrow 26 fails on a slice without a stop."""
_LONG: Final = 130
"""Bytes from which on the length takes more than one byte."""
_LONGEST_VARINT: Final = 10

# Bytes that JSON text has to escape: control characters, quote, backslash.
_ESCAPED: Final = np.zeros(256, bool)
_ESCAPED[:32] = _ESCAPED[[0x22, 0x5C]] = True


def canonical(values: pa.Array) -> pa.Array:
    """Return the values, each as one field written the usual way."""
    odd = _odd(values)
    if not odd.any():
        return values
    anew = [_rewritten(value) for value in values.filter(pa.array(odd)).to_pylist()]
    return pc.replace_with_mask(values, pa.array(odd), pa.array(anew, pa.binary()))


def tags_of(values: pa.Array) -> Bytes:
    """Return the tag byte of each canonical value; EMPTY where it has none."""
    offsets, data = _buffers(values)
    tags = np.zeros(len(values), np.uint8)
    filled = offsets[1:] > offsets[:-1]
    tags[filled] = data[offsets[:-1][filled]]
    return tags


def readable(kind: Kind, tags: Bytes) -> Mask:
    """Return which values can be read as `kind`, as far as the tag tells."""
    return _READABLE[kind][tags]


def typed(kind: Kind, values: pa.Array, tags: Bytes) -> pa.Array:
    """Return readable values in the type of their kind ("first" apart: see `firsts`)."""
    by_tag: dict[int, Callable[[pa.Array], pa.Array]] = {STRING: _strings, BOOL: _bools, INT: _ints, DOUBLE: _doubles}
    if kind == "text":
        by_tag[INT] = _int_texts
    elif kind == "number":
        by_tag[INT] = _int_numbers
    return _by_tag(values, tags, {tag: by_tag[tag] for tag in _TAGS_OF_KIND[kind]})


def counts(values: pa.Array, tags: Bytes) -> pa.Array:
    """Return whole numbers, also those that are written as doubles or digits; NULL for anything else."""
    return _by_tag(values, tags, {INT: _ints, DOUBLE: _whole_doubles, STRING: _digits})


def hashes(values: pa.Array) -> tuple[pa.Array, Mask]:
    """Return bytes values as lists of signed numbers of eight bytes, and which values are that."""
    contents = _contents(values)
    offsets, data = _buffers(contents)
    sizes = np.diff(offsets)
    whole = (sizes > 0) & (sizes % HASH_BYTES == 0)
    kept = contents.filter(pa.array(whole))
    offsets, data = _buffers(kept)
    numbers = data[offsets[0] : offsets[-1]].view("<i8")
    starts = (offsets - offsets[0]) // HASH_BYTES
    return pa.ListArray.from_arrays(pa.array(starts, pa.int32()), pa.array(numbers, pa.int64())), whole


def json_texts(values: pa.Array, tags: Bytes) -> pa.Array:
    """Return each value as JSON text."""
    return _by_tag(values, tags, {STRING: _string_jsons, INT: _int_texts, ARRAY: _array_jsons}, _slow_jsons)


def plain_texts(values: pa.Array, tags: Bytes) -> pa.Array:
    """Return strings as they stand and anything else as JSON text."""
    return _by_tag(values, tags, {STRING: _strings, INT: _int_texts}, _slow_plain)


def distinct(values: pa.Array, read: Callable[[AnyValue], object], kind: pa.DataType) -> pa.Array:
    """Return `read` of every value, called once per distinct one."""
    encoded = values.dictionary_encode()
    found = [read(AnyValue.FromString(value)) for value in encoded.dictionary.to_pylist()]
    return pa.array(found, kind).take(encoded.indices)


def offsets_of(texts: pa.Array) -> Ints:
    """Return where each text or value starts, and the last one ends."""
    return _buffers(texts)[0]


def _odd(values: pa.Array) -> Mask:
    """Return which values aren't one field written the usual way."""
    offsets, data = _buffers(values)
    sizes = np.diff(offsets)
    tags = tags_of(values)
    odd = sizes > 0
    delimited = _IS_DELIMITED[tags]
    short = np.flatnonzero(delimited & (sizes > 1) & (sizes < _LONG))
    odd[short] = sizes[short] != data[offsets[:-1][short] + 1] + np.int64(2)
    long = np.flatnonzero(delimited & (sizes >= _LONG))
    length, header = _varints(values, long)
    odd[long] = sizes[long] != length + header + 1
    ints = np.flatnonzero(tags == INT)
    odd[ints] = sizes[ints] != _varints(values, ints)[1] + 1
    odd[(tags == DOUBLE) & (sizes == 9)] = False
    bools = np.flatnonzero((tags == BOOL) & (sizes == 2))
    odd[bools] = _varints(values, bools)[0] > 1
    return odd


def _rewritten(value: bytes) -> bytes:
    parsed = AnyValue.FromString(value)
    parsed.DiscardUnknownFields()
    return parsed.SerializeToString()


def _buffers(array: pa.Array) -> tuple[Ints, Bytes]:
    """Return offsets and bytes of a binary or string array."""
    _, offsets, data = array.buffers()
    if offsets is None or not len(array):
        return np.zeros(len(array) + 1, np.int64), np.zeros(0, np.uint8)
    width = np.frombuffer(offsets, np.int32, len(array) + 1, array.offset * 4)
    return width.astype(np.int64), np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)


def _varints(values: pa.Array, places: Ints) -> tuple[Ints, Ints]:
    """Return the varint after the tag of each value at `places`, and its size in bytes (0 if it never ends)."""
    offsets, data = _buffers(values)
    at, ends = offsets[:-1][places] + 1, offsets[1:][places]
    numbers, sizes = np.zeros(len(places), np.uint64), np.zeros(len(places), np.int64)
    active = np.flatnonzero(at < ends)
    for index in range(_LONGEST_VARINT):
        if not len(active):
            break
        byte = data[at[active] + index]
        numbers[active] |= (byte & 0x7F).astype(np.uint64) << np.uint64(7 * index)
        sizes[active[byte < 0x80]] = index + 1
        active = active[byte >= 0x80]
        active = active[at[active] + index + 1 < ends[active]]
    return numbers.view(np.int64), sizes


def _by_tag(
    values: pa.Array,
    tags: Bytes,
    readers: Mapping[int, Callable[[pa.Array], pa.Array]],
    otherwise: Callable[[pa.Array], pa.Array] | None = None,
) -> pa.Array:
    """Read each value by the reader of its tag, keeping the order."""
    if len(tags) and tags[0] in readers and (tags == tags[0]).all():
        return readers[int(tags[0])](values)
    groups = [(np.flatnonzero(tags == tag), reader) for tag, reader in readers.items()]
    if otherwise is not None:
        groups.append((np.flatnonzero(~np.isin(tags, np.array(list(readers), np.uint8))), otherwise))
    filled = [(places, reader) for places, reader in groups if len(places)]
    if len(filled) == 1:
        return filled[0][1](values)
    if not filled:
        return groups[0][1](values)
    return _merged([(places, reader(values.take(pa.array(places)))) for places, reader in filled], len(values))


def _merged(pieces: Sequence[tuple[Ints, pa.Array]], rows: int) -> pa.Array:
    """Return one array from pieces that say where their elements belong."""
    order = np.empty(rows, np.int64)
    order[np.concatenate([places for places, _ in pieces])] = np.arange(rows)
    return pa.concat_arrays([piece for _, piece in pieces]).take(pa.array(order))


def _strings(values: pa.Array) -> pa.Array:
    """Return the text of string values; raises pyarrow.ArrowInvalid where it isn't UTF-8."""
    return _contents(values).cast(pa.string())


def _contents(values: pa.Array) -> pa.Array:
    """Return what stands behind tag and length."""
    lengths = np.diff(_buffers(values)[0])
    long = np.flatnonzero(lengths >= _LONG)
    if not len(long):
        return pc.binary_slice(values, 2, _END)
    headers = np.full(len(values), 2)
    headers[long] = _varints(values, long)[1] + 1
    sizes = np.unique(headers)
    if len(sizes) == 1:
        return pc.binary_slice(values, int(sizes[0]), _END)
    pieces = []
    for size in sizes.tolist():
        places = np.flatnonzero(headers == size)
        pieces.append((places, pc.binary_slice(values.take(pa.array(places)), size, _END)))
    return _merged(pieces, len(values)) if pieces else pa.array([], pa.binary())


def _ints(values: pa.Array) -> pa.Array:
    return pa.array(_varints(values, np.arange(len(values)))[0], pa.int64())


def _int_texts(values: pa.Array) -> pa.Array:
    return _ints(values).cast(pa.string())


def _int_numbers(values: pa.Array) -> pa.Array:
    return pa.array(_ints(values).to_numpy().astype(np.float64))


def _doubles(values: pa.Array) -> pa.Array:
    offsets, data = _buffers(values)
    eight = data[(offsets[:-1] + 1)[:, None] + np.arange(8)]
    return pa.array(np.ascontiguousarray(eight).view("<f8").ravel(), pa.float64())


def _whole_doubles(values: pa.Array) -> pa.Array:
    numbers = _doubles(values).to_numpy()
    whole = (np.abs(numbers) < EXACT_DOUBLES) & (np.floor(numbers) == numbers)
    return pa.array(np.where(whole, numbers, 0).astype(np.int64), mask=~whole)


def _digits(values: pa.Array) -> pa.Array:
    texts = _strings(values)
    good = pc.match_substring_regex(texts, DIGITS)
    return pc.if_else(good, texts, pa.scalar(None, pa.string())).cast(pa.int64())


def _bools(values: pa.Array) -> pa.Array:
    offsets, data = _buffers(values)
    return pa.array(data[offsets[:-1] + 1] != 0)


def _string_jsons(values: pa.Array) -> pa.Array:
    texts = _strings(values)
    offsets, data = _buffers(texts)
    quoted = pc.binary_join_element_wise('"', texts, '"', "")
    hits = np.flatnonzero(_ESCAPED[data[: offsets[-1]]])
    if not len(hits):
        return quoted
    escaped = np.zeros(len(texts), bool)
    escaped[np.searchsorted(offsets, hits, side="right") - 1] = True
    anew = [json_text(text) for text in texts.filter(pa.array(escaped)).to_pylist()]
    return pc.replace_with_mask(quoted, pa.array(escaped), pa.array(anew, pa.string()))


def _array_jsons(values: pa.Array) -> pa.Array:
    """Return arrays as JSON; such as hold more than strings and whole numbers are read one by one."""
    try:
        lists = slim.elements(_contents(values))
    except ValueError:
        return _slow_jsons(values)
    items = canonical(lists.values)
    tags = tags_of(items)
    offsets = np.asarray(lists.offsets.to_numpy(), np.int64)
    odd = np.flatnonzero((tags != STRING) & (tags != INT))
    hard = np.zeros(len(values), bool)
    hard[np.searchsorted(offsets, odd, side="right") - 1] = True
    if hard.any():
        easy, slow = np.flatnonzero(~hard), np.flatnonzero(hard)
        read = [(places, values.take(pa.array(places))) for places in (easy, slow)]
        return _merged([(easy, _array_jsons(read[0][1])), (slow, _slow_jsons(read[1][1]))], len(values))
    texts = pa.ListArray.from_arrays(lists.offsets, json_texts(items, tags))
    return pc.binary_join_element_wise("[", pc.binary_join(texts, ","), "]", "")


def _slow_jsons(values: pa.Array) -> pa.Array:
    return distinct(values, lambda value: json_text(json_value(value)), pa.string())


def _slow_plain(values: pa.Array) -> pa.Array:
    return distinct(values, plain_text, pa.string())

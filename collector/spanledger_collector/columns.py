"""OTLP bodies to the raw table, a column at a time: no Python step per span or attribute.

`slim` parses a request so far that an attribute's value stays raw bytes; numpy and pyarrow pivot the attributes. It
holds the interpreter's lock for a whole batch, so it belongs into a process of its own. `loop` does the same plainly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from . import anyvalues, slim
from .vocabulary import KEPT, PREFIXES, RESOURCE_KEYS, SPAN_KEYS, Kind
from .wire import KIND_TYPES, RAW, events_text, first_text

Ints = npt.NDArray[np.int64]

_MOST_GROWN_BYTES: Final = 1 << 30


def read_bodies(bodies: Sequence[bytes]) -> pa.Table:
    """Return the raw table of OTLP trace bodies.

    Raises:
        ValueError: a body isn't an ExportTraceServiceRequest (or pyarrow.ArrowInvalid, one, for bad UTF-8).
        google.protobuf.message.DecodeError: likewise, deeper inside a body.
        OverflowError: their rows would take too much memory.
    """
    requests = slim.requests(bodies)
    resources = requests.values
    scopes = resources.field("scope_spans").values
    spans = scopes.field("spans").values
    scope_of_span = _parents(scopes.field("spans"))
    resource_of_span = _parents(resources.field("scope_spans"))[scope_of_span]
    scope = scopes.field("scope")
    names = [scope.field(name).fill_null("") for name in ("name", "version")]
    _check_growth(names, np.bincount(scope_of_span, minlength=len(scopes)))
    columns = _identity(spans, scope, scope_of_span)
    columns["body"], columns["position"] = _origins(_parents(requests)[resource_of_span], len(bodies))
    columns["events"] = _events(spans.field("events"))
    own = _pivot(spans.field("attributes"), SPAN_KEYS, PREFIXES)
    shared = _pivot(resources.field("resource").field("attributes"), RESOURCE_KEYS, {})
    every = pa.array(resource_of_span)
    copies = np.bincount(resource_of_span, minlength=len(resources))
    _check_growth([column.fill_null("") for column in shared.known.values() if column.type == pa.string()], copies)
    _check_growth([shared.rest.keys, shared.rest.items], copies, shared.rest.offsets.to_numpy())
    columns |= {**own.groups, "attributes": own.rest, "resource": shared.rest.take(every)}
    known = {f"span:{key}": column for key, column in own.known.items()}
    known |= {f"resource:{key}": column.take(every) for key, column in shared.known.items()}
    known = {name: column for name, column in known.items() if column.null_count < len(column)}
    schema = pa.schema([*RAW, *(pa.field(name, column.type) for name, column in known.items())])
    return pa.table([(columns | known)[name] for name in schema.names], schema=schema)


def _check_growth(columns: Sequence[pa.Array], copies: Ints, offsets: Ints | None = None) -> None:
    """Refuse what pyarrow would end the process over: what spans share, repeated for each, outgrows memory."""
    for column in columns:
        ends = anyvalues.offsets_of(column)
        grown = int(np.dot(np.diff(ends if offsets is None else ends[offsets]), copies))
        if grown > _MOST_GROWN_BYTES:
            raise OverflowError(f"its resource or scope, repeated for every span, would take {grown} bytes")


def _parents(lists: pa.Array) -> Ints:
    """Return, for every element of all lists, which list it is in."""
    return np.repeat(np.arange(len(lists)), _lengths(lists))


def _lengths(lists: pa.Array) -> Ints:
    offsets: Ints = np.asarray(lists.offsets.to_numpy(), np.int64)
    return offsets[1:] - offsets[:-1]


def _origins(body_of_span: Ints, bodies: int) -> tuple[pa.Array, pa.Array]:
    """Return the body of each span, and which span of it."""
    counts = np.bincount(body_of_span, minlength=bodies)
    first = np.cumsum(counts) - counts
    position = np.arange(len(body_of_span)) - first[body_of_span]
    return pa.array(body_of_span, pa.int32()), pa.array(position, pa.int32())


def _identity(spans: pa.Array, scope: pa.Array, scope_of_span: Ints) -> dict[str, pa.Array]:
    status, of_span = spans.field("status"), pa.array(scope_of_span)
    parent = spans.field("parent_span_id")
    whole = pc.equal(pc.binary_length(parent), 8)
    return {
        "trace_id": _hex(spans.field("trace_id")),
        "span_id": _hex(spans.field("span_id")),
        "parent_span_id": pc.if_else(whole, _hex(parent), pa.scalar(None, pa.string())),
        "name": spans.field("name"),
        "kind": spans.field("kind"),
        "start_ns": spans.field("start_ns"),
        "end_ns": spans.field("end_ns"),
        "status": pc.fill_null(status.field("code"), 0),
        "status_message": _nonempty(status.field("message")),
        "scope_name": _nonempty(scope.field("name")).take(of_span),
        "scope_version": _nonempty(scope.field("version")).take(of_span),
    }


def _nonempty(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _hex(ids: pa.Array) -> pa.Array:
    """Return bytes as lower-case hex digits."""
    _, offsets, data = ids.buffers()
    if not len(ids) or data is None:
        return pa.array([""] * len(ids), pa.string())
    places = np.frombuffer(offsets, np.int32, len(ids) + 1, ids.offset * 4)
    digits = memoryview(data)[places[0] : places[-1]].hex().encode()
    return pa.StringArray.from_buffers(len(ids), pa.py_buffer((places - places[0]) * np.int32(2)), pa.py_buffer(digits))


def _events(lists: pa.Array) -> pa.Array:
    """Return events as JSON; the few spans that have any are read one by one."""
    some = np.flatnonzero(_lengths(lists))
    texts = [
        events_text([Span.Event.FromString(event) for event in events])
        for events in lists.take(pa.array(some)).to_pylist()
    ]
    return _scatter(len(lists), some, pa.array(texts, pa.string()))


def _scatter(rows: int, places: Ints, values: pa.Array) -> pa.Array:
    """Return an array of `rows` with the values at their places, NULL elsewhere; of a repeated place the last."""
    source, missing = np.zeros(rows, np.int64), np.ones(rows, bool)
    source[places] = np.arange(len(values))
    missing[places] = False
    return values.take(pa.array(source, mask=missing))


@dataclass(frozen=True, slots=True)
class _Pivoted:
    """The attributes of every row, sorted into what is known and what is not."""

    known: dict[str, pa.Array]
    groups: dict[str, pa.Array]
    rest: pa.Array


@dataclass(frozen=True, slots=True)
class _Pairs:
    """All attributes of all rows, in wire order."""

    rows: int
    row: Ints
    """Which row each pair belongs to."""
    code: Ints
    """Which distinct name it has."""
    names: list[str]
    values: pa.Array
    tags: npt.NDArray[np.uint8]


def _pivot(lists: pa.Array, keys: Mapping[str, Kind], prefixes: Mapping[str, str]) -> _Pivoted:
    pairs = _pairs(lists)
    place = {name: code for code, name in enumerate(pairs.names)}
    # Of 16-bit numbers numpy makes a radix sort, four times as fast.
    code = pairs.code.astype(np.int16) if len(pairs.names) < 2**15 else pairs.code
    order = np.argsort(code, kind="stable")
    bounds = np.searchsorted(code[order], np.arange(len(pairs.names) + 1))
    left = np.ones(len(pairs.code), bool)
    known: dict[str, pa.Array] = {}
    for key, kind in keys.items():
        if key in place:
            picked = order[bounds[place[key]] : bounds[place[key] + 1]]
            picked = picked[anyvalues.readable(kind, pairs.tags[picked])]
            known[key], said = _known(pairs, picked, kind)
            if key not in KEPT:
                left[said] = False
    groups = {}
    for group in dict.fromkeys(prefixes.values()):
        short = [_short(name, group, prefixes) for name in pairs.names]
        inside = np.array([name is not None for name in short], bool)
        picked = np.flatnonzero(inside[pairs.code] & left)
        left[picked] = False
        groups[group] = _map(pairs, picked, short, anyvalues.plain_texts(*_at(pairs, picked)))
    picked = np.flatnonzero(left)
    return _Pivoted(known, groups, _map(pairs, picked, pairs.names, anyvalues.json_texts(*_at(pairs, picked))))


def _short(name: str, group: str, prefixes: Mapping[str, str]) -> str | None:
    """Return what follows the first prefix that a name has, if that is one of the group."""
    for prefix, of_group in prefixes.items():
        if name.startswith(prefix) and name != prefix:
            return name.removeprefix(prefix) if of_group == group else None
    return None


def _pairs(lists: pa.Array) -> _Pairs:
    names = lists.values.field("key").dictionary_encode()
    values = anyvalues.canonical(lists.values.field("value"))
    code = names.indices.to_numpy().astype(np.int64)
    return _Pairs(len(lists), _parents(lists), code, names.dictionary.to_pylist(), values, anyvalues.tags_of(values))


def _at(pairs: _Pairs, picked: Ints) -> tuple[pa.Array, npt.NDArray[np.uint8]]:
    return pairs.values.take(pa.array(picked)), pairs.tags[picked]


def _known(pairs: _Pairs, picked: Ints, kind: Kind) -> tuple[pa.Array, Ints]:
    """Return the column of a known key, and the pairs that it says in full."""
    values, tags = _at(pairs, picked)
    if kind == "hashes":
        column, whole = anyvalues.hashes(values)
        return _scatter(pairs.rows, pairs.row[picked[whole]], column), picked[whole]
    if kind == "count" and (tags != anyvalues.INT).any():
        column = anyvalues.counts(values, tags)
        whole = column.is_valid().to_numpy(zero_copy_only=False)
        return _scatter(pairs.rows, pairs.row[picked[whole]], column.drop_null()), picked[whole]
    if kind != "first":
        column = anyvalues.typed(kind, values, tags) if len(picked) else pa.array([], KIND_TYPES[kind])
        return _scatter(pairs.rows, pairs.row[picked], column), picked
    texts = anyvalues.distinct(values, lambda value: first_text(value)[0], pa.string())
    whole = anyvalues.distinct(values, lambda value: first_text(value)[1], pa.bool_())
    named = np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False))
    column = _scatter(pairs.rows, pairs.row[picked[named]], texts.take(pa.array(named)))
    return column, picked[whole.to_numpy(zero_copy_only=False)]


def _map(pairs: _Pairs, picked: Ints, names: Sequence[str | None], texts: pa.Array) -> pa.Array:
    """Return a map per row from the picked pairs; of a name that a row repeats, the last."""
    unlike = {name: code for code, name in enumerate(names)}
    codes = np.array([unlike[name] for name in names], np.int64)[pairs.code[picked]]
    last = _last_of_each(pairs.row[picked] * len(names) + codes)
    if last is not None:
        picked, texts = picked[last], texts.take(pa.array(last))
    offsets = np.zeros(pairs.rows + 1, np.int32)
    np.cumsum(np.bincount(pairs.row[picked], minlength=pairs.rows), out=offsets[1:])
    keys = pa.array(names, pa.string()).take(pa.array(pairs.code[picked]))
    return pa.MapArray.from_arrays(pa.array(offsets), keys, texts)


def _last_of_each(keys: Ints) -> Ints | None:
    """Return the places of the last of equal keys, in order; None if no two are equal."""
    ordered = np.sort(keys)
    if not (ordered[1:] == ordered[:-1]).any():
        return None
    _, first_from_the_end = np.unique(keys[::-1], return_index=True)
    return np.sort(len(keys) - 1 - first_from_the_end)

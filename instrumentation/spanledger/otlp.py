"""Records as bytes of OTLP's protobuf, written directly.

A ledger span is final when it comes here, so OpenTelemetry's own way (a span object, its attributes checked and frozen,
then copied into messages) would do everything twice: it costs four times as much for the same bytes, and importing it
takes a third of a second. The messages that are needed are few and their field numbers never change; a test holds these
bytes against OpenTelemetry's encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import Any, Final

from . import names
from .record import Attributes, AttributeValue, Event, Record

_SMALL: Final = tuple(bytes((number,)) for number in range(128))
_LOW: Final = tuple(bytes((number | 128,)) for number in range(128))
"""The lower seven bits of a larger number."""
_FLOAT64: Final = Struct("<d").pack
_DOUBLE: Final = Struct("<cd").pack
_TIMES: Final = Struct("<cQcQ").pack
_FIXED64: Final = Struct("<cQ").pack
_KINDS: Final = {
    "internal": b"\x30\x01",
    "server": b"\x30\x02",
    "client": b"\x30\x03",
    "producer": b"\x30\x04",
    "consumer": b"\x30\x05",
}
_FLAGS: Final = b"\x85\x01" + (0x100).to_bytes(4, "little")
"""Says whether the parent is remote, and that it is not."""
_ERROR: Final = b"\x18\x02"
_INT_MASK: Final = 2**64 - 1
_MOST_KEPT: Final = 64
"""Characters of a text whose bytes are kept for the next span."""
_MOST_KNOWN: Final = 2048
_NEVER_TWICE: Final = frozenset({names.RESPONSE_ID, names.PROMPT_HASH})
"""Attributes whose bytes are not."""


def encode_request(resource: Mapping[str, str], scope: tuple[str, str], spans: list[bytes]) -> bytes:
    """Return an ExportTraceServiceRequest with these spans, each from `encode_span`."""
    name, version = (text.encode() for text in scope)
    of_resource = _field(b"\x0a", _attributes(b"\x0a", dict(resource)))
    of_scope = _field(b"\x0a", _field(b"\x0a", name) + _field(b"\x12", version))
    pieces = [b"", of_resource, b"", of_scope]
    for span in spans:
        pieces.append(b"\x12" + _length(len(span)))
        pieces.append(span)
    # From the inside out, so that what may be large is put together once.
    pieces[2] = b"\x12" + _length(sum(map(len, pieces[3:])))
    pieces[0] = b"\x0a" + _length(sum(map(len, pieces[1:])))
    return b"".join(pieces)


def encode_span(record: Record, more: Mapping[str, AttributeValue]) -> bytes:
    """Return a Span message; `more` are attributes besides those of the record."""
    place = record.place
    parts = [
        b"\x0a\x10",
        place.trace_id.to_bytes(16, "big"),
        b"\x12\x08",
        place.span_id.to_bytes(8, "big"),
        b"" if place.parent_id is None else b"\x22\x08" + place.parent_id.to_bytes(8, "big"),
        _field(b"\x2a", _utf8(record.name)),
        _KINDS[record.kind],
        _TIMES(b"\x39", record.start_ns, b"\x41", record.end_ns),
        _attributes(b"\x4a", record.attributes),
        _attributes(b"\x4a", more),
    ]
    parts.extend([_field(b"\x5a", _event(event)) for event in record.events])
    if record.error is not None:
        message = _field(b"\x12", _utf8(record.error)) if record.error else b""
        parts.append(_field(b"\x7a", message + _ERROR))
    else:
        parts.append(b"\x7a\x00")
    parts.append(_FLAGS)
    return b"".join(parts)


def _event(event: Event) -> bytes:
    return (
        _FIXED64(b"\x09", event.time_ns) + _field(b"\x12", _utf8(event.name)) + _attributes(b"\x1a", event.attributes)
    )


def _attributes(tag: bytes, attributes: Attributes | Mapping[str, AttributeValue]) -> bytes:
    parts = []
    known, heads = _known[tag], _heads[tag]
    size: tuple[str, type, int]
    data: bytes
    for pair in attributes.items():
        name, value = pair
        kind = type(value)
        if kind is str:
            kept = name not in _NEVER_TWICE
            written = known.get(pair) if kept else None
            if written is None:
                data = _utf8(value)  # type: ignore[arg-type]
                size = name, kind, len(data)
                written = (heads.get(size) or _new_head(tag, *size)) + data
                if kept and len(data) <= _MOST_KEPT:
                    _keep(known, pair, written)
        elif kind is int or kind is float or kind is bytes:
            data = value if kind is bytes else _FLOAT64(value) if kind is float else _signed(value)  # type: ignore[assignment, arg-type]
            size = name, kind, len(data)
            written = (heads.get(size) or _new_head(tag, *size)) + data
        elif kind is list:
            written = _pair(tag, name, tuple(value))  # type: ignore[arg-type]
        else:
            written = _plain_pair(tag, name, value)
        parts.append(written)
    return b"".join(parts)


def _plain_pair(tag: bytes, name: str, value: AttributeValue) -> bytes:
    return _field(tag, _field(b"\x0a", _utf8(name)) + _field(b"\x12", _any_value(value)))


_pair = lru_cache(maxsize=256)(_plain_pair)
_BEFORE: Final[dict[type, bytes]] = {int: b"\x18", float: b"\x21", str: b"\x0a", bytes: b"\x3a"}
_TAGS: Final = (b"\x0a", b"\x1a", b"\x4a")
"""Of attributes: of a resource, of an event, of a span."""
_known: Final[dict[bytes, dict[tuple[str, AttributeValue], bytes]]] = {tag: {} for tag in _TAGS}
"""Text of the kind that call after call has: a model, a provider, a tag."""
_heads: Final[dict[bytes, dict[tuple[str, type, int], bytes]]] = {tag: {} for tag in _TAGS}
"""What comes before a value, by its name, its type and the bytes that it is written in."""


def _new_head(tag: bytes, name: str, kind: type, length: int) -> bytes:
    before_value = {int: b"\x18", float: b"\x21", str: b"\x0a" + _length(length), bytes: b"\x3a" + _length(length)}[
        kind
    ]
    value = b"\x12" + _length(len(before_value) + length) + before_value
    key = _field(b"\x0a", _utf8(name))
    head = tag + _length(len(key) + len(value) + length) + key + value
    _keep(_heads[tag], (name, kind, length), head)
    return head


def _keep(known: dict[Any, bytes], key: object, written: bytes) -> None:
    if len(known) >= _MOST_KNOWN:
        known.clear()  # tags that never come again have filled it; what does come again is soon back
    known[key] = written


def _any_value(value: AttributeValue) -> bytes:
    kind = type(value)
    if kind is str:
        return _field(b"\x0a", _utf8(value))  # type: ignore[arg-type]
    if kind is int:
        return b"\x18" + _signed(value)  # type: ignore[arg-type]
    if kind is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    if kind is float:
        return _DOUBLE(b"\x21", value)
    if kind is bytes:
        return _field(b"\x3a", value)  # type: ignore[arg-type]
    if isinstance(value, list | tuple):
        return _field(b"\x2a", b"".join([_field(b"\x0a", _any_value(item)) for item in value]))
    # A subclass, as an enumeration's member is.
    return _field(b"\x0a", _utf8(str(value)))


def _utf8(text: str) -> bytes:
    """Encode; half a pair of surrogates, as JSON may bring, becomes a question mark: the call counts all the same."""
    return text.encode(errors="replace")


def _field(tag: bytes, value: bytes) -> bytes:
    return tag + _length(len(value)) + value


def _length(size: int) -> bytes:
    return _SMALL[size] if size < 128 else _varint(size)


def _signed(number: int) -> bytes:
    if 0 <= number < 128:
        return _SMALL[number]
    if 0 < number < 16384:
        return _LOW[number & 127] + _SMALL[number >> 7]
    # What does not fit is no count of anything; it arrives as the largest number, and is told from a sound one there.
    return _varint(min(max(number, -(2**63)), 2**63 - 1) & _INT_MASK)


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)

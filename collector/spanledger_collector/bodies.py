"""OTLP bodies wherever they come from: which signal one is of, what is in it, and how it is cut to size.

In a file nobody says whether a body holds traces, logs or metrics. JSON names it; in protobuf the three requests are
built alike, and only what lies three levels down tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from .errors import MalformedError
from .json_messages import message_of
from .otlp_json import load_json
from .otlp_requests import REQUESTS, Request, read_protobuf
from .wal import Signal

JSON_KEYS: Final[Mapping[str, Signal]] = {
    "resourceSpans": "traces",
    "resourceLogs": "logs",
    "resourceMetrics": "metrics",
}
ITEMS: Final[Mapping[Signal, str]] = {"traces": "spans", "logs": "log records", "metrics": "metrics"}
"""What a body of each signal is full of."""
_LEVELS: Final[Mapping[Signal, tuple[str, str, str]]] = {
    "traces": ("resource_spans", "scope_spans", "spans"),
    "logs": ("resource_logs", "scope_logs", "log_records"),
    "metrics": ("resource_metrics", "scope_metrics", "metrics"),
}
_FIXED64: Final = 1
_LENGTH: Final = 2


class _Field(NamedTuple):
    number: int
    wire_type: int
    value: Any
    """Bytes where `wire_type` is that of a length before them."""


class Body(NamedTuple):
    """One export request."""

    signal: Signal
    data: bytes
    """Protobuf."""
    request: Request


def read_body(data: bytes) -> Iterator[Body]:
    """Yield the requests that JSON or protobuf holds: one, or one a signal where JSON names several.

    Raises:
        MalformedError: it is neither, or holds nothing that OTLP has.
    """
    signal = None if data[:1] == b"{" else signal_of(data)
    if signal is not None:
        yield Body(signal, data, read_request(signal, data))
    elif data.lstrip()[:1] == b"{":
        yield from _read_json(data)
    else:
        raise MalformedError("neither OTLP in JSON nor in protobuf")


def read_request(signal: Signal, data: bytes) -> Request:
    """Parse the protobuf of a signal's request.

    Raises:
        MalformedError: it isn't one.
    """
    return read_protobuf(data, REQUESTS[signal])


def _read_json(data: bytes) -> Iterator[Body]:
    document = load_json(data)
    signals: list[Signal] = [signal for key, signal in JSON_KEYS.items() if key in document]
    if not signals:
        raise MalformedError(f"the JSON has none of {', '.join(JSON_KEYS)}")
    for signal in signals:
        request = message_of(REQUESTS[signal], document)
        yield Body(signal, request.SerializeToString(), request)


def signal_of(data: bytes) -> Signal | None:
    """Return which signal's request some protobuf is; None where it is none, or has nothing in it.

    By the first span, log record or metric: only spans have 64 fixed bits in fields 7 and 8 (their times), only log
    records have them in fields 1 and 11.
    """
    for resource in _children(data, 1):
        for scope in _children(resource, 2):
            for item in _children(scope, 2):
                return _kind_of(item)
    return None


def _kind_of(item: bytes) -> Signal | None:
    found = {(field.number, field.wire_type) for field in _fields(item)}
    if not found.isdisjoint({(1, _FIXED64), (11, _FIXED64)}):
        return "logs"
    if not found.isdisjoint({(7, _FIXED64), (8, _FIXED64)}):
        return "traces"
    if (1, _LENGTH) not in found:
        return "logs" if (5, _LENGTH) in found else None
    first = next(_children(item, 1))
    second = next(_children(item, 2), b"")
    return "traces" if (len(first), len(second)) == (16, 8) else "metrics"


def _children(data: bytes, number: int) -> Iterator[bytes]:
    for field in _fields(data):
        if field.number == number and field.wire_type == _LENGTH:
            yield field.value


def _fields(data: bytes) -> Iterator[_Field]:
    """Yield the fields of a message of which nothing is known; none where it is no message."""
    try:
        found = UnknownFieldSet(Empty.FromString(data))
    except DecodeError:
        return
    for place in range(len(found)):
        field = found[place]
        yield _Field(field.field_number, field.wire_type, field.data)


def count_items(body: Body) -> int:
    """Return how many spans, log records or metrics are in a body."""
    resources, scopes, items = _LEVELS[body.signal]
    return sum(
        len(getattr(scope, items))
        for resource in getattr(body.request, resources)
        for scope in getattr(resource, scopes)
    )


def first_items(body: Body, most: int) -> Request:
    """Return a request of no more than the first `most` items."""
    part = REQUESTS[body.signal].FromString(body.data)
    resources, scopes, items = _LEVELS[body.signal]
    for resource in getattr(part, resources):
        for scope in getattr(resource, scopes):
            held = getattr(scope, items)
            del held[most:]
            most -= len(held)
    return part


def cut(body: Body, most_bytes: int) -> Iterator[bytes]:
    """Yield the body as requests of about `most_bytes` or less, each item under its own resource and scope.

    An item that is larger by itself stays whole.
    """
    if len(body.data) <= most_bytes:
        yield body.data
        return
    levels = _LEVELS[body.signal]
    part, size = REQUESTS[body.signal](), 0
    for resource in getattr(body.request, levels[0]):
        for scope in getattr(resource, levels[1]):
            target: Message | None = None
            for item in getattr(scope, levels[2]):
                length = item.ByteSize()
                if size and size + length > most_bytes:
                    yield part.SerializeToString()
                    part, size, target = REQUESTS[body.signal](), 0, None
                if target is None:
                    target, shared = _opened(part, resource, scope, levels)
                    size += shared
                getattr(target, levels[2]).append(item)
                size += length
    if size:
        yield part.SerializeToString()


def _opened(part: Message, resource: Message, scope: Message, levels: tuple[str, str, str]) -> tuple[Message, int]:
    """Return an empty copy of a scope under a copy of its resource, in `part`, and how many bytes they add."""
    home = getattr(part, levels[0]).add(schema_url=resource.schema_url)  # type: ignore[attr-defined]
    home.resource.CopyFrom(resource.resource)  # type: ignore[attr-defined]
    target: Message = getattr(home, levels[1]).add(schema_url=scope.schema_url)  # type: ignore[attr-defined]
    target.scope.CopyFrom(scope.scope)  # type: ignore[attr-defined]
    return target, home.ByteSize()

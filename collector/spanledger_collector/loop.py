"""OTLP bodies to the raw table, one span at a time: the fallback of `columns`, and its oracle in the tests.

It is the plain reading of the format with the official classes; `columns` has to give the same, value by value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from .vocabulary import KEPT, PREFIXES, RESOURCE_KEYS, SPAN_KEYS, Kind
from .wire import KIND_TYPES, RAW, count_of, events_text, first_text, hash_numbers, json_text, json_value, plain_text

Known = str | int | float | bool | list[int]


@dataclass(frozen=True, slots=True)
class _Attributes:
    """One list of attributes, sorted into what is known and what is not."""

    known: dict[str, Known] = field(default_factory=dict)
    groups: dict[str, dict[str, str]] = field(default_factory=lambda: {"tags": {}, "units": {}})
    rest: dict[str, str] = field(default_factory=dict)


def read_bodies(bodies: Sequence[bytes], numbers: Sequence[int] | None = None) -> pa.Table:
    """Return the raw table of OTLP trace bodies; `numbers` are their numbers, if not 0, 1, 2, ...

    Raises:
        google.protobuf.message.DecodeError: a body isn't an ExportTraceServiceRequest.
    """
    rows: list[dict[str, object]] = []
    for number, body in zip(numbers or range(len(bodies)), bodies, strict=True):
        rows.extend({"body": number, **row} for row in _body_rows(body))
    present = {name for row in rows for name in row}
    schema = RAW
    for prefix, keys in (("span:", SPAN_KEYS), ("resource:", RESOURCE_KEYS)):
        for key, kind in keys.items():
            if prefix + key in present:
                schema = schema.append(pa.field(prefix + key, KIND_TYPES[kind]))
    return pa.table(
        [pa.array([row.get(name) for row in rows], schema.field(name).type) for name in schema.names], schema=schema
    )


def _body_rows(body: bytes) -> Iterable[dict[str, object]]:
    position = 0
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _sort(resource_spans.resource.attributes, RESOURCE_KEYS, {})
        shared: dict[str, object] = {"resource": list(resource.rest.items())}
        shared |= {f"resource:{key}": value for key, value in resource.known.items()}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield {"position": position, **shared, **_span_row(scope_spans, span)}
                position += 1


def _span_row(scope_spans: ScopeSpans, span: Span) -> dict[str, object]:
    found = _sort(span.attributes, SPAN_KEYS, PREFIXES)
    parent = span.parent_span_id
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": parent.hex() if len(parent) == 8 else None,
        "name": span.name,
        "kind": span.kind,
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
        "status": span.status.code,
        "status_message": span.status.message or None,
        "scope_name": scope_spans.scope.name or None,
        "scope_version": scope_spans.scope.version or None,
        "events": events_text(list(span.events)) if span.events else None,
        "tags": list(found.groups["tags"].items()),
        "units": list(found.groups["units"].items()),
        "attributes": list(found.rest.items()),
        **{f"span:{key}": value for key, value in found.known.items()},
    }


def _sort(pairs: Iterable[KeyValue], keys: Mapping[str, Kind], prefixes: Mapping[str, str]) -> _Attributes:
    found = _Attributes()
    for pair in pairs:
        kind = keys.get(pair.key)
        if kind is not None and _take(found.known, pair.key, kind, pair.value) and pair.key not in KEPT:
            continue
        for prefix, group in prefixes.items():
            if pair.key.startswith(prefix) and pair.key != prefix:
                _put(found.groups[group], pair.key.removeprefix(prefix), plain_text(pair.value))
                break
        else:
            _put(found.rest, pair.key, json_text(json_value(pair.value)))
    return found


def _put(target: dict[str, str], key: str, value: str) -> None:
    """Set `key`, at the place of its last occurrence."""
    target.pop(key, None)
    target[key] = value


def _take(known: dict[str, Known], key: str, kind: Kind, value: AnyValue) -> bool:
    """Put a value into its column; False where it has to stay (also) among the other attributes."""
    field_name = value.WhichOneof("value")
    match kind, field_name:
        case "text", "string_value":
            known[key] = value.string_value
        case "text", "int_value":
            known[key] = str(value.int_value)
        case "count", ("int_value" | "double_value" | "string_value"):
            count = count_of(value)
            if count is None:
                return False
            known[key] = count
        case "number", "double_value":
            known[key] = value.double_value
        case "number", "int_value":
            known[key] = float(value.int_value)
        case "flag", "bool_value":
            known[key] = value.bool_value
        case "first", ("string_value" | "array_value"):
            text, whole = first_text(value)
            if text is None:
                return False
            known[key] = text
            return whole
        case "hashes", "bytes_value":
            numbers = hash_numbers(value.bytes_value)
            if numbers is None:
                return False
            known[key] = numbers
        case _:
            return False
    return True

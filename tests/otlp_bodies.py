"""OTLP trace bodies for tests: built in one line, or recorded from real emitters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanledger_collector.normalise import normalise
from spanledger_collector.rows import read

Value: TypeAlias = bool | int | float | str | bytes | Sequence["Value"] | Mapping[str, "Value"] | None

RECORDED = Path(__file__).parent / "fixtures" / "otlp"
START_NS = 1_795_000_000_000_000_000
"""2026-11-18."""


def any_value(value: Value) -> AnyValue:
    """Return a value as OTLP has it."""
    made = AnyValue()
    match value:
        case None:
            pass
        case bool():
            made.bool_value = value
        case int():
            made.int_value = value
        case float():
            made.double_value = value
        case str():
            made.string_value = value
        case bytes():
            made.bytes_value = value
        case Mapping():
            made.kvlist_value.values.extend(pairs(value))
            made.kvlist_value.SetInParent()
        case _:
            made.array_value.values.extend(any_value(item) for item in value)
            made.array_value.SetInParent()
    return made


def pairs(attributes: Mapping[str, Value]) -> list[KeyValue]:
    """Return attributes as OTLP has them."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def span(attributes: Mapping[str, Value] | None = None, **fields: Any) -> Span:
    """Return a span of one second; ids count up from `number`."""
    number = fields.pop("number", 1)
    return Span(
        **{
            "trace_id": (0xAA00 + number).to_bytes(16),
            "span_id": (0xBB00 + number).to_bytes(8),
            "name": "chat",
            "kind": Span.SPAN_KIND_CLIENT,
            "start_time_unix_nano": START_NS,
            "end_time_unix_nano": START_NS + 1_000_000_000,
            "attributes": pairs(attributes or {}),
            **fields,
        }
    )


def request(
    *spans: Span, scope: str = "spanledger", version: str = "1.0", resource: Mapping[str, Value] | None = None
) -> bytes:
    """Return one body with the spans under one scope."""
    made = ExportTraceServiceRequest()
    resource_spans = made.resource_spans.add()
    resource_spans.resource.attributes.extend(pairs(resource or {}))
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = scope
    scope_spans.scope.version = version if scope else ""
    scope_spans.spans.extend(spans)
    return made.SerializeToString()


def rows_of(*bodies: bytes) -> pa.Table:
    """Return the canonical rows of bodies that can all be read, not priced."""
    raw, dead = read(bodies)
    assert dead == []
    return normalise(raw, [START_NS] * len(bodies))


def row_of(attributes: Mapping[str, Value], *, scope: str = "spanledger", **fields: Any) -> dict[str, Any]:
    """Return the canonical row of one span, maps as dicts."""
    rows = rows_of(request(span(attributes, **fields), scope=scope)).to_pylist(maps_as_pydicts="strict")
    only: dict[str, Any] = rows[0]
    return only


def recorded_bodies() -> dict[str, bytes]:
    """Return every recorded body by `emitter/scenario.pb`."""
    return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in sorted(RECORDED.glob("*/*.pb"))}


def samples() -> list[dict[str, Any]]:
    """Return what the manifest says of the recordings that exist."""
    manifest = json.loads((RECORDED / "manifest.json").read_text())
    return [sample for sample in manifest["samples"] if sample["file"]]

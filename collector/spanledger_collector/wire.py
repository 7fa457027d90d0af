"""The raw table: what both readers of OTLP bodies make, and the readings of an AnyValue that they share.

One row per span, in wire order: identity columns, then one typed column per known key that occurs
(`span:<key>`, `resource:<key>`), and everything else as JSON text in maps, so that nothing is lost. Of a key that a
span repeats, the last value counts.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from .row import HASH_LIST, TEXT_MAP
from .vocabulary import Kind

KIND_TYPES: Final[Mapping[Kind, pa.DataType]] = {
    "text": pa.string(),
    "count": pa.int64(),
    "number": pa.float64(),
    "flag": pa.bool_(),
    "first": pa.string(),
    "hashes": HASH_LIST,
}

RAW: Final = pa.schema(
    [
        ("body", pa.int32()),  # which of the bodies
        ("position", pa.int32()),  # which span of that body
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
        ("parent_span_id", pa.string()),  # NULL unless 8 bytes
        ("name", pa.string()),
        ("kind", pa.int32()),
        ("start_ns", pa.uint64()),
        ("end_ns", pa.uint64()),
        ("status", pa.int32()),
        ("status_message", pa.string()),
        ("scope_name", pa.string()),
        ("scope_version", pa.string()),
        ("events", pa.string()),
        ("tags", TEXT_MAP),
        ("units", TEXT_MAP),
        ("attributes", TEXT_MAP),
        ("resource", TEXT_MAP),
    ]
)
"""The columns that every raw table has."""

HASH_BYTES: Final = 8
DIGITS: Final = r"^-?[0-9]{1,18}$"
"""A text that is a count."""
EXACT_DOUBLES: Final = 2**53

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


def json_value(value: AnyValue) -> JsonValue:
    """Return an AnyValue as JSON has it: bytes as base64, NaN and infinities as words, as OTLP/JSON does."""
    field = value.WhichOneof("value")
    match field:
        case None:
            return None
        case "array_value":
            return [json_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return {item.key: json_value(item.value) for item in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "double_value":
            return _json_double(value.double_value)
        case _:
            plain: JsonValue = getattr(value, field)
            return plain


def _json_double(number: float) -> JsonValue:
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def json_text(value: JsonValue) -> str:
    """Return compact JSON text."""
    return _ENCODER.encode(value)


def plain_text(value: AnyValue) -> str:
    """Return a string as it stands and anything else as JSON text."""
    if value.HasField("string_value"):
        return value.string_value
    return json_text(json_value(value))


def first_text(value: AnyValue) -> tuple[str | None, bool]:
    """Return the first text of a list (or of a list written as JSON), and whether that says all of it."""
    found = json_value(value)
    if isinstance(found, str) and found.startswith("["):
        try:
            found = json.loads(found)
        except ValueError:
            return None, False
    texts = found if isinstance(found, list) else [found]
    if not texts or not all(isinstance(text, str) for text in texts):
        return None, False
    first = texts[0]
    return (first if isinstance(first, str) else None), all(text == first for text in texts)


def count_of(value: AnyValue) -> int | None:
    """Return a whole number, also one that is written as a double or as digits; None where it is none."""
    match value.WhichOneof("value"):
        case "int_value":
            return value.int_value
        case "double_value":
            number = value.double_value
            return int(number) if number.is_integer() and abs(number) < EXACT_DOUBLES else None
        case "string_value":
            return int(value.string_value) if re.fullmatch(DIGITS[1:-1], value.string_value) else None
        case _:
            return None


def hash_numbers(data: bytes) -> list[int] | None:
    """Return bytes as signed numbers of eight bytes; None where they are no whole number of those."""
    if not data or len(data) % HASH_BYTES:
        return None
    return [number for (number,) in struct.iter_unpack("<q", data)]


def iso_time(time_ns: int) -> str:
    """Return nanoseconds since 1970 as RFC 3339, UTC."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def events_text(events: list[Span.Event]) -> str:
    """Return span events as a JSON array of {time, name, attributes}."""
    return json_text(
        [
            {
                "time": iso_time(event.time_unix_nano),
                "name": event.name,
                "attributes": {pair.key: json_value(pair.value) for pair in event.attributes},
            }
            for event in events
        ]
    )

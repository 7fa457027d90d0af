"""Rows -> OTLP spans again, of which the same rows are made when they are taken in.

Every column that was read from the wire goes back under the first of its keys, in the emitter's own scope, so that it
is read by the same dialect. What the ledger itself found out (prices, roles, duplicates) is not written: whoever takes
the spans in finds it out again, by the book of then. Not in a row, and so not in its span: links, trace state, the
scope's attributes, and nanoseconds below the microsecond.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from spanledger import names

from .dialects import BY_NAME
from .vocabulary import COUNTS, FLAGS, NUMBERS, RESOURCE_TEXTS, TEXTS

Row = Mapping[str, Any]
_Attribute = dict[str, object]

_KINDS: Final = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_STATUSES: Final = {"ok": 1, "error": 2}
_SHARED: Final = ("service_name", "release", "environment")
"""Columns that go on the resource."""
_BY_DIALECT: Final = frozenset({"operation", "provider", "request_model"})
"""What makes an unknown scope speak a dialect; a row without one has them from elsewhere, where they still are."""
_JUDGED: Final = frozenset({"usage_state", "cost_source", "billing_basis", *_SHARED})
_SUMS: Final[Mapping[str, tuple[str, ...]]] = {
    "cache_read": ("cache_read_tokens", "cache_read_audio_tokens"),
    "cache_write": ("cache_write_5m_tokens", "cache_write_1h_tokens", "cache_write_12h_tokens"),
    "cache_write_5m": ("cache_write_5m_tokens",),
    "cache_write_1h": ("cache_write_1h_tokens",),
    "cache_write_12h": ("cache_write_12h_tokens",),
    "cache_read_audio": ("cache_read_audio_tokens",),
    "input_image": ("input_image_tokens",),
    "reasoning": ("reasoning_tokens",),
    "output_audio": ("output_audio_tokens",),
    "output_image": ("output_image_tokens",),
}
"""Count on the wire -> the parts that it is the sum of; on the wire, subsets overlap."""
_CACHED: Final = (*_SUMS["cache_read"], *_SUMS["cache_write"])
_SAME: Final = (
    "max_tokens",
    "attempts",
    "turn",
    "message_count",
    "tool_count",
    "system_size",
    "tools_size",
    "history_size",
    "tool_results_size",
    "user_size",
    "simhash",
)
"""Counts that are columns as they are."""
_DECLARED: Final = frozenset({"declared", "provider"})
_EXCLUSIVE: Final = "exclusive"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class _Home(NamedTuple):
    """What the spans under one scope share."""

    shared: tuple[str | None, ...]
    resource: tuple[tuple[str, str], ...]
    scope: tuple[str | None, str | None]


def request_of(rows: pa.Table) -> ExportTraceServiceRequest:
    """Return the spans of rows as one request; spans of one resource and scope stand together."""
    request = ExportTraceServiceRequest()
    scopes: dict[_Home, ScopeSpans] = {}
    # A third of the columns is NULL throughout, and making Python's values of them is a part of the cost that shows.
    told = [name for name in rows.column_names if rows[name].null_count < rows.num_rows]
    nothing = dict.fromkeys(rows.column_names)
    for some in rows.select(told).to_pylist():
        row = {**nothing, **some}
        home = _home(row)
        scope = scopes.get(home)
        if scope is None:
            scope = scopes[home] = _scope(request, home)
        scope.spans.add(**_span(row))
    return request


def _home(row: Row) -> _Home:
    shared = tuple(row[name] for name in _SHARED)
    return _Home(shared, tuple(row["resource"] or ()), (row["scope_name"], row["scope_version"]))


def _scope(request: ExportTraceServiceRequest, home: _Home) -> ScopeSpans:
    shared = [
        _attribute(RESOURCE_TEXTS[name][0], {"string_value": value})
        for name, value in zip(_SHARED, home.shared, strict=True)
        if value is not None
    ]
    attributes = [*shared, *_others(home.resource)]
    made = request.resource_spans.add(resource={"attributes": attributes})
    name, version = home.scope
    scope: ScopeSpans = made.scope_spans.add(scope={"name": name or "", "version": version or ""})
    return scope


def _span(row: Row) -> dict[str, object]:
    start_ns = _nanoseconds(row["start_time"])
    duration_us = row["duration_us"]
    return {
        "trace_id": bytes.fromhex(row["trace_id"]),
        "span_id": bytes.fromhex(row["span_id"]),
        "parent_span_id": bytes.fromhex(row["parent_span_id"] or ""),
        "name": row["name"] or "",
        "kind": _KINDS.get(row["kind"], 0),
        "start_time_unix_nano": start_ns,
        # One that ends before it begins has no duration.
        "end_time_unix_nano": max(start_ns - 1, 0) if duration_us is None else start_ns + duration_us * 1000,
        "status": {"code": _STATUSES.get(row["status"], 0), "message": row["status_message"] or ""},
        "attributes": [*_known(row), *_others(row["attributes"] or ())],
        "events": [*_events(row["events"])],
    }


def _known(row: Row) -> Iterator[_Attribute]:
    """Yield what has columns of its own, each under its first key, so that it wins over what the others say."""
    left_out = _JUDGED | _BY_DIALECT if row["dialect"] is None else _JUDGED
    for name, keys in TEXTS.items():
        if row.get(name) is not None and name not in left_out:
            yield _attribute(keys[0], {"string_value": row[name]})
    for name, count in _counts(row):
        yield _attribute(COUNTS[name][0], {"int_value": count})
    for name, keys in FLAGS.items():
        if row[name] is not None:
            yield _attribute(keys[0], {"bool_value": row[name]})
    if row["finish_reason"] is not None:
        yield _attribute(names.FINISH_REASONS, _value([row["finish_reason"]]))
    if row["prefix_chain"] is not None:
        chain = row["prefix_chain"]
        yield _attribute(names.PREFIX_CHAIN, {"bytes_value": struct.pack(f"<{len(chain)}q", *chain)})
    for prefix, column in ((names.TAG_PREFIX, "tags"), (names.UNIT_PREFIX, "units")):
        for key, value in row[column] or ():
            yield _attribute(prefix + key, {"string_value": str(value)})
    yield from _numbers(row)
    yield from _judged(row)


def _counts(row: Row) -> Iterator[tuple[str, int]]:
    for name in _SAME:
        if row[name] is not None:
            yield name, row[name]
    if row["token_basis"] is not None:
        yield from _input(row)
    elif _is_told_by_zeros(row):
        yield "input", 0
        yield "output", 0
    if row["output_tokens"] is not None:
        yield "output", row["output_tokens"]
    if row["input_audio_tokens"] is not None and not _is_only_read(row):
        yield "input_audio", row["input_audio_tokens"] + (row["cache_read_audio_tokens"] or 0)
    for name, parts in _SUMS.items():
        if row[parts[0]] is not None:
            yield name, sum(row[part] or 0 for part in parts)


def _input(row: Row) -> Iterator[tuple[str, int]]:
    """Yield the input as its emitter counted it."""
    total, cached = row["input_tokens"], sum(row[part] or 0 for part in _CACHED)
    if total is None:
        yield "input", -1  # what it was can't be, and so can't this
    elif row["token_basis"] != _EXCLUSIVE:
        yield "input", total
    else:
        # Told as what is left beside its other parts, it can't be taken for a total.
        audio = None if _is_only_read(row) else row["input_audio_tokens"]
        beside = cached + (row["input_image_tokens"] or 0)
        beside += 0 if audio is None else audio + (row["cache_read_audio_tokens"] or 0)
        yield ("input_uncached", total - beside) if total >= beside else ("input", total - cached)


def _is_only_read(row: Row) -> bool:
    """Say whether of audio only its cached part was told, by an emitter that leaves out zeros and counts parts."""
    leaves_out = row["dialect"] is not None and BY_NAME[row["dialect"]].omits_zero
    read = row["input_audio_tokens"] == 0 and bool(row["cache_read_audio_tokens"])
    return leaves_out and read and row["token_basis"] == _EXCLUSIVE


def _is_told_by_zeros(row: Row) -> bool:
    """Say whether a span without an operation is an inference, though it has no tokens: then it had counts of zero."""
    silent = row["operation"] is None and row["token_basis"] is None and row["output_tokens"] is None
    return silent and row["role"] == "inference"


def _numbers(row: Row) -> Iterator[_Attribute]:
    if row["temperature"] is not None:
        yield _attribute(NUMBERS["temperature"][0], {"double_value": row["temperature"]})
    if row["first_token_us"] is not None:
        in_ms = row["dialect"] is not None and BY_NAME[row["dialect"]].first_token_ms
        yield _attribute(NUMBERS["first_token_s"][0], {"double_value": row["first_token_us"] / (1e3 if in_ms else 1e6)})
    claimed: Decimal | None = row["reported_cost_usd"] if row["role"] != "agent" else row["aggregate_cost_usd"]
    if claimed is not None:
        yield _attribute(COUNTS["cost_pico"][0], {"int_value": int(claimed.scaleb(12))})
        yield _attribute(NUMBERS["cost_usd"][0], {"double_value": float(claimed)})
    for name, column in (("retry_pico", "retry_cost_usd"), ("avoided_pico", "avoided_usd")):
        if row[column] is not None:
            yield _attribute(COUNTS[name][0], {"int_value": int(row[column].scaleb(12))})


def _judged(row: Row) -> Iterator[_Attribute]:
    """Yield what the reader would find out by itself, and believes where it is told."""
    if row["usage_state"] is not None and not _is_told_by_zeros(row):
        yield _attribute(names.USAGE_STATE, {"string_value": row["usage_state"]})
    if row["cost_source"] in _DECLARED:
        yield _attribute(names.COST_SOURCE, {"string_value": row["cost_source"]})
    if row["role"] == "inference":
        yield _attribute(names.BILLING_BASIS, {"string_value": row["billing_basis"] or "unknown"})


def _others(pairs: Sequence[tuple[str, str]]) -> Iterator[_Attribute]:
    for key, text in pairs:
        yield _attribute(key, _value(json.loads(text)))


def _events(text: str | None) -> Iterator[dict[str, object]]:
    for event in json.loads(text) if text else ():
        yield {
            "time_unix_nano": _event_ns(event["time"]),
            "name": event["name"],
            "attributes": [_attribute(key, _value(value)) for key, value in event["attributes"].items()],
        }


def _event_ns(text: str) -> int:
    moment, _, fraction = text.removesuffix("Z").partition(".")
    return _nanoseconds(datetime.fromisoformat(f"{moment}+00:00")) + int(fraction.ljust(9, "0") or 0)


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND * 1000


def _attribute(key: str, value: Mapping[str, object]) -> _Attribute:
    return {"key": key, "value": value}


def _value(value: object) -> dict[str, object]:
    """Return JSON as an AnyValue; bytes, and doubles that JSON has no number for, have become text for good."""
    match value:
        case None:
            return {}
        case bool():
            return {"bool_value": value}
        case int():
            return {"int_value": value}
        case float():
            return {"double_value": value}
        case str():
            return {"string_value": value}
        case list():
            return {"array_value": {"values": [_value(item) for item in value]}}
        case dict():
            return {"kvlist_value": {"values": [_attribute(key, _value(item)) for key, item in value.items()]}}
    raise TypeError(f"JSON has no {type(value).__name__}")

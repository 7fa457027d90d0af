"""A coding agent's log event -> the span that it would have been, so that it takes the same way to a priced row.

Events have no ids of their own. Those given here are made from what the event says, so that an exporter's retry is
found to be the same span and dropped; the trace is the one that the event names, else the agent's session and prompt.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from spanledger import names

from .agents import CONTENT, MESSAGES, TAGS, TEXTS, USERS, Agent, Event, Evidence
from .wire import JsonValue, json_text, json_value

Attributes = Mapping[str, JsonValue]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = 10**6
_FAST: Final = "fast"
_MOST_DIGITS: Final = 5
"""Of a claim in dollars, after the first: what is dearer is no call."""
_RESOURCE_USERS: Final = (names.USER_ID, "enduser.id")


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, JsonValue]:
    """Return attributes as JSON has them; those without a value are left out."""
    found = {pair.key: json_value(pair.value) for pair in pairs}
    return {key: value for key, value in found.items() if value is not None}


def to_span(agent: Agent, event: Event, record: LogRecord, own: Attributes, resource: Attributes) -> Span:
    """Return the span of an event; `own` are its attributes, `resource` those of its resource."""
    name = f"{agent.dialect}.{event.name}"
    end_ns = time_of(record, own)
    length_ns = round((_number(own, "duration_ms", "duration") or 0) * _MS)
    span = Span(
        name=name,
        kind=Span.SPAN_KIND_CLIENT if event.operation == "chat" else Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=max(end_ns - length_ns, 0),
        # Without a duration the length is unknown, and not 0.
        end_time_unix_nano=end_ns if length_ns else 0,
        span_id=hashed("span", name, end_ns, json_text(dict(sorted(own.items()))))[:8],
    )
    _place(span, record, own, resource)
    failed = event.failed or own.get("success") in (False, "false") or any(key in own for key in MESSAGES)
    if failed:
        span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=_text(own, *MESSAGES) or ""))
    for key, value in _canonical(agent, event, own, resource).items():
        span.attributes.add(key=key, value=_any_value(value))
    return span


def time_of(record: LogRecord, own: Attributes) -> int:
    """Return when a record was made, nanoseconds since 1970; 0 where nothing says it."""
    if record.time_unix_nano or record.observed_time_unix_nano:
        return record.time_unix_nano or record.observed_time_unix_nano
    try:
        return int(datetime.fromisoformat(str(own.get("event.timestamp"))).timestamp() * 1000) * _MS
    except (OverflowError, ValueError):
        return 0


def moment_of(time_ns: int) -> datetime:
    """Return nanoseconds since 1970 as a time, cut to a microsecond."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


def first_text(sources: Sequence[Attributes], keys: Sequence[str]) -> str | None:
    """Return the first text under one of the keys, by source; empty text is none."""
    found = (source.get(key) for source in sources for key in keys)
    return next((value for value in found if isinstance(value, str) and value), None)


def hashed(*parts: str | int) -> bytes:
    """Return 32 bytes that are the same for the same parts."""
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def ids_of(record: LogRecord) -> tuple[str | None, str | None]:
    """Return the trace and the span that a record names, in hex digits."""
    trace = record.trace_id.hex() if len(record.trace_id) == 16 and any(record.trace_id) else None
    span = record.span_id.hex() if len(record.span_id) == 8 and any(record.span_id) else None
    return trace, span if trace else None


def _place(span: Span, record: LogRecord, own: Attributes, resource: Attributes) -> None:
    trace_id, above = ids_of(record)
    if trace_id:
        span.trace_id = bytes.fromhex(trace_id)
        span.parent_span_id = bytes.fromhex(above or "")
        return
    service = _text(resource, "service.name") or ""
    session, prompt = (_text(own, *keys) or "" for keys in (TEXTS[names.SESSION_ID], TAGS["prompt"]))
    span.trace_id = hashed("trace", service, session, prompt)[:16]


def _canonical(agent: Agent, event: Event, own: Attributes, resource: Attributes) -> dict[str, JsonValue]:
    """Return the attributes that `vocabulary` knows, and after them whatever else the event says."""
    found: dict[str, JsonValue] = {names.OPERATION: event.operation}
    used = {
        *CONTENT,
        *MESSAGES,
        *agent.dropped,
        "event.name",
        "event.timestamp",
        "duration_ms",
        "duration",
        "success",
        "speed",
    }
    for key, sources in TEXTS.items():
        if (text := _text(own, *sources)) is not None and (key != names.ERROR_TYPE or _is_error(text)):
            found[key] = text
            used.update(sources)
    if event.operation == "chat":
        found |= _metered(agent, own, resource)
        used.update(source for sources in agent.counts.values() for source in sources)
        used.update(("cost_usd", "ttft_ms"))
    if isinstance(reasons := own.get("finish_reasons"), list):
        found[names.FINISH_REASONS] = reasons
        used.add("finish_reasons")
    account = next((key for key in USERS if _text(own, key)), "")
    if (user := _text(resource, *_RESOURCE_USERS) or _text(own, account)) is not None:
        found[names.USER_ID] = user
        used.update(key for key in (account,) if own.get(key) == user)
    for tag, sources in TAGS.items():
        if (text := _text(own, *sources) or _text(resource, *sources)) is not None:
            found[names.TAG_PREFIX + tag] = text
            used.update(sources)
    found |= {key: value for key, value in resource.items() if key.startswith(names.TAG_PREFIX)}
    return found | {key: value for key, value in own.items() if key not in used and key not in found}


def _metered(agent: Agent, own: Attributes, resource: Attributes) -> dict[str, JsonValue]:
    """Return what a call used, what it is said to cost, and who pays for it."""
    found: dict[str, JsonValue] = {names.PROVIDER: _settled(agent.providers, own) or agent.provider}
    for key, sources in agent.counts.items():
        counts = [count for source in sources if (count := _number(own, source)) is not None]
        if counts:
            found[key] = int(sum(counts))
    if (pico := _pico(own, "cost_usd")) is not None:
        found[names.COST_PICO_USD] = pico
    if (first_ms := _number(own, "ttft_ms")) is not None:
        found[names.FIRST_CHUNK_S] = first_ms / 1000
    if own.get("speed") == _FAST:
        found[names.SPEED] = _FAST
    if names.BILLING_BASIS not in own and names.BILLING_BASIS not in resource:
        found[names.BILLING_BASIS] = _settled(agent.billing, own)
    return {key: value for key, value in found.items() if value is not None}


def _settled(table: tuple[Evidence, ...], own: Attributes) -> str | None:
    for evidence in table:
        if (text := _text(own, evidence.key)) is not None:
            return evidence.says.get(text.lower().replace("_", ""), evidence.says[""])
    return None


def _is_error(text: str) -> bool:
    """Whether it is what went wrong, and not the status of an answer that came."""
    return not (text.isdecimal() and int(text) < 400)


def _text(attributes: Attributes, *keys: str) -> str | None:
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


def _number(attributes: Attributes, *keys: str) -> float | None:
    """Return a number, which some versions write as text."""
    text = _text(attributes, *keys)
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _pico(attributes: Attributes, key: str) -> int | None:
    """Return dollars, sent as a number or as text, as pico-dollars, half up."""
    text = _text(attributes, key)
    try:
        dollars = Decimal(text) if text is not None else Decimal("NaN")
    except InvalidOperation:
        return None
    if not dollars.is_finite() or dollars.adjusted() > _MOST_DIGITS:
        return None
    return int(dollars.scaleb(12).to_integral_value(ROUND_HALF_UP))


def _any_value(value: JsonValue) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value) if abs(value) < 2**63 else AnyValue(double_value=float(value))
        case float():
            return AnyValue(double_value=value)
        case list() if all(isinstance(item, str) for item in value):
            filled = AnyValue()
            filled.array_value.values.extend(AnyValue(string_value=str(item)) for item in value)
            return filled
        case str():
            return AnyValue(string_value=value)
        case _:
            return AnyValue(string_value=json_text(value))

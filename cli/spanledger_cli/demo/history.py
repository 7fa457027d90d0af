"""Thirty days of labelled history, sent through the collector's front door like everything else.

Its ids and bytes follow from (seed, UTC hour), so that sending an hour again adds nothing: the collector has seen
these spans. It carries no costs; the collector prices it. Of prompts it carries sizes and hashes, as real calls do.
"""

from __future__ import annotations

import gzip
import http.client
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from spanledger import names
from spanledger.record import AttributeValue
from spanledger.usage import Usage

from .answers import SNAPSHOTS
from .errors import HistoryError
from .people import CHAT_MODEL, EMBEDDING_MODEL, PLANNING_MODEL, RUNAWAY_MODEL, SERVICE, SMALL_CHAT_MODEL
from .steps import Ending, Prompt, Step, wire_tags
from .workload import hour_steps, past_hours

DAYS: Final = 30
BATCH_SPANS: Final = 500
HISTORY_TAG: Final = names.TAG_PREFIX + "history"
_TRIES: Final = 8
_ENVIRONMENTS: Final = ("production", "staging")
_KINDS: Final = {
    "agent": (Span.SPAN_KIND_INTERNAL, "invoke_agent", names.AGENT_NAME),
    "tool": (Span.SPAN_KIND_INTERNAL, "execute_tool", names.TOOL_NAME),
}

Value = AttributeValue


@dataclass(frozen=True, slots=True)
class Batch:
    """One export request."""

    body: bytes
    """An ExportTraceServiceRequest."""
    spans: int
    last_span_id: str
    """Hex."""


def make_batches(seed: int, now: datetime, days: int = DAYS) -> Iterator[Batch]:
    """Yield the complete hours of the last `days` days, whole hours together."""
    body, spans, last = b"", 0, b""
    for hour in past_hours(now, days):
        steps = hour_steps(seed, hour)
        if not steps:
            continue
        # Messages of protobuf are merged by putting their bytes one behind the other.
        body += make_hour(hour, steps)
        spans += len(steps)
        last = steps[-1].span_id
        if spans >= BATCH_SPANS:
            yield Batch(body, spans, last.hex())
            body, spans = b"", 0
    if spans:
        yield Batch(body, spans, last.hex())


def make_hour(hour: datetime, steps: Iterable[Step]) -> bytes:
    """Return the request that carries one hour's spans; the same bytes whenever it is made."""
    groups: dict[str, list[Step]] = {environment: [] for environment in _ENVIRONMENTS}
    for step in steps:
        groups[step.tags["environment"]].append(step)
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=_resource(environment, hour),
                scope_spans=[ScopeSpans(scope=InstrumentationScope(name=names.SCOPE), spans=map(_span, group))],
            )
            for environment, group in groups.items()
            if group
        ]
    ).SerializeToString()


def send(batches: Iterable[Batch], endpoint: str, on_sent: Callable[[int], None]) -> None:
    """Post every batch to the collector at `endpoint`, an OTLP/HTTP base address.

    Raises:
        HistoryError: the collector refuses a batch, or stays too busy.
        OSError: it can't be reached.
    """
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
    try:
        for batch in batches:
            _post(connection, endpoint, gzip.compress(batch.body, compresslevel=3, mtime=0))
            on_sent(batch.spans)
    finally:
        connection.close()


def _post(connection: http.client.HTTPConnection, endpoint: str, body: bytes) -> None:
    headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
    for tried in range(_TRIES):
        connection.request("POST", "/v1/traces", body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status == 200:
            return
        busy = response.status in (429, 503) and tried < _TRIES - 1
        if not busy:
            raise HistoryError(endpoint, f"{response.status} {answer.decode('utf-8', 'replace')[:200]}")
        time.sleep(min(float(response.headers.get("retry-after", "0.2")), 5.0))


def _resource(environment: str, hour: datetime) -> Resource:
    week = hour.astimezone(UTC).isocalendar()
    return Resource(
        attributes=[
            _attribute("service.name", SERVICE),
            _attribute("service.version", f"{week.year}.{week.week}"),
            _attribute("deployment.environment.name", environment),
            _attribute(HISTORY_TAG, "true"),
        ]
    )


def _span(step: Step) -> Span:
    span = Span(
        trace_id=step.trace_id,
        span_id=step.span_id,
        parent_span_id=step.parent_id,
        start_time_unix_nano=step.start_ns,
        end_time_unix_nano=step.end_ns,
    )
    if step.kind == "call":
        operation = "embeddings" if step.model == EMBEDDING_MODEL else "chat"
        span.kind = Span.SPAN_KIND_CLIENT
        span.name = f"{operation} {step.model}"
        attributes = _call_attributes(step, operation)
    else:
        span.kind, operation, name_key = _KINDS[step.kind]
        span.name = f"{operation} {step.name}"
        attributes = {names.OPERATION: operation, name_key: step.name}
    if step.kind == "call" and step.usage is None:
        message = "The server had an error" if step.was_sent else "BudgetExceeded"
        span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=message))
        attributes.setdefault(names.ERROR_TYPE, "openai.InternalServerError")
    for key, value in {**attributes, **_tags(step)}.items():
        span.attributes.append(_attribute(key, value))
    if step.ending is not None:
        span.events.append(_event(step.ending, step.end_ns))
    return span


def _event(ending: Ending, time_ns: int) -> Span.Event:
    told: dict[str, Value] = {
        names.EVALUATION_NAME: ending.name,
        names.EVALUATION_LABEL: "success" if ending.success else "failure",
        names.EVALUATION_SCORE: 1.0 if ending.success else 0.0,
        names.OUTCOME_VALUE_USD: ending.value_usd,
    }
    attributes = [_attribute(key, value) for key, value in told.items()]
    return Span.Event(name=names.EVALUATION_EVENT, time_unix_nano=time_ns, attributes=attributes)


def _call_attributes(step: Step, operation: str) -> dict[str, Value]:
    provider = "anthropic" if step.model.startswith("claude") else "openai"
    attributes: dict[str, Value] = {
        names.OPERATION: operation,
        names.PROVIDER: provider,
        names.REQUEST_MODEL: step.model,
        names.SERVER_ADDRESS: f"api.{provider}.com",
        **step.controls,
    }
    if step.was_sent:
        attributes[names.ATTEMPTS] = step.attempts
    if step.stream:
        attributes[names.STREAM] = True
        attributes[names.FIRST_CHUNK_S] = (step.end_ns - step.start_ns) / 4e9
    if step.usage is not None:
        attributes[names.RESPONSE_MODEL] = SNAPSHOTS.get(step.model, step.model)
        if operation != "embeddings":
            attributes[names.RESPONSE_ID] = _response_id(step)
        attributes[names.FINISH_REASONS] = ("end_turn" if provider == "anthropic" else "stop",)
        attributes |= _usage_attributes(step.usage)
    if step.prompt is not None:
        attributes |= _prompt_attributes(step.prompt)
    return attributes


def _prompt_attributes(prompt: Prompt) -> dict[str, Value]:
    return {
        names.TOOLS_SIZE: prompt.tools_size,
        names.SYSTEM_SIZE: prompt.system_size,
        names.HISTORY_SIZE: prompt.history_size,
        names.TOOL_RESULTS_SIZE: prompt.results_size,
        names.USER_SIZE: prompt.user_size,
        names.PREFIX_CHAIN: struct.pack(f"<{len(prompt.chain)}q", *prompt.chain),
        names.PROMPT_HASH: f"{prompt.chain[-1] & (2**64 - 1):016x}",
    }


def _response_id(step: Step) -> str:
    kinds = {PLANNING_MODEL: "resp_", CHAT_MODEL: "msg_01", SMALL_CHAT_MODEL: "msg_01", RUNAWAY_MODEL: "msg_01"}
    return kinds.get(step.model, "chatcmpl-") + step.response_id


def _usage_attributes(usage: Usage) -> dict[str, Value]:
    counts = {
        names.CACHE_READ_TOKENS: usage.cache_read_tokens,
        names.CACHE_WRITE_TOKENS: usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        names.CACHE_WRITE_5M_TOKENS: usage.cache_write_5m_tokens,
        names.CACHE_WRITE_1H_TOKENS: usage.cache_write_1h_tokens,
        names.REASONING_TOKENS: usage.reasoning_tokens,
    }
    return {
        names.INPUT_TOKENS: usage.input_tokens,
        names.OUTPUT_TOKENS: usage.output_tokens,
        **{key: count for key, count in counts.items() if count},
    }


def _tags(step: Step) -> dict[str, Value]:
    return {**wire_tags(step.tags), HISTORY_TAG: "true"}


def _attribute(key: str, value: Value) -> KeyValue:
    return KeyValue(key=key, value=_any_value(value))


def _any_value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    return AnyValue(array_value=ArrayValue(values=[_any_value(item) for item in value]))

"""OTLP metric bodies -> readings: what agents' own counters say of tokens and cost.

They are never charged: an agent that sends events and metrics tells of each call twice. Readings are kept as they
are sent and become increments only when they are asked for, because points of one counter lie in different segments,
which are converted apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

import pyarrow as pa
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from spanledger import names

from .agent_events import Attributes, attributes_of, first_text, hashed, moment_of
from .agents import GEMINI_CLI
from .tables import READINGS
from .wire import JsonValue, json_text

Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint
ReadingRow = dict[str, JsonValue | Decimal | datetime]
_STEP: Final = Decimal("1e-12")
_LIMIT: Final = Decimal(10) ** 15
_TEMPORALITIES: Final = {1: "delta", 2: "cumulative"}


@dataclass(frozen=True, slots=True)
class Counter:
    """A metric that counts what rows count, too."""

    kind_key: str
    """Attribute that says what is counted; empty where the metric has one kind only."""
    sides: Mapping[str, str]
    """Kind -> input, output or cost; kinds that are part of another one are left out."""


COUNTERS: Final[Mapping[str, Counter]] = {
    "claude_code.token.usage": Counter(
        "type", {"input": "input", "cacheRead": "input", "cacheCreation": "input", "output": "output"}
    ),
    "claude_code.cost.usage": Counter("", {"": "cost"}),
    "codex.turn.token_usage": Counter("token_type", {"input": "input", "output": "output"}),
    "gemini_cli.token.usage": Counter(
        "type", {"input": "input", "tool": "input", "output": "output", "thought": "output"}
    ),
    "gen_ai.client.token.usage": Counter("gen_ai.token.type", {"input": "input", "output": "output"}),
}
"""Name of a metric -> how it is read."""
_SAID_BETTER: Final = {GEMINI_CLI.scope: "gen_ai.client.token.usage"}
"""Scope -> a metric of it that counts less than another one of the same scope: Gemini's thoughts are left out of it."""
_MODELS: Final = ("model", names.REQUEST_MODEL, names.RESPONSE_MODEL)
_SESSIONS: Final = (names.SESSION_ID, "gen_ai.conversation.id")


def reading_table(rows: list[ReadingRow]) -> pa.Table:
    """Return readings as a table of `READINGS`."""
    return pa.Table.from_pylist(rows, READINGS.schema)


def read_metrics(body: bytes, received_ns: int, oldest_ns: int, newest_ns: int) -> list[ReadingRow]:
    """Read an ExportMetricsServiceRequest: the points of `COUNTERS` that are of this span of time, ends included.

    Raises:
        google.protobuf.message.DecodeError: it isn't one.
    """
    return [
        reading
        for metric, resource in _counters(ExportMetricsServiceRequest.FromString(body))
        for point, temporality in _points(metric)
        if oldest_ns <= point.time_unix_nano <= newest_ns
        for reading in _reading(metric.name, point, temporality, attributes_of(resource.attributes), received_ns)
    ]


def count_ours(request: ExportMetricsServiceRequest) -> int:
    """Return how many metrics of a request are compared with rows."""
    return sum(1 for _ in _counters(request))


def _counters(request: ExportMetricsServiceRequest) -> Iterator[tuple[Metric, Resource]]:
    for resource_metrics in request.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            left_out = _SAID_BETTER.get(scope_metrics.scope.name)
            for metric in scope_metrics.metrics:
                if metric.name in COUNTERS and metric.name != left_out:
                    yield metric, resource_metrics.resource


def _points(metric: Metric) -> Iterator[tuple[Point, str]]:
    """Yield the points of a counter, and whether they add up or go on; other kinds of metric have none."""
    for data in (metric.sum, metric.histogram, metric.exponential_histogram):
        temporality = _TEMPORALITIES.get(data.aggregation_temporality)
        if temporality is not None:
            for point in data.data_points:
                yield point, temporality


def _reading(name: str, point: Point, temporality: str, resource: Attributes, received_ns: int) -> Iterator[ReadingRow]:
    """Yield the reading that a point is, if it counts something that rows count."""
    own, counter = attributes_of(point.attributes), COUNTERS[name]
    side = counter.sides.get(str(own.get(counter.kind_key, "")))
    value = _value(point)
    if side is None or value is None:
        return
    yield {
        "metric": name,
        "side": side,
        "value": value,
        "temporality": temporality,
        "series": hashed(name, json_text(dict(sorted(own.items()))), json_text(dict(sorted(resource.items()))))[
            :16
        ].hex(),
        "since": moment_of(point.start_time_unix_nano),
        "time": moment_of(point.time_unix_nano),
        "service_name": first_text((resource,), ("service.name",)),
        "session_id": first_text((own, resource), _SESSIONS),
        "model": first_text((own,), _MODELS),
        "ingested_at": moment_of(received_ns),
    }


def _value(point: Point) -> Decimal | None:
    if not isinstance(point, NumberDataPoint):
        number: float = point.sum
    else:
        number = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
    exact = Decimal(repr(number))
    return exact.quantize(_STEP, ROUND_HALF_UP) if exact.is_finite() and abs(exact) < _LIMIT else None

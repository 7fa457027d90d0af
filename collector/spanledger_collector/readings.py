"""OTLP metric bodies -> readings: what agents' own counters say of tokens and cost.

They are never charged: an agent that sends events and metrics tells of each call twice. Readings are kept as they
are sent and become increments only when they are asked for, because points of one counter lie in different segments,
which are converted apart.
"""

from __future__ import annotations

from collections.abc import Iterator
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

from spanledger import names

from .agent_events import Attributes, attributes_of, first_text, hashed, moment_of
from .tables import READINGS
from .wanted import COUNTERS, wanted_metrics
from .wire import JsonValue, json_text

Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint
ReadingRow = dict[str, JsonValue | Decimal | datetime]
_STEP: Final = Decimal("1e-12")
_LIMIT: Final = Decimal(10) ** 15
_TEMPORALITIES: Final = {1: "delta", 2: "cumulative"}
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
        for resource, metric in wanted_metrics(ExportMetricsServiceRequest.FromString(body))
        for point, temporality in _points(metric)
        if oldest_ns <= point.time_unix_nano <= newest_ns
        for reading in _reading(metric.name, point, temporality, attributes_of(resource.attributes), received_ns)
    ]


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

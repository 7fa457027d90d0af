"""OTLP's JSON becomes the message that protobuf would have carried."""

from __future__ import annotations

import json

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from spanledger_collector.errors import MalformedError
from spanledger_collector.otlp_json import read_json

DOCUMENT = """
{"futureField": {"a": [1]},
 "resourceSpans": [{
  "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
  "scopeSpans": [{
   "scope": {"name": "lib", "version": "1"},
   "spans": [{
    "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174", "parentSpanId": "",
    "name": "chat", "kind": 3, "flags": 257,
    "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000,
    "status": {"code": 2, "message": "no"},
    "links": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b175"}],
    "events": [{"name": "e", "timeUnixNano": "1", "attributes": []}],
    "attributes": [
     {"key": "int", "value": {"intValue": "9007199254740993"}}, {"key": "int2", "value": {"intValue": 7}},
     {"key": "double", "value": {"doubleValue": 0.5}}, {"key": "bool", "value": {"boolValue": false}},
     {"key": "bytes", "value": {"bytesValue": "AQI="}},
     {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {"intValue": "1"}]}}},
     {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {}}]}}}]}]}]}]}
"""


def read(document: str) -> ExportTraceServiceRequest:
    return read_json(document.encode(), ExportTraceServiceRequest)


def expected() -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "lib", "1"
    trace_id = bytes.fromhex("5b8efff798038103d269b633813fc60c")
    span = scope.spans.add(trace_id=trace_id, span_id=bytes.fromhex("eee19b7ec3c1b174"), name="chat", kind=3, flags=257)
    span.start_time_unix_nano, span.end_time_unix_nano = 1544712660000000000, 1544712661000000000
    span.status.code, span.status.message = Status.STATUS_CODE_ERROR, "no"
    span.links.add(trace_id=trace_id, span_id=bytes.fromhex("eee19b7ec3c1b175"))
    span.events.add(name="e", time_unix_nano=1)
    span.attributes.add(key="int").value.int_value = 9007199254740993
    span.attributes.add(key="int2").value.int_value = 7
    span.attributes.add(key="double").value.double_value = 0.5
    span.attributes.add(key="bool").value.bool_value = False
    span.attributes.add(key="bytes").value.bytes_value = b"\x01\x02"
    values = span.attributes.add(key="list").value.array_value.values
    values.add().string_value = "x"
    values.add().int_value = 1
    span.attributes.add(key="map").value.kvlist_value.values.add(key="k").value.SetInParent()
    return message


def test_every_kind_of_field_is_read() -> None:
    assert read(DOCUMENT) == expected()


def test_ids_of_logs_are_read() -> None:
    log = {"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174", "timeUnixNano": "7"}
    document = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]})
    expected_logs = ExportLogsServiceRequest()
    expected_logs.resource_logs.add().scope_logs.add().log_records.add(
        trace_id=bytes.fromhex("5b8efff798038103d269b633813fc60c"),
        span_id=bytes.fromhex("eee19b7ec3c1b174"),
        time_unix_nano=7,
    )
    assert read_json(document.encode(), ExportLogsServiceRequest) == expected_logs


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("gauge", "gauge"),
        ("sum", "sum"),
        ("histogram", "histogram"),
        ("exponentialHistogram", "exponential_histogram"),
    ],
)
def test_ids_of_the_exemplars_of_metrics_are_read(kind: str, field: str) -> None:
    exemplar = {"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174", "asInt": "3"}
    metric = {"name": "tokens", kind: {"dataPoints": [{"exemplars": [exemplar]}]}}
    document = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]})
    expected_metrics = ExportMetricsServiceRequest()
    expected_metric = expected_metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="tokens")
    getattr(expected_metric, field).data_points.add().exemplars.add(
        trace_id=bytes.fromhex("5b8efff798038103d269b633813fc60c"),
        span_id=bytes.fromhex("eee19b7ec3c1b174"),
        as_int=3,
    )
    assert read_json(document.encode(), ExportMetricsServiceRequest) == expected_metrics


@pytest.mark.parametrize("document", ["{}", '{"resourceSpans": null}', '{"resourceSpans": [{"scopeSpans": []}]}'])
def test_what_is_empty_has_no_spans(document: str) -> None:
    assert not [s for r in read(document).resource_spans for c in r.scope_spans for s in c.spans]


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "7",
        '"text"',
        '{"resourceSpans": {}}',
        '{"resourceSpans": ["x"]}',
        '{"resourceSpans": [{"scopeSpans": [null]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"links": [1]}]}]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 7}]}]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 7}]}]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "-1"}]}]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": 1e400}]}]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": []}]}]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "\\ud800"}]}]}]}',
        '{"resourceSpans": [{"resource": {"attributes": [{"value": {"intValue": 1, "boolValue": true}}]}}]}',
        '{"resourceSpans": ' + "[" * 100_000,
        '{"resourceSpans": [{"resource": ' + '{"a":' * 100_000,
        '{"resourceSpans": [{"resource": {"attributes": [{"value": '
        + '{"arrayValue": {"values": [' * 200
        + "]}}" * 200
        + "}]}}]}",
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": ' + "1" * 5000 + "}]}]}]}",
    ],
)
def test_what_cannot_be_read_is_malformed(document: str) -> None:
    with pytest.raises(MalformedError):
        read(document)


def test_ids_in_the_wrong_form_never_become_valid_ones() -> None:
    spans = [
        {"traceId": trace_id, "spanId": "01" * 8} for trace_id in ("", "zz" * 16, "0" * 31, "W47/95gDgQPSabYzgT/GDA==")
    ]
    document = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    spans_read = read(document).resource_spans[0].scope_spans[0].spans
    assert [span.trace_id for span in spans_read] == [b"", b"\0", b"\0", b"\0"]

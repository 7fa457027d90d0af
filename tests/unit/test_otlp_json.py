"""OTLP's JSON becomes the message that protobuf would have carried."""

from __future__ import annotations

import json

import pytest
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
    assert read_json(DOCUMENT.encode()) == expected()


@pytest.mark.parametrize("document", ["{}", '{"resourceSpans": null}', '{"resourceSpans": [{"scopeSpans": []}]}'])
def test_what_is_empty_has_no_spans(document: str) -> None:
    assert not [s for r in read_json(document.encode()).resource_spans for c in r.scope_spans for s in c.spans]


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
        read_json(document.encode())


def test_ids_in_the_wrong_form_never_become_valid_ones() -> None:
    spans = [
        {"traceId": trace_id, "spanId": "01" * 8} for trace_id in ("", "zz" * 16, "0" * 31, "W47/95gDgQPSabYzgT/GDA==")
    ]
    document = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    read = read_json(document.encode()).resource_spans[0].scope_spans[0].spans
    assert [span.trace_id for span in read] == [b"", b"\0", b"\0", b"\0"]

"""The two readers of OTLP bodies give the same table, value by value."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings, strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from otlp_bodies import Value, any_value, recorded_bodies, request, span
from spanledger_collector import columns, loop
from spanledger_collector.vocabulary import PREFIXES, RESOURCE_KEYS, SPAN_KEYS

SAID_TWICE = b"\x0a\x01a\x18\x07"
"""An AnyValue that sets its string and then its number: the number counts."""
UNKNOWN_FIELD = b"\x0a\x01a\x42\x01b"
LONG_NUMBER = b"\x18\x87\x80\x80\x00"
"""7, in four bytes where one would do."""

words = st.sampled_from(
    [
        "",
        "a",
        'quote " and \\',
        "back\\slash",
        "tab\tline\n",
        "\x7f",
        "é",
        "\U0001f600",
        "x" * 127,
        "y" * 128,
        "z" * 40_000,
    ]
)
numbers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 127, 128, 2**53 + 1])
doubles = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -0.0, 1e22, 0.1])
scalars = st.none() | st.booleans() | numbers | doubles | words | st.text() | st.binary(max_size=20)
nested = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(), inner, max_size=3),
    max_leaves=6,
)
chains = st.lists(st.binary(min_size=8, max_size=8), max_size=20).map(b"".join)
digits = numbers.map(str) | numbers.map(float)
values = (
    scalars | chains | digits | st.lists(words, max_size=3) | st.sampled_from(['["stop"]', "[1]", "[broken"]) | nested
)
keys = st.sampled_from(
    [
        *list(SPAN_KEYS)[::4],
        *RESOURCE_KEYS,
        *PREFIXES,
        *(prefix + "a" for prefix in PREFIXES),
        "gen_ai.response.finish_reasons",
        "spanledger.prefix_chain",
        "own",
        "",
    ]
)
attributes = st.lists(st.builds(lambda key, value: KeyValue(key=key, value=any_value(value)), keys, values), max_size=8)
moments = st.integers(0, 2**64 - 1)
events = st.lists(st.builds(Span.Event, name=words, time_unix_nano=moments, attributes=attributes), max_size=2)
spans = st.builds(
    Span,
    trace_id=st.binary(min_size=16, max_size=16) | st.binary(max_size=20),
    span_id=st.binary(min_size=8, max_size=8) | st.binary(max_size=20),
    parent_span_id=st.sampled_from([b"", b"12345678", b"123"]),
    name=words,
    kind=st.integers(0, 9),
    start_time_unix_nano=moments,
    end_time_unix_nano=moments,
    attributes=attributes,
    events=events,
    status=st.none() | st.builds(Status, message=words, code=st.integers(0, 3)),
)
scopes = st.builds(
    ScopeSpans,
    scope=st.none() | st.builds(InstrumentationScope, name=words, version=words),
    spans=st.lists(spans, max_size=3),
)
resources = st.builds(
    ResourceSpans,
    resource=st.none() | st.builds(Resource, attributes=attributes),
    scope_spans=st.lists(scopes, max_size=2),
)
requests = st.builds(ExportTraceServiceRequest, resource_spans=st.lists(resources, max_size=2))


def assert_same(bodies: list[bytes]) -> None:
    """Compare the readers; their tables have to be valid and equal in schema and values."""
    fast, plain = columns.read_bodies(bodies), loop.read_bodies(bodies)
    fast.validate(full=True)
    assert fast.schema == plain.schema
    # As text, because NaN is not equal to itself.
    assert str(fast.to_pylist()) == str(plain.to_pylist())


def with_value(value: bytes, key: str = "own") -> bytes:
    """Return a body whose only attribute has these bytes as its value."""
    pair = b"\x0a" + bytes([len(key)]) + key.encode() + b"\x12" + bytes([len(value)]) + value
    return Span(name="odd").SerializeToString() + b"\x4a" + bytes([len(pair)]) + pair


def in_request(raw_span: bytes) -> bytes:
    """Wrap the bytes of a span into a request."""
    for tag in (b"\x12", b"\x12", b"\x0a"):
        raw_span = tag + bytes([len(raw_span)]) + raw_span
    return raw_span


def test_recorded_bodies_read_the_same_together() -> None:
    bodies = list(recorded_bodies().values())
    assert len(bodies) == 155
    assert_same(bodies)


@pytest.mark.parametrize("name", recorded_bodies())
def test_recorded_body_reads_the_same_alone(name: str) -> None:
    assert_same([recorded_bodies()[name]])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(requests, max_size=3))
def test_generated_bodies_read_the_same(made: list[ExportTraceServiceRequest]) -> None:
    assert_same([body.SerializeToString() for body in made])


def test_many_spans_read_the_same() -> None:
    bodies = [
        request(
            *(
                span({"gen_ai.usage.input_tokens": number, "user.id": f"u{number % 7}", "own": [number]}, number=number)
                for number in range(2_000)
            ),
            resource={"service.name": "many"},
        )
    ]
    assert_same(bodies)


@pytest.mark.parametrize("value", [SAID_TWICE, UNKNOWN_FIELD, LONG_NUMBER, b"\x10\x02", b"\x42\x01b"])
@pytest.mark.parametrize("key", ["own", "user.id", "gen_ai.usage.input_tokens", "gen_ai.response.finish_reasons"])
def test_values_written_in_an_unusual_way_read_the_same(value: bytes, key: str) -> None:
    assert_same([in_request(with_value(value, key))])


@pytest.mark.parametrize(
    "body",
    [
        b"hello",
        b'{"resourceSpans": []}',
        request(span({"own": "text"}))[:-1],
        request(span({"own": "text"})).replace(b"text", b"te\xff\xfe"),
        request(span({"user.id": "text"})).replace(b"text", b"te\xff\xfe"),
        request(span({"own": ["text"]})).replace(b"text", b"te\xff\xfe"),
        request(span(name="text")).replace(b"text", b"te\xff\xfe"),
        in_request(with_value(b"\x0a\x05abc")),
        in_request(with_value(b"\x2a\x03\x0a\x05\x0a")),
        in_request(with_value(b"\x18\xff")),
        in_request(with_value(b"\x21\x00")),
    ],
)
def test_what_one_reader_refuses_so_does_the_other(body: bytes) -> None:
    with pytest.raises(DecodeError):
        loop.read_bodies([body])
    with pytest.raises((ValueError, DecodeError)):
        columns.read_bodies([body])


def test_last_of_a_repeated_key_counts() -> None:
    twice = span({"own": 1, "user.id": "first"})
    twice.attributes.extend(span({"own": 2, "user.id": "second"}).attributes)
    (row,) = columns.read_bodies([request(twice)]).to_pylist()
    assert (row["attributes"], row["span:user.id"]) == ([("own", "2")], "second")


def test_known_key_of_another_type_stays_an_attribute() -> None:
    (row,) = columns.read_bodies([request(span({"gen_ai.usage.input_tokens": "many", "user.id": 7}))]).to_pylist()
    assert (row["attributes"], row["span:user.id"]) == ([("gen_ai.usage.input_tokens", '"many"')], "7")


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("12", 12),
        ("-3", -3),
        (12.0, 12),
        (12.5, None),
        (1e300, None),
        (float("nan"), None),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("1e3", None),
        (" 12", None),
        ("12\n", None),
        ("", None),
        (True, None),
        ([12], None),
    ],
)
def test_count_is_read_however_it_is_written(value: Value, count: int | None) -> None:
    """JavaScript has doubles only, and some languages write numbers as text; what is no whole number stays as it is."""
    body = request(span({"gen_ai.usage.input_tokens": value}), span({"gen_ai.usage.input_tokens": 7}, number=2))
    assert_same([body])
    first, second = columns.read_bodies([body]).to_pylist()
    assert (first["span:gen_ai.usage.input_tokens"], second["span:gen_ai.usage.input_tokens"]) == (count, 7)
    assert ("gen_ai.usage.input_tokens" in dict(first["attributes"])) == (count is None)

"""A call that a framework saw without the provider's id is ours, where time, model and tokens say so."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otlp_bodies import START_NS, Value, request, rows_of, span
from spanledger import names
from spanledger_collector.duplicates import mark_duplicates

MS = 1_000_000
OURS = "spanledger"
NATIVE = "com.anthropic.sdk.python"
FRAMEWORK = "openinference.instrumentation.openai"


def winners(*bodies: bytes) -> list[str | None]:
    """Return the number of the span that carries the money, for each span that doesn't."""
    marked = mark_duplicates(rows_of(*bodies))["duplicate_of"].to_pylist()
    return [None if winner is None else str(int(winner, 16) - 0xBB00) for winner in marked]


def seen(number: int, *, begin_ms: int = 0, end_ms: int = 1000, **more: Value) -> Span:
    """Return an inference without an id; `number` makes its ids, `None` leaves an attribute out."""
    attributes: dict[str, Value] = {
        names.OPERATION: "chat",
        names.PROVIDER: "openai",
        names.REQUEST_MODEL: "gpt-5.5",
        names.INPUT_TOKENS: 100,
        names.OUTPUT_TOKENS: 10,
    }
    changed = {**attributes, **{key.replace("__", "."): value for key, value in more.items()}}
    return span(
        {key: value for key, value in changed.items() if value is not None},
        number=number,
        start_time_unix_nano=START_NS + begin_ms * MS,
        end_time_unix_nano=START_NS + end_ms * MS,
    )


def ours(number: int, **more: Any) -> Span:
    """Return our own span, which lies within the other's."""
    times = {"begin_ms": 1, "end_ms": 999}
    return seen(number, **{**times, "gen_ai__response__id": f"chatcmpl-{number:020}", **more})


def beside(*spans: Span, service: str = "") -> bytes:
    """Return our spans, from a process that has two other instrumentations."""
    resource = {names.BESIDE: "logfire,openinference.instrumentation"}
    return request(*spans, scope=OURS, resource={**resource, "service.name": service} if service else resource)


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"gen_ai__usage__input_tokens": None, "gen_ai__usage__output_tokens": None},
        {"gen_ai__provider__name": None},
        {"gen_ai__request__model": None},
        {"end_ms": 500},
    ],
)
def test_sight_without_an_id_of_the_same_call_is_no_charge(other: dict[str, Any]) -> None:
    bodies = [beside(ours(1)), request(seen(2, **other), scope=FRAMEWORK)]
    assert winners(*bodies) == [None, "1"]


def test_failed_call_has_no_id_in_either_and_is_one() -> None:
    left_out: dict[str, Any] = {"gen_ai__usage__input_tokens": None, "gen_ai__usage__output_tokens": None}
    failed = ours(1, gen_ai__response__id=None, **left_out)
    theirs = seen(2, **left_out)
    theirs.trace_id = failed.trace_id
    assert winners(request(failed, scope=OURS), request(theirs, scope=NATIVE)) == [None, "1"]


@pytest.mark.parametrize(
    "other",
    [
        {"gen_ai__provider__name": "azure"},
        {"gen_ai__request__model": "gpt-5.5-mini"},
        {"gen_ai__usage__input_tokens": 101},
        {"gen_ai__usage__output_tokens": 11},
        {"begin_ms": 1500, "end_ms": 2000},
        {"gen_ai__operation__name": "invoke_agent"},
    ],
)
def test_different_calls_are_all_charged(other: dict[str, Any]) -> None:
    bodies = [beside(ours(1)), request(seen(2, **other), scope=FRAMEWORK)]
    assert winners(*bodies) == [None, None]


def test_two_calls_at_once_that_look_alike_stay_two() -> None:
    bodies = [
        beside(ours(1), ours(2, begin_ms=3)),
        request(seen(3), seen(4, begin_ms=2), seen(5, begin_ms=2), scope=FRAMEWORK),
    ]
    assert winners(*bodies) == [None, None, "1", "2", None]


def test_stream_that_is_told_of_in_two_spans_is_one_call() -> None:
    request_only = seen(2, end_ms=3, gen_ai__usage__input_tokens=None, gen_ai__usage__output_tokens=None)
    tokens_only = seen(3, begin_ms=1000, end_ms=1000)
    bodies = [beside(ours(1)), request(request_only, tokens_only, scope=FRAMEWORK)]
    assert winners(*bodies) == [None, "1", "1"]


def test_calls_in_turn_are_each_found_once() -> None:
    mine = [ours(number, begin_ms=100 * number + 1, end_ms=100 * number + 99) for number in range(1, 41)]
    theirs = [seen(100 + number, begin_ms=100 * number + 99, end_ms=100 * number + 99) for number in range(1, 41)]
    bodies = [beside(*mine), request(*theirs, scope=FRAMEWORK)]
    assert winners(*bodies) == [*[None] * 40, *[str(number) for number in range(1, 41)]]


@pytest.mark.parametrize(
    ("mine", "theirs", "same"),
    [
        ({}, {}, False),
        ({"spanledger.beside": "logfire"}, {}, False),
        ({"spanledger.beside": "logfire,openinference.instrumentation"}, {}, True),
        ({"process.pid": 7, "host.name": "a"}, {"process.pid": 7, "host.name": "a"}, True),
        ({"service.instance.id": "a"}, {"service.instance.id": "b"}, False),
        (
            {"spanledger.beside": "openinference.instrumentation", "process.pid": 7, "host.name": "a"},
            {"process.pid": 7, "host.name": "b"},
            False,
        ),
    ],
)
def test_calls_that_look_alike_are_one_only_if_one_process_made_both(
    mine: dict[str, Value], theirs: dict[str, Value], same: bool
) -> None:
    """Two processes of a service, each with another instrumentation, may embed the same text at the same time."""
    alike: dict[str, Any] = {"gen_ai__operation__name": "embeddings", "gen_ai__usage__output_tokens": None}
    bodies = [
        request(ours(1, **alike), scope=OURS, resource=mine),
        request(seen(2, **alike), scope=FRAMEWORK, resource=theirs),
    ]
    assert winners(*bodies) == [None, "1" if same else None]


@pytest.mark.parametrize(("service", "same"), [("", True), ("shop", False)])
def test_calls_of_one_trace_are_one_only_in_one_service(service: str, same: bool) -> None:
    mine, theirs = ours(1), seen(2)
    theirs.trace_id = mine.trace_id
    resource = {"service.name": service} if service else {}
    bodies = [request(mine, scope=OURS), request(theirs, scope=FRAMEWORK, resource=resource)]
    assert winners(*bodies) == [None, "1" if same else None]


def test_parent_of_our_call_is_the_same_call_whatever_its_service() -> None:
    mine, theirs = ours(1), seen(2)
    mine.trace_id, mine.parent_span_id = theirs.trace_id, theirs.span_id
    bodies = [request(mine, scope=OURS), request(theirs, scope=FRAMEWORK, resource={"service.name": "shop"})]
    assert winners(*bodies) == [None, "1"]


def test_call_that_has_tokens_is_none_that_has_none() -> None:
    """A request failed, and the next one went another way that only the other saw."""
    failed = ours(1, end_ms=20, gen_ai__usage__input_tokens=None, gen_ai__usage__output_tokens=None)
    assert winners(beside(failed), request(seen(2), scope=FRAMEWORK)) == [None, None]


def test_stream_that_was_left_early_is_one_call_though_two_count_it_differently() -> None:
    estimated = ours(1, gen_ai__usage__output_tokens=20, spanledger__usage__state="estimated")
    assert winners(beside(estimated), request(seen(2), scope=FRAMEWORK)) == [None, "1"]


def test_moment_is_of_the_stream_whose_length_it_tells() -> None:
    """Logfire tells of a stream that was left when it is dropped, which may be much later."""
    for seconds, expected in (8.9, [None, "1"]), (2.0, [None, None]):
        late = seen(2, begin_ms=9000, end_ms=9000, duration=seconds)
        assert winners(beside(ours(1)), request(late, scope="logfire.openai")) == expected


def test_service_that_nobody_named_is_one_whoever_says_so() -> None:
    bodies = [
        beside(ours(1), service="unknown_service"),
        request(seen(2), scope=FRAMEWORK, resource={"service.name": "unknown_service:python"}),
    ]
    assert winners(*bodies) == [None, "1"]


def test_frameworks_alone_are_left_as_they_are() -> None:
    rows = rows_of(request(seen(1), scope=FRAMEWORK), request(seen(2), scope="opentelemetry.instrumentation.openai.v1"))
    assert mark_duplicates(rows) is rows

"""When several emitters saw one call, one span keeps the money; calls that only look alike all do."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otlp_bodies import START_NS, Value, request, rows_of, span
from spanledger import names
from spanledger_collector import duplicates as module
from spanledger_collector.duplicates import mark_duplicates

LONG_ID = "chatcmpl-0123456789"
SHORT_ID = "chatcmpl-7"
MS = 1_000_000
OURS = "spanledger"
NATIVE = "com.anthropic.sdk.python"
FRAMEWORK = "openinference.instrumentation.openai"
GATEWAY = "litellm"


def call(number: int, *, id_: str = LONG_ID, begin_ms: int = 0, end_ms: int = 1000, **more: Value) -> Span:
    """Return an inference; `number` makes its ids."""
    attributes: dict[str, Value] = {
        names.OPERATION: "chat",
        names.PROVIDER: "openai",
        names.REQUEST_MODEL: "gpt-5.5",
        names.RESPONSE_MODEL: "gpt-5.5",
        names.RESPONSE_ID: id_,
        names.INPUT_TOKENS: 100,
        names.OUTPUT_TOKENS: 10,
    }
    changed = {key.replace("__", "."): value for key, value in more.items()}
    return span(
        {**attributes, **changed},
        number=number,
        start_time_unix_nano=START_NS + begin_ms * MS,
        end_time_unix_nano=START_NS + end_ms * MS,
    )


def duplicates(*bodies: bytes) -> list[str | None]:
    """Return the number of the span that carries the money, for each span that doesn't."""
    return [
        None if winner is None else str(int(winner, 16) - 0xBB00)
        for winner in mark_duplicates(rows_of(*bodies))["duplicate_of"].to_pylist()
    ]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (OURS, NATIVE, [None, "1"]),
        (NATIVE, OURS, ["2", None]),
        (NATIVE, GATEWAY, [None, "1"]),
        (GATEWAY, FRAMEWORK, [None, "1"]),
        (FRAMEWORK, GATEWAY, ["2", None]),
        (FRAMEWORK, NATIVE, ["2", None]),
        (FRAMEWORK, "unknown.scope", [None, "1"]),
    ],
)
def test_best_witness_keeps_the_money(first: str, second: str, expected: list[str | None]) -> None:
    assert duplicates(request(call(1), scope=first), request(call(2), scope=second)) == expected


def test_three_witnesses_are_one_call() -> None:
    bodies = [request(call(number), scope=scope) for number, scope in enumerate((FRAMEWORK, OURS, NATIVE), start=1)]
    assert duplicates(*bodies) == ["2", None, "2"]


@pytest.mark.parametrize(
    "other",
    [
        {"id_": "chatcmpl-9876543210"},
        {"gen_ai__provider__name": "azure"},
        {"gen_ai__response__model": "gpt-5.5-mini"},
        {"gen_ai__usage__input_tokens": 101},
        {"gen_ai__usage__output_tokens": 12},
        {"begin_ms": 1001, "end_ms": 2000},
        {"gen_ai__operation__name": "invoke_agent"},
    ],
)
def test_different_calls_are_all_charged(other: dict[str, Any]) -> None:
    assert duplicates(request(call(1), scope=OURS), request(call(2, **other), scope=FRAMEWORK)) == [None, None]


def test_an_id_that_a_mock_gives_to_every_call_costs_no_square_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    plain = module._same

    def same(one: Any, other: Any) -> bool:
        looks.append(one)
        return plain(one, other)

    monkeypatch.setattr(module, "_same", same)
    seen = [
        [call(number, begin_ms=2000 * place, end_ms=2000 * place + 1000) for place, number in enumerate(numbers)]
        for numbers in (range(1, 401), range(401, 801))
    ]
    bodies = [request(*calls, scope=scope) for calls, scope in zip(seen, (OURS, FRAMEWORK), strict=True)]
    assert duplicates(*bodies) == [*[None] * 400, *map(str, range(1, 401))]
    assert len(looks) <= 800 * 64


def test_same_scope_twice_is_two_calls() -> None:
    assert duplicates(request(call(1), call(2), scope=OURS)) == [None, None]


def test_same_scope_in_two_services_is_one_call() -> None:
    bodies = [
        request(call(number), scope=FRAMEWORK, resource={"service.name": f"service-{number}"}) for number in (1, 2)
    ]
    assert duplicates(*bodies) == [None, "1"]


def test_usage_that_one_witness_missed_does_not_part_them() -> None:
    blind = call(2)
    del blind.attributes[-2:]
    assert duplicates(request(call(1), scope=OURS), request(blind, scope=FRAMEWORK)) == [None, "1"]


@pytest.mark.parametrize(
    ("begin_ms", "end_ms", "same_trace", "expected"),
    [
        (100, 900, False, [None, "1"]),
        (100, 1100, False, [None, None]),
        (100, 1100, True, [None, "1"]),
    ],
)
def test_short_id_needs_more_evidence(begin_ms: int, end_ms: int, same_trace: bool, expected: list[str | None]) -> None:
    second = call(2, id_=SHORT_ID, begin_ms=begin_ms, end_ms=end_ms)
    if same_trace:
        second.trace_id = (0xAA01).to_bytes(16)
    assert duplicates(request(call(1, id_=SHORT_ID), scope=OURS), request(second, scope=FRAMEWORK)) == expected


def test_an_estimate_need_not_agree_with_what_another_witness_says() -> None:
    ours = call(1, spanledger__usage__state="estimated", gen_ai__usage__output_tokens=77)
    theirs = call(2, gen_ai__usage__input_tokens=120)
    assert duplicates(request(ours, scope=OURS), request(theirs, scope=FRAMEWORK)) == [None, "1"]


def test_duplicate_has_no_reason_to_be_unpriced() -> None:
    cancelled = call(2, gen_ai__usage__input_tokens=0, gen_ai__usage__output_tokens=0)
    rows = mark_duplicates(rows_of(request(call(1), scope=OURS), request(cancelled, scope=FRAMEWORK)))
    assert rows.select(["duplicate_of", "usage_state", "unpriced_reason"]).to_pylist()[1] == {
        "duplicate_of": "000000000000bb01",
        "usage_state": "missing",
        "unpriced_reason": None,
    }


def test_duplicate_has_no_money_even_if_the_provider_stated_it() -> None:
    stated: Any = {"spanledger__cost__source": "provider", "spanledger__cost__reported_pico_usd": 5}
    bodies = [
        request(
            call(number, gen_ai__provider__name="openrouter", **stated),
            scope=OURS,
            resource={"service.name": f"service-{number}"},
        )
        for number in (1, 2)
    ]
    rows = mark_duplicates(rows_of(*bodies)).select(["duplicate_of", "cost_source", "cost_usd", "cost_other"])
    assert [row["duplicate_of"] is None for row in rows.to_pylist()] == [True, False]
    assert [tuple(row.values())[1:] for row in rows.to_pylist()] == [
        ("provider", Decimal("0.000000000005"), Decimal("0.000000000005")),
        (None, None, None),
    ]


def test_rows_without_duplicates_pass_as_they_are() -> None:
    rows = rows_of(request(call(1), call(2, id_="chatcmpl-9876543210")))
    assert mark_duplicates(rows) is rows


def test_many_pairs_are_found_at_once() -> None:
    ours = [call(number, id_=f"{LONG_ID}-{number}") for number in range(1, 201)]
    theirs = [call(1000 + number, id_=f"{LONG_ID}-{number}") for number in range(1, 201)]
    found = duplicates(request(*ours, scope=OURS), request(*theirs, scope=FRAMEWORK))
    assert found == [None] * 200 + [str(number) for number in range(1, 201)]


def test_table_keeps_its_schema() -> None:
    rows = rows_of(request(call(1), scope=OURS), request(call(2), scope=FRAMEWORK))
    marked: pa.Table = mark_duplicates(rows)
    assert marked.schema == rows.schema

"""Every field of the row comes from where it should."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otlp_bodies import START_NS, Value, request, row_of, rows_of, span
from spanledger import names
from spanledger_collector.row import SCHEMA

CHAT: dict[str, Value] = {names.OPERATION: "chat", names.PROVIDER: "openai", names.REQUEST_MODEL: "gpt-5.5"}
USED: dict[str, Value] = {**CHAT, names.INPUT_TOKENS: 12, names.OUTPUT_TOKENS: 5}

FINGERPRINTS = (
    *("api_key_hash", "prompt_hash", "system_hash", "tools_hash", "prefix_chain", "simhash"),
    *("system_size", "tools_size", "history_size", "tool_results_size", "user_size"),
    *("message_count", "tool_count", "turn"),
)


def test_whole_row_of_our_own_span() -> None:
    body = request(
        span(
            {
                **USED,
                names.RESPONSE_MODEL: "gpt-5.5-2026-04-23",
                names.RESPONSE_ID: "chatcmpl-1",
                names.FINISH_REASONS: ["stop"],
                names.FIRST_CHUNK_S: 0.25,
                names.STREAM: True,
                names.MAX_TOKENS: 100,
                names.TEMPERATURE: 1,
                names.SERVER_ADDRESS: "api.openai.com",
                names.SERVER_PORT: 8443,
                names.ATTEMPTS: 2,
                names.PARENT_SAMPLED: False,
                names.USAGE_STATE: "reported",
                names.CACHE_READ_TOKENS: 4,
                names.REASONING_TOKENS: 2,
                names.COST_PICO_USD: 123_456_789,
                names.COST_USD: 0.000123456789,
                names.SERVICE_TIER: "default",
                names.USER_ID: "u1",
                names.TEAM_ID: "t1",
                names.CUSTOMER_ID: "c1",
                names.FEATURE: "f1",
                names.SESSION_ID: "s1",
                names.REQUEST_TYPE: "search",
                f"{names.TAG_PREFIX}plan": "gold",
                f"{names.UNIT_PREFIX}web_searches": 3,
                "own": {"deep": [1, None]},
            },
            parent_span_id=b"parentid",
            status=Status(code=Status.STATUS_CODE_ERROR, message="no"),
            events=[Span.Event(name="e", time_unix_nano=START_NS + 5)],
        ),
        resource={"service.name": "app", "service.version": "1.2", "deployment.environment.name": "prod", "host": "h"},
    )
    (row,) = rows_of(body).to_pylist(maps_as_pydicts="strict")
    assert {name: value for name, value in row.items() if value is not None} == {
        "trace_id": "0000000000000000000000000000aa01",
        "span_id": "000000000000bb01",
        "parent_span_id": b"parentid".hex(),
        "name": "chat",
        "kind": "client",
        "start_time": row["start_time"],
        "duration_us": 1_000_000,
        "status": "error",
        "status_message": "no",
        "service_name": "app",
        "environment": "prod",
        "release": "1.2",
        "scope_name": "spanledger",
        "scope_version": "1.0",
        "dialect": "spanledger",
        "parent_sampled": False,
        "response_id": "chatcmpl-1",
        "ingested_at": row["start_time"],
        "role": "inference",
        "operation": "chat",
        "provider": "openai",
        "request_model": "gpt-5.5",
        "response_model": "gpt-5.5-2026-04-23",
        "service_tier": "default",
        "stream": True,
        "endpoint_host": "api.openai.com",
        "user_id": "u1",
        "team_id": "t1",
        "customer_id": "c1",
        "feature": "f1",
        "session_id": "s1",
        "request_type": "search",
        "tags": {"plan": "gold"},
        "input_tokens": 12,
        "output_tokens": 5,
        "input_uncached_tokens": 8,
        "cache_read_tokens": 4,
        "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0,
        "cache_write_12h_tokens": 0,
        "input_audio_tokens": 0,
        "cache_read_audio_tokens": 0,
        "input_image_tokens": 0,
        "output_text_tokens": 3,
        "reasoning_tokens": 2,
        "output_audio_tokens": 0,
        "output_image_tokens": 0,
        "units": {"web_searches": Decimal("3.000000")},
        "usage_state": "reported",
        "token_basis": "inclusive",
        "reported_cost_usd": Decimal("0.000123456789"),
        "billing_basis": "usage",
        "max_tokens": 100,
        "temperature": 1.0,
        "finish_reason": "stop",
        "attempts": 2,
        "first_token_us": 250_000,
        "attributes": {"server.port": "8443", "own": '{"deep":[1,null]}'},
        "resource": {"host": '"h"'},
        "events": '[{"time":"2026-11-18T11:06:40.000000005Z","name":"e","attributes":{}}]',
    }
    assert row["start_time"].isoformat() == "2026-11-18T11:06:40+00:00"


def test_no_spans_give_an_empty_table_of_the_schema() -> None:
    assert rows_of(b"").schema == SCHEMA
    assert rows_of().num_rows == 0


@pytest.mark.parametrize(
    ("operation", "role"),
    [
        ("chat", "inference"),
        ("text_completion", "inference"),
        ("embeddings", "inference"),
        ("execute_tool", "tool"),
        ("invoke_agent", "agent"),
        ("invoke_workflow", "agent"),
        ("fetch_response", "other"),
        ("count_tokens", "other"),
        ("search_memory", "other"),
    ],
)
def test_operation_gives_the_role(operation: str, role: str) -> None:
    assert row_of({names.OPERATION: operation})["role"] == role


def test_tokens_of_a_model_without_an_operation_are_an_inference() -> None:
    old: dict[str, Value] = {
        "gen_ai.system": "openai",
        names.REQUEST_MODEL: "gpt-4o",
        "gen_ai.usage.prompt_tokens": 10,
        "gen_ai.usage.completion_tokens": 2,
    }
    row = row_of(old, scope="old")
    assert (row["role"], row["provider"], row["input_tokens"], row["dialect"]) == (
        "inference",
        "openai",
        10,
        "otel_genai",
    )


def test_ordinary_span_has_no_dialect_and_no_usage() -> None:
    row = row_of({"http.request.method": "GET"}, scope="http")
    assert (row["role"], row["dialect"], row["usage_state"], row["unpriced_reason"]) == ("other", None, None, None)


def test_usage_of_an_agent_is_an_aggregate() -> None:
    row = row_of({**USED, names.OPERATION: "invoke_agent", names.COST_USD: 0.5})
    assert (row["input_tokens"], row["unpriced_reason"], row["aggregate_cost_usd"], row["reported_cost_usd"]) == (
        12,
        "aggregate",
        Decimal("0.5"),
        None,
    )


def test_agent_without_usage_has_nothing_to_explain() -> None:
    assert row_of({names.OPERATION: "invoke_agent"})["unpriced_reason"] is None


@pytest.mark.parametrize(
    ("provider", "canonical"),
    [
        ("openai", "openai"),
        ("OpenAI", "openai"),
        ("azure", "azure.ai.openai"),
        ("az.ai.openai", "azure.ai.openai"),
        ("vertex_ai", "gcp.vertex_ai"),
        ("google", "gcp.gemini"),
        ("xai", "x_ai"),
        ("mistralai", "mistral_ai"),
        ("bedrock", "aws.bedrock"),
        ("someone", "someone"),
    ],
)
def test_provider_gets_one_name(provider: str, canonical: str) -> None:
    assert row_of({**CHAT, names.PROVIDER: provider})["provider"] == canonical


def test_who_and_why_fall_back_to_the_resource() -> None:
    resource: dict[str, Value] = {"user.id": "u0", "team.id": "t0", "session.id": "", "deployment.environment": "old"}
    (row,) = rows_of(request(span({"user.id": "u1"}), resource=resource)).to_pylist(maps_as_pydicts="strict")
    assert (row["user_id"], row["team_id"], row["session_id"], row["environment"]) == ("u1", "t0", None, "old")
    assert row["resource"] == {"user.id": '"u0"'}


def test_a_key_that_loses_against_another_stays_an_attribute() -> None:
    row = row_of({"user.id": "u1", "enduser.id": "u2", "session.id": "s", "gen_ai.conversation.id": "s"})
    assert (row["user_id"], row["session_id"], row["attributes"]) == ("u1", "s", {"enduser.id": '"u2"'})


def test_number_for_a_user_is_a_user() -> None:
    assert row_of({"user.id": 42})["user_id"] == "42"


@pytest.mark.parametrize(
    ("reasons", "first", "kept"),
    [
        (["stop"], "stop", {}),
        (["stop", "stop"], "stop", {}),
        (["length", "stop"], "length", {names.FINISH_REASONS: '["length","stop"]'}),
        ('["tool_calls"]', "tool_calls", {}),
        ("end_turn", "end_turn", {}),
        ([], None, {names.FINISH_REASONS: "[]"}),
    ],
)
def test_first_finish_reason(reasons: Value, first: str | None, kept: dict[str, str]) -> None:
    row = row_of({names.FINISH_REASONS: reasons})
    assert (row["finish_reason"], row["attributes"]) == (first, kept)


@pytest.mark.parametrize(
    ("claim", "usd"),
    [
        ({names.COST_PICO_USD: 5_000_000_000, names.COST_USD: 9.0}, "0.005"),
        ({names.COST_PICO_USD: 999_999_999_999_999_999}, "999999.999999999999"),
        ({names.COST_PICO_USD: -1}, "-0.000000000001"),
        ({names.COST_PICO_USD: 10**18}, None),
        ({names.COST_USD: 8.400000000000001e-07}, "0.000000840000"),
        ({names.COST_USD: 0.1}, "0.1"),
        ({names.COST_USD: 0.0000000000005}, "0.000000000001"),
        ({names.COST_USD: 3}, "3"),
        ({names.COST_USD: float("nan")}, None),
        ({names.COST_USD: float("inf")}, None),
        ({names.COST_USD: 1e6}, None),
        ({}, None),
    ],
)
def test_claimed_cost_is_exact(claim: dict[str, Value], usd: str | None) -> None:
    assert row_of({**USED, **claim})["reported_cost_usd"] == (None if usd is None else Decimal(usd))


@pytest.mark.parametrize(
    ("pico", "usd"), [(5_000_000_000, "0.005"), (0, "0"), (-1, None), (10**18, None), ("five", None)]
)
def test_the_estimate_for_failed_attempts_has_a_column_of_its_own(pico: Value, usd: str | None) -> None:
    row = row_of({**USED, names.RETRY_COST_PICO_USD: pico})
    assert (row["retry_cost_usd"], row["cost_usd"]) == (None if usd is None else Decimal(usd), None)


@pytest.mark.parametrize(
    ("provider", "source", "booked"),
    [
        ("openrouter", "provider", True),
        ("xai", "provider", True),
        ("openai", "provider", False),
        ("openrouter", "list", False),
    ],
)
def test_only_what_a_provider_that_bills_so_states_is_booked(provider: str, source: str, booked: bool) -> None:
    stated: dict[str, Value] = {names.PROVIDER: provider, names.COST_SOURCE: source, names.STATED_COST_PICO_USD: 7}
    row = row_of({**USED, names.USAGE_STATE: "missing", names.COST_PICO_USD: 9, **stated})
    seven = Decimal("0.000000000007")
    assert row["reported_cost_usd"] == seven
    assert (row["cost_usd"], row["cost_other"], row["cost_source"]) == (
        (seven, seven, "provider") if booked else (None, None, None)
    )
    assert row["unpriced_reason"] == (None if booked else "no_usage")


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        (2, {"pages": Decimal(2)}),
        (0.25, {"pages": Decimal("0.25")}),
        ("1.5", {"pages": Decimal("1.5")}),
        ("many", {}),
        (1e12, {}),
        (float("nan"), {}),
    ],
)
def test_units_are_decimals(amount: Value, units: dict[str, Decimal]) -> None:
    assert row_of({**CHAT, f"{names.UNIT_PREFIX}pages": amount})["units"] == units


def test_call_with_units_only_is_not_missing_usage() -> None:
    row = row_of({**CHAT, names.OPERATION: "speech", f"{names.UNIT_PREFIX}characters": 100})
    assert (row["usage_state"], row["unpriced_reason"]) == ("reported", None)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": 0}, {"kind": "internal"}),
        ({"kind": 5}, {"kind": "consumer"}),
        ({"kind": 77}, {"kind": "internal"}),
        ({"end_time_unix_nano": START_NS - 1}, {"duration_us": None}),
        ({"end_time_unix_nano": START_NS}, {"duration_us": 0}),
        ({"parent_span_id": b"odd"}, {"parent_span_id": None}),
        ({"status": Status(code=Status.STATUS_CODE_OK)}, {"status": "ok"}),
        ({}, {"status": "unset", "status_message": None, "events": None, "tags": {}, "attributes": {}}),
    ],
)
def test_identity_of_odd_spans(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    row = row_of({}, **fields)
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({names.MAX_TOKENS: -1}, {"max_tokens": None}),
        ({names.FIRST_CHUNK_S: -1.0}, {"first_token_us": None}),
        ({names.FIRST_CHUNK_S: float("nan")}, {"first_token_us": None}),
        ({"http.request.resend_count": 2}, {"attempts": 3}),
        ({names.ATTEMPTS: 1, "http.request.resend_count": 2}, {"attempts": 1}),
        ({"http.request.resend_count": 2**63 - 1}, {"attempts": None}),
        ({names.ATTEMPTS: -3}, {"attempts": None}),
        ({}, {"attempts": None, "is_batch": None, "stream": None}),
    ],
)
def test_how_a_call_went(wire: dict[str, Value], expected: dict[str, Any]) -> None:
    row = row_of({**CHAT, **wire})
    assert {name: row[name] for name in expected} == expected


def test_prompt_that_somebody_sends_is_kept() -> None:
    said = '[{"role": "user", "parts": ["naïve \\n"]}]'
    row = row_of({"gen_ai.input.messages": said})
    assert row["attributes"] == {
        "gen_ai.input.messages": '"[{\\"role\\": \\"user\\", \\"parts\\": [\\"naïve \\\\n\\"]}]"'
    }


def test_fingerprints_fill_their_columns_and_parts_that_are_not_there_have_size_0() -> None:
    chain = (1).to_bytes(8, "little") + (2**64 - 2).to_bytes(8, "little")
    row = row_of(
        {
            **USED,
            names.API_KEY_HASH: "aa",
            names.PROMPT_HASH: "bb",
            names.SYSTEM_HASH: "cc",
            names.PREFIX_CHAIN: chain,
            names.SYSTEM_SIZE: 9,
            names.USER_SIZE: 33,
            names.MESSAGE_COUNT: 1,
            names.TURN: 1,
            names.SIMHASH: -(2**63),
        }
    )
    assert {name: row[name] for name in FINGERPRINTS} == {
        "api_key_hash": "aa",
        "prompt_hash": "bb",
        "system_hash": "cc",
        "tools_hash": None,
        "prefix_chain": [1, -2],
        "system_size": 9,
        "tools_size": 0,
        "history_size": 0,
        "tool_results_size": 0,
        "user_size": 33,
        "message_count": 1,
        "tool_count": 0,
        "turn": 1,
        "simhash": -(2**63),
    }
    assert row["attributes"] == {}


@pytest.mark.parametrize("chain", [b"", b"seven by", "eight by", b"eight by1", 8])
def test_a_chain_that_is_none_stays_among_the_attributes(chain: Value) -> None:
    row = row_of({**USED, names.PREFIX_CHAIN: chain})
    whole = chain == b"seven by"
    assert (row["prefix_chain"] is None, names.PREFIX_CHAIN in row["attributes"]) == (not whole, not whole)


def test_without_fingerprints_nothing_is_said_of_a_prompt() -> None:
    row = row_of({**USED, names.USER_SIZE: -1, names.TURN: -1})
    assert {name: row[name] for name in FINGERPRINTS} == dict.fromkeys(FINGERPRINTS)

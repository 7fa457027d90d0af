"""What emitters without a recorded body write, as their sources have it, becomes the call that they mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from otlp_bodies import Value, request, row_of, rows_of, span
from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS
from spanledger_collector.dialects import PROVIDERS, is_before
from spanledger_collector.vocabulary import COUNTS, NUMBERS

TOKENS = (
    *("input_tokens", "output_tokens", "input_uncached_tokens", "cache_read_tokens", "cache_write_5m_tokens"),
    *("cache_write_1h_tokens", "reasoning_tokens", "input_audio_tokens"),
)

LANGFUSE: dict[str, Value] = {
    "langfuse.observation.type": "generation",
    "langfuse.observation.model.name": "claude-sonnet-5",
    "langfuse.observation.usage_details": json.dumps(
        {
            "input": 20,
            "output": 90,
            "input_cache_read": 3000,
            "input_cache_creation": 1500,
            "input_cache_creation_1h": 500,
            "output_reasoning_tokens": 40,
            "total": 4650,
        }
    ),
    "langfuse.observation.cost_details": '{"input": 0.001, "output": 0.002, "total": 0.0030000000000000001}',
    "user.id": "u",
    "langfuse.trace.name": "search",
    "langfuse.trace.metadata.tier": "gold",
}
LANGFUSE_OPENAI: dict[str, Value] = {
    "langfuse.observation.type": "generation",
    "langfuse.observation.model.name": "gpt-5.5",
    "langfuse.observation.usage_details": json.dumps(
        {
            "prompt_tokens": 1200,
            "completion_tokens": 345,
            "total_tokens": 1545,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 1024},
            "completion_tokens_details": {"audio_tokens": 0, "reasoning_tokens": 200},
        }
    ),
}
VERCEL_CALL: dict[str, Value] = {
    "operation.name": "ai.streamText.doStream chat",
    "ai.operationId": "ai.streamText.doStream",
    "ai.model.provider": "openai.responses",
    "ai.model.id": "gpt-5.5",
    "ai.response.id": "resp_1",
    "ai.response.model": "gpt-5.5-2026-04-23",
    "ai.response.finishReason": "stop",
    "ai.response.msToFirstChunk": 250.5,
    "ai.telemetry.functionId": "search",
    "ai.telemetry.metadata.userId": "u",
    "ai.telemetry.metadata.tier": "gold",
    "ai.usage.inputTokens": 1200,
    "ai.usage.inputTokenDetails.noCacheTokens": 176,
    "ai.usage.inputTokenDetails.cacheReadTokens": 1024,
    "ai.usage.outputTokens": 345,
    "ai.usage.outputTokenDetails.reasoningTokens": 200,
    "ai.usage.totalTokens": 1545,
    "ai.usage.reasoningTokens": 200,
    "ai.usage.cachedInputTokens": 1024,
    "gen_ai.system": "openai.responses",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 345,
}
VERCEL_OLD_ANTHROPIC: dict[str, Value] = {
    "ai.operationId": "ai.generateText.doGenerate",
    "ai.model.provider": "anthropic.messages",
    "ai.model.id": "claude-sonnet-5",
    "ai.usage.inputTokens": 2000,
    "ai.usage.outputTokens": 130,
    "ai.usage.cachedInputTokens": 1000,
    "ai.response.providerMetadata": json.dumps(
        {
            "anthropic": {
                "usage": {
                    "input_tokens": 2000,
                    "cache_creation_input_tokens": 500,
                    "cache_read_input_tokens": 1000,
                    "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 200},
                    "output_tokens": 130,
                },
                "cacheCreationInputTokens": 500,
            }
        },
        separators=(",", ":"),
    ),
}
LANGSMITH: dict[str, Value] = {
    "langsmith.span.kind": "llm",
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "anthropic",
    "gen_ai.request.model": "claude-sonnet-5",
    "gen_ai.usage.input_tokens": 4520,
    "gen_ai.usage.output_tokens": 130,
    "gen_ai.usage.total_tokens": 4650,
    "gen_ai.usage.input_token_details": "{'cache_read': 3000, 'cache_creation': 0, 'ephemeral_5m_input_tokens': 1000, "
    "'ephemeral_1h_input_tokens': 500}",
    "gen_ai.usage.output_token_details": "{'reasoning': 40}",
    "langsmith.metadata.thread_id": "t",
    "langsmith.metadata.ls_provider": "anthropic",
}
MLFLOW: dict[str, Value] = {
    "mlflow.spanType": '"CHAT_MODEL"',
    "mlflow.llm.model": '"claude-sonnet-5"',
    "mlflow.llm.provider": '"anthropic"',
    "mlflow.chat.tokenUsage": json.dumps(
        {
            "input_tokens": 4520,
            "output_tokens": 130,
            "total_tokens": 4650,
            "cache_read_input_tokens": 3000,
            "cache_creation_input_tokens": 1500,
            "cache_creation_input_tokens_above_1hr": 500,
        }
    ),
    "mlflow.llm.cost": '{"input_cost": 0.001, "output_cost": 0.002, "total_cost": 0.003}',
}
GENKIT: dict[str, Value] = {
    "genkit:type": "action",
    "genkit:metadata:subtype": "model",
    "genkit:name": "googleai/gemini-3-flash",
    "genkit:path": "/{chat,t:flow}/{googleai%2Fgemini-3-flash,t:action,s:model}",
    "genkit:output": json.dumps(
        {
            "message": {"role": "model", "content": [{"text": 'it said "usage":{"inputTokens":9}'}]},
            "finishReason": "stop",
            "usage": {
                "inputTokens": 100.0,
                "outputTokens": 20,
                "thoughtsTokens": 30,
                "totalTokens": 150,
                "cachedContentTokens": 60,
            },
        }
    ),
}
PYDANTIC: dict[str, Value] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "google-gla",
    "gen_ai.request.model": "gemini-3-flash",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.cache_read.input_tokens": 60,
    "gen_ai.usage.details.cache_read_tokens": 60,
    "gen_ai.usage.details.thoughts_tokens": 30,
    "gen_ai.usage.details.input_audio_tokens": 10,
    "operation.cost": 0.003,
}
SENTRY: dict[str, Value] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-5.5",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.input_tokens.cached": 1024,
    "gen_ai.usage.output_tokens": 345,
    "gen_ai.usage.output_tokens.reasoning": 200,
    "gen_ai.cost.total_tokens": 0.003,
}
STRANDS: dict[str, Value] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "strands-agents",
    "gen_ai.request.model": "us.anthropic.claude-sonnet-5-v1:0",
    "gen_ai.usage.prompt_tokens": 4520,
    "gen_ai.usage.input_tokens": 4520,
    "gen_ai.usage.output_tokens": 130,
    "gen_ai.usage.total_tokens": 4650,
    "gen_ai.usage.cache_read_input_tokens": 3000,
    "gen_ai.usage.cache_write_input_tokens": 1500,
    "gen_ai.server.time_to_first_token": 250,
}
LITELLM: dict[str, Value] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "vertex_ai",
    "gen_ai.request.model": "gemini-3-flash",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 50,
    "litellm.cost.total": 0.003,
    "litellm.team.id": "t",
    "litellm.end_user.id": "u",
    "litellm.api_key.hash": "h",
    "litellm.metadata.tier": "gold",
}
LAMINAR: dict[str, Value] = {
    "lmnr.span.type": "LLM",
    "gen_ai.system": "anthropic",
    "gen_ai.request.model": "claude-sonnet-5",
    "gen_ai.usage.input_tokens": 4520,
    "gen_ai.usage.output_tokens": 130,
    "gen_ai.usage.cache_read_input_tokens": 3000,
    "gen_ai.usage.cache_creation_input_tokens": 1500,
    "gen_ai.usage.reasoning_output_tokens": 40,
    "lmnr.association.properties.user_id": "u",
}
DECISION: dict[str, Value] = {
    "openinference.span.kind": "DECISION",
    "decision.provider": "openai",
    "decision.model_name": "gpt-5.5",
    "decision.token_count.input": 100,
    "decision.token_count.output": 5,
}


@pytest.mark.parametrize(
    ("scope", "wire", "tokens", "basis"),
    [
        ("langfuse-sdk", LANGFUSE, (4520, 130, 20, 3000, 1000, 500, 40, None), "exclusive"),
        ("langfuse-sdk", LANGFUSE_OPENAI, (1200, 345, 176, 1024, None, None, 200, 0), "inclusive"),
        ("ai", VERCEL_CALL, (1200, 345, 176, 1024, None, None, 200, None), "inclusive"),
        ("ai", VERCEL_OLD_ANTHROPIC, (3500, 130, 2000, 1000, 300, 200, None, None), "exclusive"),
        ("langsmith", LANGSMITH, (4520, 130, 20, 3000, 1000, 500, 40, None), "inclusive"),
        ("mlflow.tracing.fluent", MLFLOW, (4520, 130, 20, 3000, 1000, 500, None, None), "inclusive"),
        ("genkit-tracer", GENKIT, (100, 50, 40, 60, None, None, 30, None), "inclusive"),
        ("pydantic-ai", PYDANTIC, (100, 50, 30, 60, 0, 0, 30, 10), "inclusive"),
        ("sentry", SENTRY, (1200, 345, 176, 1024, 0, 0, 200, 0), "inclusive"),
        ("strands.telemetry.tracer", STRANDS, (4520, 130, 20, 3000, 1500, 0, None, None), "inclusive"),
        ("litellm", LITELLM, (100, 50, 100, None, None, None, None, None), "inclusive"),
        ("lmnr.tracer", LAMINAR, (4520, 130, 20, 3000, 1500, 0, 40, None), "inclusive"),
        ("openinference.instrumentation.x", DECISION, (100, 5, 100, 0, 0, 0, 0, 0), "inclusive"),
    ],
)
def test_tokens_of_a_call(scope: str, wire: dict[str, Value], tokens: tuple[int | None, ...], basis: str) -> None:
    row = row_of(wire, scope=scope)
    assert (row["role"], row["usage_state"]) == ("inference", "reported")
    assert (tuple(row[name] for name in TOKENS), row["token_basis"]) == (tokens, basis)


@pytest.mark.parametrize(
    ("scope", "wire", "expected"),
    [
        (
            "langfuse-sdk",
            LANGFUSE,
            {
                "operation": "chat",
                "request_model": "claude-sonnet-5",
                "reported_cost_usd": Decimal("0.003"),
                "user_id": "u",
                "feature": "search",
                "tags": {"tier": "gold"},
            },
        ),
        (
            "ai",
            VERCEL_CALL,
            {
                "operation": "chat",
                "provider": "openai",
                "request_model": "gpt-5.5",
                "response_model": "gpt-5.5-2026-04-23",
                "response_id": "resp_1",
                "finish_reason": "stop",
                "first_token_us": 250_500,
                "user_id": "u",
                "feature": "search",
                "tags": {"tier": "gold"},
            },
        ),
        ("langsmith", LANGSMITH, {"session_id": "t", "tags": {"ls_provider": "anthropic"}}),
        (
            "mlflow.tracing.fluent",
            MLFLOW,
            {"provider": "anthropic", "request_model": "claude-sonnet-5", "reported_cost_usd": Decimal("0.003")},
        ),
        ("genkit-tracer", GENKIT, {"provider": "gcp.gemini", "request_model": "gemini-3-flash"}),
        ("pydantic-ai", PYDANTIC, {"provider": "gcp.gemini", "reported_cost_usd": Decimal("0.003")}),
        ("sentry", SENTRY, {"reported_cost_usd": Decimal("0.003")}),
        ("strands.telemetry.tracer", STRANDS, {"provider": "aws.bedrock", "first_token_us": 250_000}),
        (
            "litellm",
            LITELLM,
            {
                "provider": "gcp.vertex_ai",
                "team_id": "t",
                "user_id": "u",
                "api_key_hash": "h",
                "reported_cost_usd": Decimal("0.003"),
                "tags": {"tier": "gold"},
            },
        ),
    ],
)
def test_what_else_a_call_says(scope: str, wire: dict[str, Value], expected: Mapping[str, Any]) -> None:
    row = row_of(wire, scope=scope)
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("scope", "wire"),
    [
        ("ai", {**VERCEL_CALL, "ai.operationId": "ai.streamText"}),
        ("ai", {"ai.operationId": "ai.embedMany", "ai.model.id": "e", "ai.usage.tokens": 9}),
        ("gen_ai", {"gen_ai.operation.name": "agent_step", "gen_ai.usage.input_tokens": 5}),
        ("langfuse-sdk", {**LANGFUSE, "langfuse.observation.type": "agent"}),
        ("langfuse-sdk", {**LANGFUSE, "langfuse.observation.type": "span"}),
        ("langsmith", {**LANGSMITH, "langsmith.metadata.usage_scope": "agent_total"}),
        ("langsmith", {**LANGSMITH, "gen_ai.operation.name": "chain", "langsmith.span.kind": "chain"}),
        ("mlflow.tracing.fluent", {**MLFLOW, "mlflow.spanType": '"AGENT"'}),
        ("pydantic-ai", {"gen_ai.operation.name": "invoke_agent", "gen_ai.aggregated_usage.input_tokens": 124}),
        ("strands.telemetry.tracer", {**STRANDS, "gen_ai.operation.name": "invoke_agent"}),
        ("gcp.vertex.agent", {"gen_ai.system": "gcp.vertex.agent", "gen_ai.usage.input_tokens": 5}),
    ],
)
def test_sum_of_other_spans_is_never_charged(scope: str, wire: dict[str, Value]) -> None:
    row = row_of(wire, scope=scope, name="call_llm")
    assert (row["unpriced_reason"], row["cost_usd"], row["role"] == "inference") == ("aggregate", None, False)


@pytest.mark.parametrize("kind", ["retriever", "prompt"])
def test_run_of_langsmith_that_is_no_call_is_none(kind: str) -> None:
    row = row_of({"langsmith.span.kind": kind, "gen_ai.operation.name": "chat"}, scope="langsmith")
    assert row["role"] == "other"


@pytest.mark.parametrize(("currency", "claimed"), [("USD", True), ("usd", True), ("EUR", False)])
def test_claim_counts_in_dollars_only(currency: str, claimed: bool) -> None:
    wire: dict[str, Value] = {"gen_ai.usage.cost.amount": 0.5, "gen_ai.usage.cost.currency": currency}
    assert (row_of({**LITELLM, "litellm.cost.total": 0.5, **wire})["reported_cost_usd"] is not None) == claimed


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("azure.responses", "azure.ai.openai"),
        ("az.ai.openai", "azure.ai.openai"),
        ("amazon-bedrock", "aws.bedrock"),
        ("google.generative-ai", "gcp.gemini"),
        ("google.vertex.chat", "gcp.vertex_ai"),
        ("vertex.anthropic.messages", "gcp.vertex_ai"),
        ("xai.chat", "x_ai"),
        ("mistral.chat", "mistral_ai"),
        ("Anthropic", "anthropic"),
        ("langchain", None),
        ("_OTHER", None),
    ],
)
def test_provider_has_one_name(spelling: str, name: str | None) -> None:
    assert row_of({**SENTRY, "gen_ai.system": spelling})["provider"] == name


def test_names_of_providers_are_final() -> None:
    assert not {name for name in PROVIDERS.values() if PROVIDERS.get(name, name) != name}


def test_tags_under_two_prefixes_are_one_map_and_the_last_counts() -> None:
    wire: dict[str, Value] = {
        "langsmith.metadata.a": "1",
        "spanledger.tag.b": "2",
        "traceloop.association.properties.a": "3",
    }
    assert row_of(wire)["tags"] == {"b": "2", "a": "3"}


def test_total_tells_that_reasoning_is_on_top_of_the_output() -> None:
    wire: dict[str, Value] = {**SENTRY, "gen_ai.usage.output_tokens": 100, "gen_ai.usage.total_tokens": 1500}
    row = row_of(wire, scope="elsewhere")
    assert (row["output_tokens"], row["output_text_tokens"], row["reasoning_tokens"]) == (300, 100, 200)


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "output_token_details": {"reasoning": 9}},
        {"input_tokens": 10, "output_tokens": 5, "input_token_details": {"audio": 11}},
        {"input_tokens": 10**17, "output_tokens": 5},
    ],
)
def test_parts_in_json_that_do_not_fit_are_inconsistent(usage: dict[str, Value]) -> None:
    wire = {key: value for key, value in LANGSMITH.items() if not key.startswith("gen_ai.usage.")}
    row = row_of({**wire, "langsmith.usage_metadata": json.dumps(usage)}, scope="langsmith")
    assert (row["usage_state"], row["unpriced_reason"], row["cost_usd"]) == ("inconsistent", "inconsistent", None)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "null", "{'input_tokens': 1.5}", '{"input_tokens": "7"}', "{" * 9_000]
)
def test_json_that_says_nothing_is_no_usage(text: str) -> None:
    row = row_of({**MLFLOW, "mlflow.chat.tokenUsage": text}, scope="mlflow.tracing.fluent")
    assert (row["usage_state"], row["unpriced_reason"]) == ("missing", "no_usage")


@pytest.mark.parametrize(
    ("version", "early"),
    [
        ("0.1.39", True),
        ("v0.1", True),
        ("0.1.40", False),
        ("0.1.40b1", False),
        ("1", False),
        ("", False),
        ("main", False),
    ],
)
def test_what_is_no_version_is_not_before_one(version: str, early: bool) -> None:
    assert is_before(version, (0, 1, 40)) == early


@pytest.mark.parametrize(
    ("scope", "version", "expected"),
    [
        ("anthropic", "0.1.13", (150, 100, 50, "exclusive")),
        ("anthropic", "0.1.15", (100, 50, 50, "inclusive")),
        ("anthropic", "no version", (100, 50, 50, "inclusive")),
        ("bedrock", "0.1.17", (150, 100, 50, "exclusive")),
        ("bedrock", "0.1.61", (100, 50, 50, "inclusive")),
        ("openai", "0.1.13", (100, 50, 50, "inclusive")),
    ],
)
def test_version_tells_whether_input_includes_cached_tokens(
    scope: str, version: str, expected: tuple[int, int, int, str]
) -> None:
    counts: dict[str, Value] = {"llm.token_count.prompt": 100, "llm.token_count.prompt_details.cache_read": 50}
    wire: dict[str, Value] = {"openinference.span.kind": "LLM", **counts, "llm.token_count.completion": 5}
    body = request(span(wire), scope=f"openinference.instrumentation.{scope}", version=version)
    (row,) = rows_of(body).to_pylist()
    found = ("input_tokens", "input_uncached_tokens", "cache_read_tokens", "token_basis")
    assert tuple(row[name] for name in found) == expected


@pytest.mark.parametrize(("version", "cached"), [("1.1.0", None), ("1.1.1", 0)])
def test_part_that_older_versions_never_told_is_unknown(version: str, cached: int | None) -> None:
    wire: dict[str, Value] = {"llm.token_count.prompt": 100, "llm.token_count.completion": 5}
    body = request(
        span({"openinference.span.kind": "LLM", **wire}),
        scope="openinference.instrumentation.anthropic",
        version=version,
    )
    assert rows_of(body)["cache_read_tokens"].to_pylist() == [cached]


words = sorted({key for table in (COUNTS, NUMBERS) for keys in table.values() for key in keys})
scalars = st.integers(-5, 10_000) | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=9)
usages = st.dictionaries(st.sampled_from(words), scalars, max_size=9)
details = st.dictionaries(
    st.sampled_from(["input", "output", "input_tokens", "output_tokens", "cached_tokens", "reasoning", "total"]),
    st.integers(-3, 10**19) | st.floats() | st.text(max_size=5),
    max_size=6,
).map(json.dumps)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(["ai", "langfuse-sdk", "litellm", "", "x"]), usages, details), max_size=4))
def test_parts_add_up_or_are_unknown_whatever_is_sent(sent: list[tuple[str, dict[str, Value], str]]) -> None:
    asked = {"gen_ai.operation.name": "chat"}
    bodies = [
        request(span({**asked, "langfuse.observation.usage_details": text, **wire}), scope=scope)
        for scope, wire, text in sent
    ]
    for row in rows_of(*bodies).to_pylist():
        for total, parts in (("input_tokens", INPUT_PARTS), ("output_tokens", OUTPUT_PARTS)):
            told = [row[name] or 0 for name in parts]
            if row[parts[0]] is not None:
                assert (sum(told), min(told) >= 0) == (row[total], True)
        assert (row["usage_state"] == "inconsistent") == (row["unpriced_reason"] == "inconsistent")

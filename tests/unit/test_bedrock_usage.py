"""Bedrock's counts, family by family, as token vectors."""

from __future__ import annotations

from typing import Any

import pytest

from spanledger.attributes import Facts
from spanledger.sdks.bedrock_usage import read_converse, read_invoke, read_metadata, token_usage
from spanledger.usage import Usage

METADATA: dict[str, Any] = {
    "RequestId": "5f0c2a9e-0d52-4b1f-9a4e-0f7d3b6f2a11",
    "HTTPHeaders": {"x-amzn-bedrock-input-token-count": "12", "x-amzn-bedrock-output-token-count": "0"},
}


def _vector(facts: Facts) -> Usage:
    return token_usage(facts.counts, "reported" if facts.complete else "estimated")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {
                "usage": {
                    "input_tokens": 3,
                    "cache_read_input_tokens": 13216,
                    "cache_creation_input_tokens": 25,
                    "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 20},
                    "output_tokens": 12,
                    "output_tokens_details": {"thinking_tokens": 4},
                }
            },
            Usage(
                input_uncached_tokens=3,
                cache_read_tokens=13216,
                cache_write_5m_tokens=5,
                cache_write_1h_tokens=20,
                output_text_tokens=8,
                reasoning_tokens=4,
            ),
        ),
        (
            {"usage": {"inputTokens": 7, "outputTokens": 3, "cacheReadInputTokenCount": 5}},
            Usage(7, 5, output_text_tokens=3),
        ),
        ({"prompt_token_count": 7, "generation_token_count": 3}, Usage(7, output_text_tokens=3)),
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}},
            Usage(7, 2, output_text_tokens=3),
        ),
        (
            {"inputTextTokenCount": 7, "results": [{"tokenCount": 2}, {"tokenCount": 1}]},
            Usage(7, output_text_tokens=3),
        ),
    ],
    ids=["anthropic", "nova", "meta", "openai", "titan"],
)
def test_every_family_has_names_of_its_own(body: dict[str, object], expected: Usage) -> None:
    facts = Facts()
    read_invoke(facts, body)

    assert _vector(facts) == expected


def test_headers_count_where_the_body_does_not() -> None:
    facts = Facts()
    read_metadata(facts, {"ResponseMetadata": METADATA, "serviceTier": "flex", "performanceConfigLatency": "optimized"})
    read_invoke(facts, {"outputs": [{"text": "Ritz", "stop_reason": "stop"}]})

    assert _vector(facts) == Usage(12)
    assert (facts.response_id, facts.finish_reasons) == (METADATA["RequestId"], ["stop"])
    assert (facts.service_tier, facts.speed) == ("flex", "optimized")


def test_converse_tells_lifetimes_tier_and_the_model_behind_a_router() -> None:
    facts = Facts()
    read_converse(
        facts,
        {
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": 20,
                "outputTokens": 5,
                "cacheReadInputTokens": 100,
                "cacheWriteInputTokens": 30,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 10}],
            },
            "serviceTier": {"type": "priority"},
            "performanceConfig": {"latency": "standard"},
            "trace": {"promptRouter": {"invokedModelId": "amazon.nova-lite-v1:0"}},
        },
    )

    assert _vector(facts) == Usage(
        input_uncached_tokens=20,
        cache_read_tokens=100,
        cache_write_5m_tokens=10,
        cache_write_1h_tokens=20,
        output_text_tokens=5,
    )
    assert (facts.service_tier, facts.speed, facts.response_model) == ("priority", None, "amazon.nova-lite-v1:0")

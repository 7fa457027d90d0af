"""From what a provider reports to the token vector."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from spanledger.attributes import Facts
from spanledger.sdks import anthropic_sdk, openai_sdk
from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS, Usage


def test_what_the_parts_leave_over_is_plain_text() -> None:
    usage = Usage.from_totals(1200, 345, cache_read_tokens=1024, reasoning_tokens=200)

    assert usage == Usage(
        input_uncached_tokens=176, cache_read_tokens=1024, output_text_tokens=145, reasoning_tokens=200
    )
    assert (usage.input_tokens, usage.output_tokens) == (1200, 345)


@pytest.mark.parametrize(
    "parts", [{"cache_read_tokens": 11}, {"reasoning_tokens": 6}, {"cache_read_tokens": -1}, {"input_audio_tokens": 99}]
)
def test_parts_that_do_not_fit_their_total_are_inconsistent(parts: dict[str, int]) -> None:
    usage = Usage.from_totals(10, 5, state="reported", units=None, **parts)

    assert (usage.state, usage.input_tokens, usage.output_tokens) == ("inconsistent", 10, 5)
    assert all(getattr(usage, part) == 0 for part in (*INPUT_PARTS[1:], *OUTPUT_PARTS[1:]))


def _openai(body: Mapping[str, Any], path: str = "/chat/completions") -> Usage:
    facts = Facts()
    endpoint = openai_sdk.SDK.endpoints[path]
    endpoint.read(facts, body)
    return endpoint.total(facts)


def _anthropic(usage: Mapping[str, Any]) -> Usage:
    facts = Facts()
    endpoint = anthropic_sdk.SDK.endpoints["/v1/messages"]
    endpoint.read(facts, {"usage": usage})
    return endpoint.total(facts)


def test_openai_chat_details_are_parts_of_the_totals() -> None:
    body = {
        "choices": [{"finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 1000,
            "completion_tokens": 300,
            "prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 100, "audio_tokens": 50},
            "completion_tokens_details": {"reasoning_tokens": 120, "audio_tokens": 30},
        },
    }

    assert _openai(body) == Usage(
        input_uncached_tokens=450,
        cache_read_tokens=400,
        cache_write_5m_tokens=100,
        input_audio_tokens=50,
        output_text_tokens=150,
        reasoning_tokens=120,
        output_audio_tokens=30,
    )


def test_openai_responses_split_writes_by_lifetime_and_count_searches() -> None:
    body = {
        "status": "completed",
        "output": [{"type": "web_search_call"}, {"type": "message"}, {"type": "web_search_call"}],
        "usage": {
            "input_tokens": 1000,
            "output_tokens": 10,
            "input_tokens_details": {
                "cached_tokens": 0,
                "cache_write_tokens": 300,
                "cache_write_tokens_details": {"ttl_30m_tokens": 100, "ttl_12h_tokens": 200},
            },
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }

    assert _openai(body, "/responses") == Usage(
        input_uncached_tokens=700,
        cache_write_5m_tokens=100,
        cache_write_12h_tokens=200,
        output_text_tokens=10,
        units={"web_searches": Decimal(2)},
    )


def test_a_running_total_counts_as_final_only_once_a_choice_has_finished() -> None:
    endpoint, facts = openai_sdk.SDK.endpoints["/chat/completions"], Facts()
    chunk = {"choices": [{"finish_reason": None}], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}

    endpoint.hear(facts, chunk)
    assert facts.complete is False
    endpoint.hear(facts, {**chunk, "choices": [{"finish_reason": "stop"}]})
    assert facts.complete is True


def test_a_failed_response_says_so() -> None:
    facts = Facts()
    openai_sdk.SDK.endpoints["/responses"].read(facts, {"status": "failed", "error": {"code": "server_error"}})

    assert (facts.error_type, facts.counts) == ("server_error", {})


@pytest.mark.parametrize(
    "body", [{}, {"choices": None, "usage": None}, "text", None, {"usage": {"prompt_tokens": "x"}}]
)
def test_a_body_without_counts_is_no_fault(body: Any) -> None:
    assert _openai(body).input_tokens == 0


def test_anthropic_totals_are_sums_with_the_cache() -> None:
    usage = {
        "input_tokens": 20,
        "output_tokens": 130,
        "cache_read_input_tokens": 3000,
        "cache_creation_input_tokens": 1500,
        "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 500},
        "output_tokens_details": {"thinking_tokens": 30},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
    }

    assert _anthropic(usage) == Usage(
        input_uncached_tokens=20,
        cache_read_tokens=3000,
        cache_write_5m_tokens=1000,
        cache_write_1h_tokens=500,
        output_text_tokens=100,
        reasoning_tokens=30,
        units={"web_searches": Decimal(2)},
    )


def test_anthropic_writes_without_a_split_are_of_the_default_lifetime() -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 9}

    assert _anthropic(usage) == Usage(input_uncached_tokens=1, cache_write_5m_tokens=9, output_text_tokens=1)


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("ours.openai.azure.com", "azure.ai.openai"),
        ("api.ollama.com", "ollama"),
        ("notollama.com", "openai"),
        ("llm.example.org", "openai"),
        (None, "openai"),
    ],
)
def test_an_unknown_host_keeps_the_sdks_own_provider(host: str | None, provider: str) -> None:
    assert openai_sdk.SDK.provider_at(host) == provider

"""Gemini's usage metadata as token vectors."""

from __future__ import annotations

import json

import pytest
from google.genai.types import HttpResponse

from spanledger.attributes import Facts
from spanledger.sdks.google_usage import read_content, read_embeddings, token_usage
from spanledger.usage import Usage


def _read(*events: dict[str, object], headers: dict[str, str] | None = None) -> Facts:
    facts = Facts()
    for event in events:
        read_content(facts, HttpResponse(body=json.dumps(event), headers=headers))
    return facts


def _vector(facts: Facts) -> Usage:
    return token_usage(facts.counts, "reported" if facts.complete else "estimated")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"promptTokenCount": 7, "candidatesTokenCount": 3}, Usage(7, output_text_tokens=3)),
        ({"promptTokenCount": 7}, Usage(7)),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 60,
                "candidatesTokenCount": 3,
                "thoughtsTokenCount": 9,
            },
            Usage(40, cache_read_tokens=60, output_text_tokens=3, reasoning_tokens=9),
        ),
        (
            {
                "promptTokenCount": 100,
                "promptTokensDetails": [
                    {"modality": "IMAGE", "tokenCount": 90},
                    {"modality": "VIDEO", "tokenCount": 5},
                ],
                "cachedContentTokenCount": 50,
                "cacheTokensDetails": [{"modality": "IMAGE", "tokenCount": 40}],
                "toolUsePromptTokenCount": 20,
                "toolUsePromptTokensDetails": [{"modality": "AUDIO", "tokenCount": 15}],
                "candidatesTokenCount": 30,
                "candidatesTokensDetails": [
                    {"modality": "AUDIO", "tokenCount": 10},
                    {"modality": "IMAGE", "tokenCount": 12},
                ],
            },
            Usage(
                input_uncached_tokens=5,
                cache_read_tokens=50,
                input_image_tokens=50,
                input_audio_tokens=15,
                output_text_tokens=8,
                output_audio_tokens=10,
                output_image_tokens=12,
            ),
        ),
        (
            {"promptTokenCount": 10, "cachedContentTokenCount": 60, "candidatesTokenCount": 3},
            Usage(10, output_text_tokens=3, state="inconsistent"),
        ),
    ],
)
def test_counts_become_disjoint_parts(metadata: dict[str, object], expected: Usage) -> None:
    facts = _read({"candidates": [{"finishReason": "STOP"}], "usageMetadata": metadata})

    assert _vector(facts) == expected


def test_the_last_totals_of_a_stream_hold_and_none_is_added() -> None:
    facts = _read(
        {"candidates": [{}], "usageMetadata": {"promptTokenCount": 9, "thoughtsTokenCount": 5}},
        {"candidates": [{}], "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2}},
        {"candidates": [{"finishReason": "MAX_TOKENS"}], "usageMetadata": {"candidatesTokenCount": 4}},
        {"candidates": [{"finishReason": "MAX_TOKENS"}], "usageMetadata": {"candidatesTokenCount": 6}},
    )

    assert _vector(facts) == Usage(9, output_text_tokens=6, reasoning_tokens=5)
    assert facts.finish_reasons == ["max_tokens"]


def test_a_prompt_that_is_blocked_is_billed_and_over() -> None:
    facts = _read({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}})

    assert (_vector(facts), facts.finish_reasons) == (Usage(9), ["safety"])


@pytest.mark.parametrize(
    ("traffic", "headers", "tier"),
    [
        ("ON_DEMAND", None, "standard"),
        ("ON_DEMAND_PRIORITY", None, "priority"),
        ("ON_DEMAND_FLEX", None, "flex"),
        (None, {"X-Gemini-Service-Tier": "flex"}, "flex"),
        (None, None, None),
    ],
)
def test_the_tier_comes_from_the_response(
    traffic: str | None, headers: dict[str, str] | None, tier: str | None
) -> None:
    facts = _read({"usageMetadata": {"promptTokenCount": 1, "trafficType": traffic}}, headers=headers)

    assert facts.service_tier == tier


def test_embeddings_without_a_count_have_no_usage() -> None:
    facts = Facts()
    read_embeddings(facts, HttpResponse(body=json.dumps({"embeddings": [{"values": [0.5]}]}), headers={}))

    assert (facts.counts, facts.complete) == ({}, False)


def test_a_body_that_is_parsed_already_is_read_as_it_is() -> None:
    facts = Facts()
    read_content(facts, {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 9}})

    assert (_vector(facts), facts.finish_reasons) == (Usage(9), ["stop"])

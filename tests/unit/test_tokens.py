"""Token counts of every dialect become the same vector that the instrumentation builds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from otlp_bodies import Value, request, row_of, rows_of, span
from spanledger import names
from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS, Usage
from spanledger_collector.pricing import price_rows

CHAT: dict[str, Value] = {
    names.OPERATION: "chat",
    names.PROVIDER: "openai",
    names.REQUEST_MODEL: "gpt-5.5",
}
WIRE_OF_PART = {
    "cache_read_tokens": names.CACHE_READ_TOKENS,
    "cache_write_5m_tokens": names.CACHE_WRITE_5M_TOKENS,
    "cache_write_1h_tokens": names.CACHE_WRITE_1H_TOKENS,
    "cache_write_12h_tokens": names.CACHE_WRITE_12H_TOKENS,
    "input_audio_tokens": names.INPUT_AUDIO_TOKENS,
    "input_image_tokens": names.INPUT_IMAGE_TOKENS,
    "reasoning_tokens": names.REASONING_TOKENS,
    "output_audio_tokens": names.OUTPUT_AUDIO_TOKENS,
    "output_image_tokens": names.OUTPUT_IMAGE_TOKENS,
}


def vector(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("input_tokens", "output_tokens", *INPUT_PARTS, *OUTPUT_PARTS, "usage_state")}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0, 5_000),
    st.integers(1, 5_000),
    st.dictionaries(st.sampled_from(sorted(WIRE_OF_PART)), st.integers(0, 900), max_size=6),
)
def test_our_own_spans_give_the_vector_of_usage(input_tokens: int, output_tokens: int, parts: dict[str, int]) -> None:
    wire = {WIRE_OF_PART[part]: count for part, count in parts.items()}
    row = row_of({**CHAT, names.INPUT_TOKENS: input_tokens, names.OUTPUT_TOKENS: output_tokens, **wire})
    usage = Usage.from_totals(input_tokens, output_tokens, state="reported", units=None, **parts)
    known = {part: getattr(usage, part) for part in (*INPUT_PARTS, *OUTPUT_PARTS)}
    if usage.state == "inconsistent":
        known = dict.fromkeys(known)
    assert vector(row) == {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        **known,
        "usage_state": usage.state,
    }


@pytest.mark.parametrize(
    ("scope", "wire", "expected"),
    [
        # Bedrock as some frameworks hand it on: input without its cached tokens.
        (
            "openinference.instrumentation.bedrock",
            {
                "llm.token_count.prompt": 3,
                "llm.token_count.completion": 12,
                "llm.token_count.prompt_details.cache_read": 13_216,
                "llm.token_count.prompt_details.cache_write": 25,
            },
            (13_244, 3, 13_216, 25, "exclusive"),
        ),
        # Cached tokens would fit, but only with them does the emitter's own total come out.
        (
            "openinference.instrumentation.bedrock",
            {
                "llm.token_count.prompt": 500,
                "llm.token_count.completion": 12,
                "llm.token_count.prompt_details.cache_read": 300,
                "llm.token_count.total": 812,
            },
            (800, 500, 300, 0, "exclusive"),
        ),
        # OpenRouter: 17,817 of 17,903 were cached, not on top.
        (
            "opentelemetry.instrumentation.genai.openai",
            {
                names.INPUT_TOKENS: 17_903,
                names.OUTPUT_TOKENS: 12,
                names.CACHE_READ_TOKENS: 17_817,
            },
            (17_903, 86, 17_817, 0, "inclusive"),
        ),
        # OpenLIT gives Anthropic's input as Anthropic does.
        (
            "openlit.instrumentation.anthropic",
            {
                names.PROVIDER: "anthropic",
                names.INPUT_TOKENS: 40,
                names.OUTPUT_TOKENS: 12,
                names.CACHE_READ_TOKENS: 30,
                "gen_ai.usage.cache_creation.input_tokens": 0,
            },
            (70, 40, 30, 0, "exclusive"),
        ),
    ],
)
def test_cached_input_is_counted_once(
    scope: str, wire: dict[str, Value], expected: tuple[int, int, int, int, str]
) -> None:
    row = row_of({**CHAT, **wire}, scope=scope)
    assert (
        row["input_tokens"],
        row["input_uncached_tokens"],
        row["cache_read_tokens"],
        row["cache_write_5m_tokens"],
        row["token_basis"],
    ) == expected


def test_cache_write_without_a_lifetime_is_five_minutes() -> None:
    row = row_of({**CHAT, names.INPUT_TOKENS: 100, names.OUTPUT_TOKENS: 1, names.CACHE_WRITE_TOKENS: 60})
    assert (row["cache_write_5m_tokens"], row["cache_write_1h_tokens"], row["input_uncached_tokens"]) == (60, 0, 40)


def test_cached_audio_is_part_of_both_its_sums() -> None:
    row = row_of(
        {
            **CHAT,
            names.INPUT_TOKENS: 100,
            names.OUTPUT_TOKENS: 1,
            names.CACHE_READ_TOKENS: 50,
            names.INPUT_AUDIO_TOKENS: 40,
            names.CACHE_READ_AUDIO_TOKENS: 10,
        }
    )
    assert {name: row[name] for name in INPUT_PARTS if row[name]} == {
        "input_uncached_tokens": 20,
        "cache_read_tokens": 40,
        "input_audio_tokens": 30,
        "cache_read_audio_tokens": 10,
    }


@pytest.mark.parametrize(
    "wire",
    [
        {names.INPUT_TOKENS: 10, names.OUTPUT_TOKENS: 5, names.REASONING_TOKENS: 6},
        {names.INPUT_TOKENS: 10, names.OUTPUT_TOKENS: 5, names.INPUT_IMAGE_TOKENS: 11},
        {names.INPUT_TOKENS: -1, names.OUTPUT_TOKENS: 5},
        {names.INPUT_TOKENS: 2**63 - 1, names.OUTPUT_TOKENS: 5, names.CACHE_READ_TOKENS: 2**63 - 1},
    ],
)
def test_parts_that_do_not_fit_are_not_priced(wire: dict[str, Value]) -> None:
    row = row_of({**CHAT, **wire}, scope="opentelemetry.instrumentation.genai.openai")
    assert (row["usage_state"], row["unpriced_reason"]) == ("inconsistent", "inconsistent")
    assert {row[name] for name in (*INPUT_PARTS, *OUTPUT_PARTS)} == {None}


def test_zero_tokens_in_and_out_are_no_usage() -> None:
    row = row_of({**CHAT, names.INPUT_TOKENS: 0, names.OUTPUT_TOKENS: 0}, scope="elsewhere")
    assert vector(row) == dict.fromkeys(vector(row)) | {"usage_state": "missing"}


def test_state_that_the_emitter_gives_holds() -> None:
    wire: dict[str, Value] = {**CHAT, names.INPUT_TOKENS: 7, names.OUTPUT_TOKENS: 3, names.USAGE_STATE: "estimated"}
    assert row_of(wire)["usage_state"] == "estimated"


def test_embedding_has_no_output_to_miss() -> None:
    row = row_of({**CHAT, names.OPERATION: "embeddings", names.INPUT_TOKENS: 42}, scope="elsewhere")
    assert (row["output_tokens"], row["usage_state"]) == (0, "reported")


def test_parts_of_priced_rows_add_up() -> None:
    """What the parts say, money says too: cached input is cheaper, and no meter is charged twice."""
    plain = {**CHAT, names.INPUT_TOKENS: 1000, names.OUTPUT_TOKENS: 10}
    bodies = [
        request(span(plain, number=1), span({**plain, names.CACHE_READ_TOKENS: 400}, number=2)),
    ]
    first, second = price_rows(rows_of(*bodies)).to_pylist()
    assert (second["cost_input"], second["cost_output"]) == (first["cost_input"] * 6 / 10, first["cost_output"])
    assert 0 < second["cost_cache_read"] < first["cost_input"] * 4 / 10

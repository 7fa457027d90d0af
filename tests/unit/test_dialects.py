"""Recorded bodies of real emitters become the calls that the server billed, each once."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import pytest

from otlp_bodies import RECORDED, recorded_bodies, rows_of, samples
from spanledger_collector.dialects import DIALECTS, dialect_of
from spanledger_collector.duplicates import mark_duplicates
from spanledger_collector.inspect import not_counted_reason

Tokens: TypeAlias = tuple[int | None, ...]
"""input, output, cache read, cache write, reasoning."""
PARTS: Final = ("input", "output", "cached", "cache_creation", "reasoning")
_CHATS: Final = ("chat_async", "chat_simple", "raw_response", "tool_loop")
_STREAMS: Final = ("async_stream_ctx", "stream_async_usage", "stream_helper")
NEVER_SENT: Final[dict[str, frozenset[str]]] = {
    # It knows no parts at all.
    **dict.fromkeys(
        (f"openaiv2/oai_{name}.pb" for name in (*_CHATS, *_STREAMS, "embeddings")),
        frozenset({"cached", "cache_creation", "reasoning"}),
    ),
    "openlit/oai_embeddings.pb": frozenset({"cached", "cache_creation", "reasoning"}),
    # It knows no cache writes of OpenAI,
    **dict.fromkeys(
        (
            f"openllmetry/oai_{name}.pb"
            for name in (
                *_CHATS,
                *("responses", "responses_create_then_retrieve", "responses_raw", "responses_stream_helper"),
            )
        ),
        frozenset({"cache_creation"}),
    ),
    # nor, of streams and embeddings, reasoning,
    **dict.fromkeys(
        (f"openllmetry/oai_{name}.pb" for name in (*_STREAMS, "embeddings")), frozenset({"cache_creation", "reasoning"})
    ),
    # nor reasoning of Anthropic.
    **dict.fromkeys(
        (f"openllmetry/ant_{name}.pb" for name in ("async", "retry", "tool_loop")), frozenset({"reasoning"})
    ),
    # It sends reasoning with the Responses API only.
    **dict.fromkeys(
        (
            *(f"openlit/oai_{name}.pb" for name in (*_CHATS, *_STREAMS)),
            *(f"openlit/ant_{name}.pb" for name in ("async", "retry", "stream_helper_async", "tool_loop")),
        ),
        frozenset({"reasoning"}),
    ),
}
"""Parts that the emitter did not send: NULL, because the total may hold them or not."""
NO_USAGE: Final = frozenset(
    {
        *(
            f"{emitter}/oai_stream_{how}.pb"
            for emitter in ("otel", "openaiv2", "openinference", "openllmetry", "logfire")
            for how in ("no_usage", "with_break")
        ),
        "logfire/oai_speech.pb",
        "openllmetry/ant_beta_stream.pb",
        "openinference/oai_speech.pb",
        "openlit/oai_async_cancel.pb",
        "openlit/oai_speech.pb",
        "openlit/oai_images.pb",
    }
)
"""The emitter sent no tokens at all: OpenAI streams that were not asked for usage, and what it doesn't know."""
CUT_SHORT: Final = frozenset(
    f"{emitter}/ant_stream_{how}.pb"
    for emitter in ("otel", "native", "logfire")
    for how in ("abandon", "early_close", "mid_error")
)
"""The stream ended before it told its output: NULL, and what is known is an estimate."""
CANCELLED: Final = frozenset(f"{emitter}/oai_async_cancel.pb" for emitter in ("otel", "openinference", "logfire"))
"""A call that failed before any answer: a row, but no charge."""
SENT_NOTHING: Final = frozenset(
    {
        "openlit/ant_beta_stream.pb",
        "openlit/ant_parse.pb",
        "openlit/ant_stream_abandon.pb",
        "openlit/ant_stream_early_close.pb",
        "openlit/ant_stream_mid_error.pb",
        "openlit/oai_stream_with_break.pb",
    }
)
"""The emitter never ended its span."""
SENT_WRONG: Final[dict[str, Tokens]] = {
    "openinference/ant_stream_abandon.pb": (25, 1, 0, 0, 0),
    "openinference/ant_stream_early_close.pb": (4520, 1, 3000, 1500, 0),
    "openinference/ant_stream_mid_error.pb": (25, 1, 0, 0, 0),
    "openllmetry/ant_stream_helper_async.pb": (4520, 131, 3000, 1500, None),
    "openlit/oai_stream_no_usage.pb": (19, 25, None, None, None),
}
"""The emitter sent a number that nothing on the span shows to be wrong."""


def billed(sample: dict[str, Any]) -> list[dict[str, int]]:
    """Return the true tokens of each call, Anthropic's input with its cached tokens."""
    return [
        {**call, "input": call["input"] + call["cached"] + call["cache_creation"]}
        if call["provider"] == "anthropic"
        else call
        for call in sample["billable_calls"]
    ]


def expected(sample: dict[str, Any]) -> list[Tokens]:
    """Return the tokens that the rows should have."""
    file = sample["file"]
    if file in SENT_NOTHING:
        return []
    if file in NO_USAGE | CANCELLED:
        return [(None,) * len(PARTS)]
    if file in SENT_WRONG:
        return [SENT_WRONG[file]]
    unknown = {"output", "reasoning"} if file in CUT_SHORT else NEVER_SENT.get(file, frozenset())
    return [tuple(None if part in unknown else call[part] for part in PARTS) for call in billed(sample)]


def counted_rows(file: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = mark_duplicates(rows_of((RECORDED / file).read_bytes())).to_pylist()
    return [row for row in rows if not_counted_reason(row) is None]


def tokens(row: dict[str, Any]) -> Tokens:
    short, long = row["cache_write_5m_tokens"], row["cache_write_1h_tokens"]
    written = None if short is None else short + long
    return (row["input_tokens"], row["output_tokens"], row["cache_read_tokens"], written, row["reasoning_tokens"])


@pytest.mark.parametrize("sample", samples(), ids=lambda s: str(s["file"]))
def test_counted_rows_have_the_tokens_that_were_billed(sample: dict[str, Any]) -> None:
    assert [tokens(row) for row in counted_rows(sample["file"])] == expected(sample)


def test_every_recording_is_looked_at() -> None:
    assert {sample["file"] for sample in samples()} == set(recorded_bodies())
    assert NEVER_SENT.keys() | NO_USAGE | CUT_SHORT | CANCELLED | SENT_WRONG.keys() | SENT_NOTHING <= set(
        recorded_bodies()
    )


@pytest.mark.parametrize("file", sorted(NO_USAGE))
def test_call_without_usage_is_missing_and_unpriced(file: str) -> None:
    (row,) = counted_rows(file)
    assert (row["usage_state"], row["unpriced_reason"]) == ("missing", "no_usage")


@pytest.mark.parametrize("file", sorted(CANCELLED))
def test_cancelled_call_is_unpriced_by_its_error(file: str) -> None:
    (row,) = counted_rows(file)
    assert (row["usage_state"], row["unpriced_reason"], row["status"]) == ("missing", "error", "error")


@pytest.mark.parametrize("file", sorted(CUT_SHORT))
def test_stream_cut_short_is_an_estimate(file: str) -> None:
    (row,) = counted_rows(file)
    assert (row["usage_state"], row["unpriced_reason"]) == ("estimated", None)


@pytest.mark.parametrize(
    ("file", "reasons"),
    [
        ("native/ant_count_tokens.pb", ["free"]),
        ("native/ant_batches.pb", ["not_inference"]),
        ("logfire/oai_stream_helper.pb", ["duplicate", None]),
        ("logfire_with_native/ant_stream_create.pb", ["duplicate", "duplicate", None]),
        ("native/ant_tool_loop.pb", [None, None, "not_inference", "not_inference"]),
        ("otel/oai_responses_create_then_retrieve.pb", [None, "retrieve"]),
        ("openinference/oai_responses_create_then_retrieve.pb", [None, "retrieve"]),
        ("openllmetry/oai_responses_create_then_retrieve.pb", [None, "retrieve"]),
        ("otel_with_native/ant_cached.pb", [None, "duplicate"]),
        ("otel_with_native/ant_stream_create.pb", [None, "duplicate"]),
        ("openllmetry_with_native/ant_stream_create.pb", [None, "duplicate"]),
    ],
)
def test_what_is_not_a_charge_says_why(file: str, reasons: list[str | None]) -> None:
    rows = mark_duplicates(rows_of((RECORDED / file).read_bytes())).to_pylist()
    assert [not_counted_reason(row) for row in rows] == reasons


@pytest.mark.parametrize(
    ("scope", "dialect"),
    [
        ("spanledger", "spanledger"),
        ("com.anthropic.sdk.python", "anthropic"),
        ("opentelemetry.instrumentation.genai.openai", "otel_genai"),
        ("opentelemetry.instrumentation.openai_v2", "otel_openai_v2"),
        ("opentelemetry.instrumentation.openai.v1", "openllmetry"),
        ("opentelemetry.instrumentation.anthropic", "openllmetry"),
        ("openinference.instrumentation.openai", "openinference"),
        ("openlit.instrumentation.openai", "openlit"),
        ("logfire.openai", "logfire"),
        ("opentelemetry.instrumentation.httpx", None),
        ("", None),
    ],
)
def test_scope_names_its_dialect(scope: str, dialect: str | None) -> None:
    found = dialect_of(scope)
    assert (found.name if found else None) == dialect


def test_dialects_have_names_of_their_own() -> None:
    names = [dialect.name for dialect in DIALECTS]
    assert len(names) == len(set(names))

"""What a request asks for, what models are known to take, and whether a change of model pays."""

from __future__ import annotations

import time
from typing import Any

import pytest
from genai_prices import data as peer

from spanledger.guard.breakeven import why_not_now
from spanledger.guard.capabilities import MODELS, known, why_not
from spanledger.guard.wants import Wants, cached_share, read_wants

USER: dict[str, Any] = {"role": "user", "content": "Where is it?"}
PLAIN = Wants({}, 1, None, tools=False, tool_results=False, code=False, is_chat=True, marks_cache=False)
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def _body(**more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [USER], **more}


@pytest.mark.parametrize(
    ("body", "wants"),
    [
        (_body(), PLAIN),
        (_body(user="ann", metadata={"a": "b"}, max_completion_tokens=100), PLAIN._replace(most=100)),
        (
            _body(temperature=0.2, top_p=1, n=1, seed=7, stop=None),
            PLAIN._replace(features={"temperature": "temperature", "top_p=1": "top_p", "n=1": "n", "seed": "seed"}),
        ),
        (
            _body(tools=[{"type": "function", "function": {"name": "f", "strict": True}}], parallel_tool_calls=False),
            PLAIN._replace(
                features={"tools": "tools", "json_schema": "tools", "parallel_tool_calls": "parallel_tool_calls"},
                tools=True,
            ),
        ),
        (
            _body(response_format={"type": "json_schema", "json_schema": {}}, reasoning_effort="minimal"),
            PLAIN._replace(features={"json_schema": "response_format", "effort minimal": "reasoning_effort"}),
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "```python\n1\n```"}, PICTURE]}]},
            PLAIN._replace(features={"images": "messages"}, code=True),
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
                    {"role": "tool", "tool_call_id": "1", "content": "there"},
                ]
            },
            PLAIN._replace(features={"tools": "messages"}, turn=2, tool_results=True),
        ),
        (
            {
                "input": [
                    USER,
                    {"type": "reasoning", "id": "rs_1", "summary": []},
                    {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "1", "output": "there"},
                ],
                "text": {"format": {"type": "json_schema"}, "verbosity": "low"},
                "reasoning": {"effort": "low", "summary": "auto"},
                "max_output_tokens": 50,
            },
            Wants(
                {
                    "json_schema": "text",
                    "verbosity": "text",
                    "effort low": "reasoning",
                    "reasoning summary": "reasoning",
                    "thinking of earlier turns": "messages",
                    "tools": "messages",
                },
                2,
                50,
                tools=False,
                tool_results=True,
                code=False,
                is_chat=False,
                marks_cache=False,
            ),
        ),
        (
            {"input": "And then?", "previous_response_id": "resp_1", "tools": [{"type": "web_search"}]},
            PLAIN._replace(
                features={"previous_response_id": "previous_response_id", "tool web_search": "tools"},
                turn=None,
                tools=True,
                is_chat=False,
            ),
        ),
        (
            {
                "system": [{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}],
                "messages": [USER, {"role": "assistant", "content": "It is in"}],
                "max_tokens": 9,
                "thinking": {"type": "adaptive"},
                "output_config": {"effort": "high"},
                "a_new_parameter": 1,
            },
            PLAIN._replace(
                features={
                    "max_tokens": "max_tokens",
                    "thinking adaptive": "thinking",
                    "effort high": "output_config",
                    "a_new_parameter": "a_new_parameter",
                    "prefill": "messages",
                    "cache_control": "messages",
                },
                turn=2,
                most=9,
                marks_cache=True,
            ),
        ),
    ],
)
def test_a_request_tells_what_it_asks_for(body: dict[str, Any], wants: Wants) -> None:
    assert read_wants(body) == wants


@pytest.mark.parametrize(
    ("provider", "model"), [(provider, model) for provider in MODELS for model in MODELS[provider]]
)
def test_context_windows_are_those_of_the_price_books_source(provider: str, model: str) -> None:
    (theirs,) = (one for one in peer.providers if one.id == provider.replace("gcp.gemini", "google"))
    (known_there,) = (one for one in theirs.models if one.is_match(model))

    assert known_there.context_window == MODELS[provider][model].context or (
        known_there.context_window is None and model == "gemini-2.5-pro"  # has prices by size there instead
    )
    assert MODELS[provider][model].max_output < MODELS[provider][model].context


def test_a_snapshot_is_the_model_that_it_is_one_of_unless_it_is_another() -> None:
    assert known("openai", "gpt-4o-2024-11-20") is MODELS["openai"]["gpt-4o"]
    assert known("openai", "gpt-4o-2024-05-13") is MODELS["openai"]["gpt-4o-2024-05-13"]
    assert known("anthropic", "claude-haiku-4-5-20251001") is MODELS["anthropic"]["claude-haiku-4-5"]
    assert known("openai", "gpt-4o-audio-preview") is None
    assert known("groq", "gpt-4o") is None


@pytest.mark.parametrize(
    ("to", "body", "why"),
    [
        ("gpt-5-mini", _body(), None),
        ("gpt-5-mini", _body(temperature=1, n=1), None),
        ("gpt-5-mini", _body(temperature=0.2, stop=["."]), "gpt-5-mini is not known to take stop, temperature"),
        ("gpt-5-mini", _body(max_tokens=100), "gpt-5-mini is not known to take max_tokens"),
        ("gpt-5-mini", _body(reasoning_effort="xhigh"), "gpt-5-mini is not known to take effort xhigh"),
        ("gpt-5.4-mini", _body(reasoning_effort="xhigh"), None),
        (
            "gpt-3.5-turbo",
            _body(response_format={"type": "json_schema"}),
            "gpt-3.5-turbo is not known to take json_schema",
        ),
        ("o3-mini", {"messages": [{"role": "user", "content": [PICTURE]}]}, "o3-mini is not known to take images"),
        ("gpt-6-luna", _body(tools=[{"type": "function"}]), "gpt-6-luna is not known to take tools"),
        ("gpt-6-luna", {"input": "Where?", "tools": [{"type": "function"}]}, None),
        (
            "gpt-4o-mini",
            _body(max_completion_tokens=20_000),
            "gpt-4o-mini writes at most 16,384 tokens, and 20,000 may be written",
        ),
        ("gpt-9", _body(), "nothing is known of what gpt-9 takes (say it: supports)"),
    ],
)
def test_a_model_stands_in_only_for_what_it_is_known_to_take(to: str, body: dict[str, Any], why: str | None) -> None:
    assert why_not("openai", to, read_wants(body), 100) == why


def test_what_is_dropped_or_said_in_the_policy_counts() -> None:
    wants = read_wants(_body(temperature=0.2, seed=7))

    assert why_not("openai", "gpt-5-mini", wants, 100, ("temperature",)) == "gpt-5-mini is not known to take seed"
    assert why_not("openai", "gpt-5-mini", wants, 100, ("temperature",), ("seed",)) is None
    assert why_not("groq", "llama-9", read_wants(_body()), 10**9, (), ("text",)) is None


def test_a_prompt_that_is_too_long_stays_where_it_is() -> None:
    why = "gpt-4o-mini takes at most 128,000 tokens, and this is 128,100"
    assert why_not("openai", "gpt-4o-mini", PLAIN._replace(most=100), 128_000) == why
    assert why_not("openai", "gpt-4o-mini", PLAIN._replace(most=100), 127_900) is None


def test_the_share_that_may_be_cached_ends_where_the_call_before_did() -> None:
    answer = {"role": "assistant", "content": "In Paris."}
    body = {"messages": [{"role": "user", "content": "x" * 60}, answer, {"role": "user", "content": "y" * 31}]}

    assert cached_share(body) == (60, 100)
    assert cached_share({"messages": [USER]}) == (0, 12)


LATER = PLAIN._replace(turn=3)


@pytest.mark.parametrize(
    ("wants", "tokens", "why"),
    [
        # 90,000 cached at $0.125, 10,000 at $1.25, 500 out at $10: $0.02875; gpt-5-mini: 100,000 at $0.25, 500 at $2.
        (LATER, (100_000, 90_000, 500), None),
        # 99,000 cached at $0.125 and 1,000 at $1.25, 100 out: $0.014625; gpt-5-mini: $0.0252.
        (
            LATER,
            (100_000, 99_000, 100),
            "in the middle of a session: with 99,000 tokens cached, gpt-5 costs $0.014625,"
            " and gpt-5-mini would cost $0.0252",
        ),
        (LATER, (2_000, 1_000, 100), None),
        (PLAIN, (100_000, 99_000, 100), None),
        (PLAIN._replace(turn=None), (100, 0, 100), "the provider keeps the conversation, and its cache"),
    ],
)
def test_a_change_in_the_middle_of_a_session_has_to_pay_at_once(
    wants: Wants, tokens: tuple[int, int, int], why: str | None
) -> None:
    assert why_not_now("openai", "gpt-5", "gpt-5-mini", wants, tokens, time.time_ns()) == why


def test_of_claude_only_what_is_marked_is_cached_and_the_other_model_writes_it_anew() -> None:
    tokens = (100_000, 99_000, 100)
    asked, to = "claude-sonnet-4-5", "claude-haiku-4-5"

    assert why_not_now("anthropic", asked, to, LATER, tokens, time.time_ns()) is None
    # 99,000 read at $0.30, 1,000 at $3, 100 out at $15: $0.0342; anew 99,000 written at $1.25, 1,000 at $1, 100 at $5.
    assert why_not_now("anthropic", asked, to, LATER._replace(marks_cache=True), tokens, time.time_ns()) == (
        "in the middle of a session: with 99,000 tokens cached, claude-sonnet-4-5 costs $0.0342,"
        " and claude-haiku-4-5 would cost $0.12525"
    )


def test_without_a_price_nobody_changes_in_the_middle() -> None:
    why = "in the middle of a session, and there is no price to tell whether it pays"
    assert why_not_now("openai", "gpt-5", "nobody-knows", LATER, (9_000, 8_000, 10), time.time_ns()) == why

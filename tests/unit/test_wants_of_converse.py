"""What a request of Amazon Bedrock asks for, and what Claude is known to take there."""

from __future__ import annotations

from typing import Any

import pytest
from genai_prices import data as peer

from spanledger.guard.capabilities import MODELS, known, why_not
from spanledger.guard.wants import Wants, cached_share, read_wants

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PLAIN = Wants({}, 1, None, tools=False, tool_results=False, code=False, is_chat=False, marks_cache=False)
USER: dict[str, Any] = {"role": "user", "content": [{"text": "Where is it?"}]}
MARK: dict[str, Any] = {"cachePoint": {"type": "default"}}


def _body(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"modelId": HAIKU, "messages": list(messages or (USER,)), **more}


def _block(**block: Any) -> dict[str, Any]:
    return _body({"role": "user", "content": [block]})


def _told(*features: str) -> Wants:
    return PLAIN._replace(features=dict.fromkeys(features, "messages"))


@pytest.mark.parametrize(
    ("body", "wants"),
    [
        (_body(), PLAIN),
        (
            _body(
                system=[{"text": "Be short."}],
                inferenceConfig={"maxTokens": 50},
                requestMetadata={"a": "b"},
                serviceTier={"type": "default"},
                performanceConfig={"latency": "standard"},
            ),
            PLAIN._replace(most=50),
        ),
        (
            _body(inferenceConfig={"temperature": 0.2, "topP": 0.9, "stopSequences": ["."]}),
            PLAIN._replace(
                features={
                    "temperature": "temperature",
                    "top_p": "top_p",
                    "temperature and top_p": "top_p",
                    "stop_sequences": "stop_sequences",
                }
            ),
        ),
        (
            _body(
                inferenceConfig={"temperature": 1},
                additionalModelRequestFields={"top_k": 3, "thinking": {"type": "enabled", "budget_tokens": 2000}},
                serviceTier={"type": "flex"},
                performanceConfig={"latency": "optimized"},
                guardrailConfig={"guardrailIdentifier": "g"},
                aNewParameter=1,
            ),
            PLAIN._replace(
                features={
                    "temperature=1": "temperature",
                    "top_k": "top_k",
                    "thinking enabled": "thinking",
                    "service_tier flex": "service_tier",
                    "performance_config optimized": "performance_config",
                    "guardrail_config": "guardrail_config",
                    "a_new_parameter": "a_new_parameter",
                }
            ),
        ),
        (
            _body(outputConfig={"textFormat": {"type": "json_schema", "structure": {}}, "effort": "low"}),
            PLAIN._replace(features={"json_schema": "output_config", "effort low": "output_config"}),
        ),
        (
            _body(
                USER,
                {"role": "assistant", "content": [{"toolUse": {"toolUseId": "1", "name": "f", "input": {}}}]},
                {
                    "role": "user",
                    "content": [{"toolResult": {"toolUseId": "1", "content": [{"image": {}}, {"json": {}}]}}],
                },
                toolConfig={
                    "tools": [{"toolSpec": {"name": "f", "strict": True}}, {"systemTool": {"name": "nova_grounding"}}],
                    "toolChoice": {"auto": {}},
                },
            ),
            PLAIN._replace(
                features={
                    "tools": "tools",
                    "json_schema": "tools",
                    "tool nova_grounding": "tools",
                    "images": "messages",
                },
                turn=2,
                tools=True,
                tool_results=True,
            ),
        ),
        (
            _body(
                {"role": "user", "content": [{"text": "```\n1\n```"}, MARK]},
                {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "Hm."}}}]},
                system=[{"text": "Be short."}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
            ),
            _told("thinking of earlier turns", "prefill", "cache_control", "cache_control 1h")._replace(
                turn=2, code=True, marks_cache=True
            ),
        ),
        (
            _body(toolConfig={"tools": [{"toolSpec": {"name": "f"}}, MARK]}),
            PLAIN._replace(features={"tools": "tools", "cache_control": "messages"}, tools=True, marks_cache=True),
        ),
        (_block(image={"format": "png", "source": {"bytes": b"x"}}), _told("images")),
        (_block(video={"source": {"s3Location": {"uri": "s3://a/b"}}}), _told("video", "content s3_location")),
        (_block(document={"name": "a", "citations": {"enabled": True}}), _told("files", "content citations")),
        (_block(audio={"format": "mp3"}), _told("audio")),
        (_block(guardContent={"text": {"text": "x"}}), _told("content guard_content")),
        (_body(USER, {"role": "system", "content": [{"text": "Now be long."}]}), _told("role system")),
        (
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 9,
                "messages": [USER],
                "guardrailIdentifier": "g",
            },
            PLAIN._replace(
                features={"max_tokens": "max_tokens", "guardrailIdentifier": "guardrailIdentifier"},
                most=9,
                is_chat=True,
            ),
        ),
    ],
)
def test_a_request_tells_what_it_asks_for(body: dict[str, Any], wants: Wants) -> None:
    assert read_wants(body) == wants


@pytest.mark.parametrize(
    ("model", "same"),
    [
        ("anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5"),
        ("us-gov.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5"),
        ("global.anthropic.claude-sonnet-4-6", "claude-sonnet-4-6"),
        ("anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("anthropic.claude-haiku-4-5-20251001-v1:0:200k", None),
        ("anthropic.claude-3-haiku-20240307-v1:0", None),
        ("claude-haiku-4-5", None),
        ("amazon.nova-lite-v1:0", None),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", None),
    ],
)
def test_an_id_on_bedrock_is_that_of_anthropics_model(model: str, same: str | None) -> None:
    found = known("aws.bedrock", model)

    there = MODELS["anthropic"][same] if same is not None else None
    assert (found.context, found.max_output) == (there.context, there.max_output) if found and there else not found


@pytest.mark.parametrize("name", MODELS["anthropic"])
def test_context_windows_on_bedrock_are_those_of_the_price_books_source(name: str) -> None:
    (theirs,) = (one for one in peer.providers if one.id == "aws")
    suffix = {"claude-opus-4-1": "-20250805-v1:0", "claude-sonnet-4-5": "-20250929-v1:0"}
    model = f"us.anthropic.{name}{suffix.get(name, '-20251001-v1:0' if name.endswith('haiku-4-5') else '')}"
    found = known("aws.bedrock", model)

    assert found is not None
    assert [one.context_window for one in theirs.models if one.is_match(model)] == [found.context]


@pytest.mark.parametrize(
    ("to", "body", "why"),
    [
        (HAIKU, _body(inferenceConfig={"temperature": 0.2}), None),
        (HAIKU, _body(outputConfig={"textFormat": {"type": "json_schema"}}), None),
        (
            "us.anthropic.claude-sonnet-5",
            _body(outputConfig={"textFormat": {"type": "json_schema"}}),
            "us.anthropic.claude-sonnet-5 is not known to take json_schema",
        ),
        (
            HAIKU,
            _body(additionalModelRequestFields={"thinking": {"type": "adaptive"}}),
            f"{HAIKU} is not known to take thinking adaptive",
        ),
        (
            "us.anthropic.claude-opus-4-7-v1",
            _body(additionalModelRequestFields={"thinking": {"type": "disabled"}}),
            "us.anthropic.claude-opus-4-7-v1 is not known to take thinking disabled",
        ),
        (
            HAIKU,
            _body(inferenceConfig={"temperature": 0.2, "topP": 0.9}),
            f"{HAIKU} is not known to take temperature and top_p",
        ),
        ("amazon.nova-lite-v1:0", _body(), "nothing is known of what amazon.nova-lite-v1:0 takes (say it: supports)"),
    ],
)
def test_claude_stands_in_on_bedrock_only_for_what_amazon_says_that_it_takes(
    to: str, body: dict[str, Any], why: str | None
) -> None:
    assert why_not("aws.bedrock", to, read_wants(body), 100) == why


def test_the_share_that_may_be_cached_ends_where_the_call_before_did() -> None:
    def said(role: str, text: str) -> dict[str, Any]:
        return {"role": role, "content": [{"text": text}]}

    body = _body(said("user", "x" * 60), said("assistant", "In Paris."), said("user", "y" * 31))

    assert cached_share(body) == (60, 100)

"""What a request of Gemini's asks for, in the spellings that its SDK mixes, and which Gemini models take it."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai.types import ServiceTier, ThinkingLevel

from spanledger.guard.capabilities import known, why_not, why_unlike
from spanledger.guard.wants import Wants, cached_share, read_wants
from spanledger.sdks.google_sdk import body_instead

USER: dict[str, Any] = {"role": "user", "parts": [{"text": "Where is it?"}]}
MODEL: dict[str, Any] = {"role": "model", "parts": [{"text": "In Paris."}]}
CALLED: dict[str, Any] = {
    "role": "model",
    "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"}],
}
RESULT: dict[str, Any] = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"r": 1}}}]}
PLAIN = Wants({}, 1, None, tools=False, tool_results=False, code=False, is_chat=False, marks_cache=False)
THOUGHTS = "thinking of earlier turns"
ANY_TOOL = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}


def _body(*contents: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"_url": {"model": "models/x"}, "contents": list(contents or (USER,)), **more}


def _configured(**config: Any) -> dict[str, Any]:
    return _body(generationConfig=config)


def _media(**part: Any) -> dict[str, Any]:
    return _body({"role": "user", "parts": [part]})


@pytest.mark.parametrize(
    ("body", "wants"),
    [
        (_body(), PLAIN),
        (_body(systemInstruction=USER, safetySettings=[{}], labels={"a": "b"}, store=True), PLAIN),
        (_configured(maxOutputTokens=50, responseMimeType="text/plain"), PLAIN._replace(most=50)),
        (
            _configured(temperature=0.2, topP=0.9, topK=3, candidateCount=2, stopSequences=["."], seed=1),
            PLAIN._replace(
                features={
                    "temperature": "temperature",
                    "top_p": "top_p",
                    "temperature and top_p": "top_p",
                    "top_k": "top_k",
                    "n": "candidate_count",
                    "stop_sequences": "stop_sequences",
                    "seed": "seed",
                }
            ),
        ),
        (
            _configured(temperature=1.0, candidateCount=1, responseLogprobs=True, logprobs=2, presencePenalty=1),
            PLAIN._replace(
                features={
                    "temperature=1": "temperature",
                    "n=1": "candidate_count",
                    "logprobs": "response_logprobs",
                    "top_logprobs": "logprobs",
                    "presence_penalty": "presence_penalty",
                }
            ),
        ),
        (
            _configured(responseMimeType="application/json"),
            PLAIN._replace(features={"json_object": "response_mime_type"}),
        ),
        (
            _configured(responseMimeType="application/json", responseSchema={"type": "OBJECT"}),
            PLAIN._replace(features={"json_schema": "response_schema"}),
        ),
        (
            _configured(responseModalities=["TEXT"], thinkingConfig={"include_thoughts": True, "thinking_budget": 600}),
            PLAIN._replace(features={"thinking summary": "thinking_config", "thinking budget": "thinking_config"}),
        ),
        (
            _configured(responseModalities=["AUDIO"], thinkingConfig={"thinkingLevel": "LOW"}, speechConfig={"a": 1}),
            PLAIN._replace(
                features={
                    "response_modalities": "response_modalities",
                    "thinking low": "thinking_config",
                    "speech_config": "speech_config",
                }
            ),
        ),
        *(
            (
                _configured(thinkingConfig={"thinking_budget": budget}),
                PLAIN._replace(features={told: "thinking_config"}),
            )
            for budget, told in (
                (0, "thinking disabled"),
                (-1, "thinking dynamic"),
                (128, "thinking budget 128"),
                (32_768, "thinking budget 32768"),
            )
        ),
        (
            _body(
                USER,
                CALLED,
                RESULT,
                tools=[{"functionDeclarations": [{"name": "f"}]}, {"googleSearch": {}}],
                toolConfig={"functionCallingConfig": {"mode": "ANY"}, "retrievalConfig": {"languageCode": "de"}},
            ),
            PLAIN._replace(
                features={
                    "tools": "tools",
                    "tool google_search": "tools",
                    "retrieval_config": "retrieval_config",
                    THOUGHTS: "contents",
                },
                turn=2,
                tools=True,
                tool_results=True,
            ),
        ),
        (
            _body(USER, CALLED, MODEL, generationConfig={"responseSchema": {"type": "OBJECT"}}),
            PLAIN._replace(
                features={
                    "json_schema": "response_schema",
                    "tools": "contents",
                    THOUGHTS: "contents",
                    "prefill": "contents",
                },
                turn=2,
            ),
        ),
        *(
            (_media(inlineData={"data": "AAAA", "mime_type": kind}), PLAIN._replace(features={told: "contents"}))
            for kind, told in (
                ("image/png", "images"),
                ("audio/wav", "audio"),
                ("video/mp4", "video"),
                ("application/pdf", "files"),
            )
        ),
        (_media(file_data={"file_uri": "gs://a/b"}), PLAIN._replace(features={"files": "contents"})),
        (
            _body({"role": "user", "parts": [{"text": "```\n1\n```", "video_metadata": {"fps": 1}}]}),
            PLAIN._replace(features={"content video_metadata": "contents"}, code=True),
        ),
        (
            _body(cachedContent="cachedContents/1", serviceTier="FLEX", aNewParameter=1),
            PLAIN._replace(
                features={
                    "cached_content": "cached_content",
                    "service_tier flex": "service_tier",
                    "a_new_parameter": "a_new_parameter",
                }
            ),
        ),
    ],
)
def test_a_request_tells_what_it_asks_for(body: dict[str, Any], wants: Wants) -> None:
    assert read_wants(body) == wants


@pytest.mark.parametrize(
    ("to", "body", "why"),
    [
        ("gemini-2.5-flash-lite", _configured(temperature=0.2, topP=0.9, candidateCount=2), None),
        ("gemini-2.5-flash-lite", _configured(topK=3), "gemini-2.5-flash-lite is not known to take top_k"),
        ("gemini-3.8-flash", _configured(temperature=1), None),
        ("gemini-3.8-flash", _configured(temperature=0.2), "gemini-3.8-flash is not known to take temperature"),
        ("gemini-3.8-flash", _configured(thinkingConfig={"thinking_level": ThinkingLevel.HIGH}), None),
        ("gemini-2.5-flash", _body(serviceTier=ServiceTier.STANDARD, toolConfig=ANY_TOOL), None),
        (
            "gemini-2.5-flash",
            _body(toolConfig={"functionCallingConfig": {"streamFunctionCallArguments": True}}),
            "gemini-2.5-flash is not known to take stream_function_call_arguments",
        ),
        (
            "gemini-3.8-flash",
            _configured(thinkingConfig={"thinking_level": "MINIMAL"}),
            "gemini-3.8-flash is not known to take thinking minimal",
        ),
        (
            "gemini-3.5-flash",
            _configured(thinkingConfig={"thinking_budget": 0}),
            "gemini-3.5-flash is not known to take thinking disabled",
        ),
        (
            "gemini-2.5-flash",
            _body(tools=[{"functionDeclarations": []}], generationConfig={"responseSchema": {"type": "OBJECT"}}),
            "gemini-2.5-flash is not known to take tools and json",
        ),
        (
            "gemini-2.5-flash",
            _body(cachedContent="cachedContents/1"),
            "gemini-2.5-flash is not known to take cached_content",
        ),
        (
            "gemini-2.5-flash",
            _configured(maxOutputTokens=65_536),
            "gemini-2.5-flash writes at most 65,535 tokens, and 65,536 may be written",
        ),
        ("gemini-9", _body(), "nothing is known of what gemini-9 takes (say it: supports)"),
    ],
)
@pytest.mark.parametrize("provider", ["gcp.gemini", "gcp.vertex_ai"])
def test_a_gemini_model_stands_in_only_for_what_it_is_known_to_take(
    provider: str, to: str, body: dict[str, Any], why: str | None
) -> None:
    assert why_not(provider, to, read_wants(body), 100) == why


@pytest.mark.parametrize("spelt", ["topK", "top_k"])
@pytest.mark.parametrize("written", ["topK", "top_k"])
def test_a_parameter_is_dropped_by_either_spelling(spelt: str, written: str) -> None:
    body = _configured(**{written: 3})

    assert why_not("gcp.gemini", "gemini-2.5-flash", read_wants(body), 100, (spelt,)) is None
    assert body_instead(body, (spelt,)) == _configured()


@pytest.mark.parametrize(
    ("drop", "left"),
    [
        (("tools",), {"contents": []}),
        (("function_calling_config",), {"contents": [], "tools": [{"functionDeclarations": []}], "toolConfig": {}}),
    ],
)
def test_how_tools_are_used_is_dropped_by_itself_or_with_the_tools(drop: tuple[str, ...], left: dict[str, Any]) -> None:
    config = {"functionCallingConfig": {"mode": "ANY"}}
    body = {"contents": [], "tools": [{"functionDeclarations": []}], "toolConfig": config}

    assert body_instead(body, drop) == left


@pytest.mark.parametrize(
    ("asked", "to", "why"),
    [
        ("gemini-2.5-pro", "gemini-2.5-flash", None),
        ("gemini-3-pro-image", "gemini-2.5-flash-image", None),
        (
            "gemini-2.5-flash-image",
            "gemini-2.5-flash-lite",
            "gemini-2.5-flash-image and gemini-2.5-flash-lite don't make the same: text, images or speech",
        ),
        (
            "gemini-2.5-pro-preview-tts",
            "gemini-2.5-flash",
            "gemini-2.5-pro-preview-tts and gemini-2.5-flash don't make the same: text, images or speech",
        ),
        ("dall-e-3", "gpt-image-1-mini", None),
    ],
)
def test_a_model_that_makes_pictures_or_speech_is_not_one_that_writes(asked: str, to: str, why: str | None) -> None:
    assert why_unlike(asked, to) == why


def test_a_preview_is_not_taken_to_be_the_model_that_came_of_it() -> None:
    assert known("gcp.gemini", "gemini-2.5-flash-preview-09-2025") is None


def test_the_share_that_may_be_cached_ends_where_the_call_before_did() -> None:
    def said(role: str, text: str) -> dict[str, Any]:
        return {"role": role, "parts": [{"text": text}]}

    body = _body(said("user", "x" * 60), said("model", "In Paris."), said("user", "y" * 31))

    assert cached_share(body) == (60, 100)

"""Which requests of LiteLLM's own HTTP handlers can ask for another model, told by their address and headers."""

from __future__ import annotations

from typing import Any

import pytest

from spanledger.sdks.google_sdk import with_model
from spanledger.sdks.litellm_wires import read_wire

GEMINI = "https://generativelanguage.googleapis.com/v1beta"
VERTEX = "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1"
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
CONTENTS: dict[str, Any] = {"contents": []}
MESSAGES: dict[str, Any] = {"model": "m", "messages": []}
SIGNED = "LiteLLM has signed it before it is seen here"


@pytest.mark.parametrize(
    ("url", "body", "fixed"),
    [
        ("https://api.anthropic.com/v1/messages", MESSAGES, None),
        ("https://api.groq.com/openai/v1/chat/completions", MESSAGES, None),
        (f"{GEMINI}/models/gemini-2.5-flash:generateContent?key=a:b", CONTENTS, None),
        (f"{VERTEX}/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse", CONTENTS, None),
        (
            f"{VERTEX}/endpoints/1:generateContent",
            CONTENTS,
            "/v1/projects/p/locations/europe-west1/endpoints/1 is not the plain name of one of Google's models",
        ),
        (
            f"{GEMINI}/tunedModels/hotels:generateContent",
            CONTENTS,
            "/v1beta/tunedModels/hotels is not the plain name of one of Google's models",
        ),
        (
            f"{GEMINI}/models/gemini-embedding-001:batchEmbedContents",
            {"requests": []},
            "another model can't stand in for batchEmbedContents",
        ),
        (f"{BEDROCK}/anthropic.claude-opus-4-6-v1/converse", {"messages": []}, SIGNED),
        (f"{GEMINI}/models/gemini-2.5-flash:generateContent", {}, "its body is not read, or a form"),
    ],
)
def test_a_request_tells_whether_it_can_ask_for_another_model(
    url: str, body: dict[str, Any], fixed: str | None
) -> None:
    wire = read_wire({"url": url}, body)

    assert wire is not None
    assert wire.fixed == fixed


def test_a_form_is_sent_as_the_form_that_it_is() -> None:
    form = {"model": "m", "language": "fr"}
    wire = read_wire({"url": "https://a.test/v1/audio/transcriptions", "data": form, "files": {}}, form)

    assert wire is not None
    assert (wire.may_ask, wire.fixed) == (False, "its body is not read, or a form")


def test_what_a_signature_covers_can_not_ask_for_another_model() -> None:
    headers = {"Authorization": "AWS4-HMAC-SHA256 ...", "X-Amz-Date": "20261129T000000Z"}
    wire = read_wire({"url": "https://a.test/v1/chat/completions", "headers": headers}, MESSAGES)

    assert wire is not None
    assert wire.fixed == SIGNED


@pytest.mark.parametrize(
    ("url", "instead"),
    [
        ("models/a:generateContent", "models/b:generateContent"),
        ("models/a:streamGenerateContent?alt=sse", "models/b:streamGenerateContent?alt=sse"),
        (
            "http://127.0.0.1:1/v1beta/models/a:generateContent?key=c:d",
            "http://127.0.0.1:1/v1beta/models/b:generateContent?key=c:d",
        ),
    ],
)
def test_another_model_is_named_in_the_same_place(url: str, instead: str) -> None:
    assert with_model(url, "b") == instead

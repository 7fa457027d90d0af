"""Captured content: nothing by default; where it is asked for, what was said and heard, redacted and bounded."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import boto3
import httpx2
import openai
import pytest
from google.genai import Client, types

import spanledger
from spanledger import faults, names, redaction
from spanledger_cli.demo.provider import LocalProvider
from spanledger_collector.rows import convert
from tracing import MESSAGES, Traced, switched_on

VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
PROMPT = MESSAGES[0]["content"]
ASKED = [{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}]
PICTURE = "data:image/png;base64,iVBORw0KGgo="

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*unclosed <socket:ResourceWarning", "ignore:.*<socket:pytest.PytestUnraisableExceptionWarning"
)
"""botocore leaves the socket of a stream."""


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    monkeypatch.setenv(VARIABLE, "SPAN_ONLY")
    monkeypatch.setattr(redaction, "redact", None)
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


def _found(traced: Traced) -> dict[str, Any]:
    """What the one span has of content, parsed, under short names."""
    known = traced.span()["attributes"]
    return {name.removeprefix("gen_ai."): json.loads(known[name]) for name in sorted(names.CONTENT) if name in known}


def _answering(body: Any) -> Callable[[httpx2.Request], httpx2.Response]:
    """Answer with JSON, or with the events of a stream."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if not isinstance(body, list):
            return httpx2.Response(200, json=body)
        events = (f"event: {event.get('type', '')}\ndata: {json.dumps(event)}\n\n".encode() for event in body)
        return httpx2.Response(200, content=events, headers={"content-type": "text/event-stream"})

    return answer


def _openai(body: Any) -> openai.OpenAI:
    transport = httpx2.MockTransport(_answering(body))
    return openai.OpenAI(api_key="none", http_client=httpx2.Client(transport=transport))


def _anthropic(body: Any) -> anthropic.Anthropic:
    transport = httpx2.MockTransport(_answering(body))
    return anthropic.Anthropic(api_key="none", http_client=httpx2.Client(transport=transport))


def _completion(**message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16},
    }


def _chunk(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }


@pytest.mark.parametrize("word", [None, "", "no_content", "NO_CONTENT", "false", "event_only", "everything"])
def test_unless_asked_for_no_word_of_a_call_leaves(
    word: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if word is not None:
        monkeypatch.setenv(VARIABLE, word)
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        with _openai(_completion(content="Hotel Lutetia.")) as client:
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        assert _found(traced) == {}
        sent = b"".join(received.body.SerializeToString() for received in traced.sink.received)
    assert b"hotel" not in sent.lower()


@pytest.mark.parametrize("word", ["span_only", "SPAN_AND_EVENT", "true", "1"])
def test_the_words_that_ask_for_it(word: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, word)
    with switched_on(monkeypatch, tmp_path) as traced:
        with _openai(_completion(content="Hotel Lutetia.")) as client:
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        assert _found(traced)["input.messages"] == ASKED


def test_a_chat_with_tools_and_media(captured: Traced) -> None:
    asked: Any = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": PICTURE}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    function = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
    call = {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{broken"}}
    with _openai(_completion(content="A star.", tool_calls=[call])) as client:
        client.chat.completions.create(
            model="gpt-4o",
            messages=asked,
            tools=[{"type": "function", "function": function}],  # type: ignore[typeddict-item]
        )
        asked.clear()  # the picture was taken when the call was made

    assert _found(captured) == {
        "input.messages": [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {
                "role": "user",
                "parts": [
                    {"type": "text", "content": "What is this?"},
                    {"type": "blob", "modality": "image", "mime_type": "image/png", "size": 8},
                    {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
                    {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "size": 4},
                ],
            },
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": "sky"}}],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "42"}]},
        ],
        "output.messages": [
            {
                "role": "assistant",
                "parts": [
                    {"type": "text", "content": "A star."},
                    {"type": "tool_call", "id": "c2", "name": "look", "arguments": "{broken"},
                ],
                "finish_reason": "stop",
            }
        ],
        "tool.definitions": [{"type": "function", **function}],
    }


STREAM = [
    _chunk(role="assistant", content=""),
    _chunk(reasoning_content="Hm."),
    _chunk(content="Hotel "),
    _chunk(content="Lutetia."),
    _chunk(tool_calls=[{"index": 0, "id": "c1", "type": "function", "function": {"name": "book", "arguments": '{"n'}}]),
    _chunk(tool_calls=[{"index": 0, "function": {"arguments": '": 2}'}}]),
    _chunk("tool_calls"),
]
STREAMED = {
    "input.messages": ASKED,
    "output.messages": [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "text", "content": "Hotel Lutetia."},
                {"type": "tool_call", "id": "c1", "name": "book", "arguments": {"n": 2}},
            ],
            "finish_reason": "tool_calls",
        }
    ],
}


def test_a_streamed_chat_is_put_together(captured: Traced) -> None:
    with _openai(STREAM) as client:
        list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))
    assert _found(captured) == STREAMED


def test_a_raw_stream_is_put_together(captured: Traced) -> None:
    with _openai(STREAM) as client:
        raw = client.chat.completions.with_streaming_response
        with raw.create(model="gpt-4o", messages=MESSAGES, stream=True) as response:
            b"".join(response.iter_bytes())
    assert _found(captured) == STREAMED


def test_a_stream_that_is_left_early_has_what_was_heard(captured: Traced) -> None:
    with _openai(STREAM) as client:
        stream = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        for _ in range(3):
            next(stream)
        stream.close()
    parts = [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "Hotel "}]
    assert _found(captured)["output.messages"] == [{"role": "assistant", "parts": parts, "finish_reason": None}]


def test_an_asynchronous_chat(captured: Traced, provider: LocalProvider) -> None:
    async def main() -> str | None:
        async with openai.AsyncOpenAI(api_key="none", base_url=f"{provider.url}/v1") as client:
            answer = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
            return answer.choices[0].message.content

    said = asyncio.run(main())
    output = {"role": "assistant", "parts": [{"type": "text", "content": said}], "finish_reason": "stop"}
    assert _found(captured) == {"input.messages": ASKED, "output.messages": [output]}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_response(streamed: bool, captured: Traced, provider: LocalProvider) -> None:
    request: Any = {
        "model": "gpt-4o",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": PROMPT}]},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "seen"},
        ],
    }
    with openai.OpenAI(api_key="none", base_url=f"{provider.url}/v1") as client:
        if streamed:
            with client.responses.stream(**request) as stream:
                said = stream.get_final_response().output_text
        else:
            said = client.responses.create(**request).output_text

    found = _found(captured)
    assert said
    assert found["system_instructions"] == [{"type": "text", "content": "Be brief."}]
    assert found["input.messages"] == [
        *ASKED,
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "look", "arguments": {}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "seen"}]},
    ]
    texts = [part.get("content") for message in found["output.messages"] for part in message["parts"]]
    assert said in texts


CLAUDE_ASKED: Any = {
    "model": "claude-haiku-4-5",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "Be brief."}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                {"type": "text", "text": PROMPT},
            ],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "map"}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "seen"}]},
            ],
        },
    ],
    "tools": [{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}],
}
CLAUDE_SAID: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "Hm.", "signature": "s"},
    {"type": "text", "text": "Hotel Lutetia."},
    {"type": "tool_use", "id": "t2", "name": "book", "input": {"n": 2}},
]
CLAUDE_FOUND = {
    "input.messages": [
        {
            "role": "user",
            "parts": [
                {"type": "blob", "modality": "image", "mime_type": "image/png", "size": 8},
                {"type": "text", "content": PROMPT},
            ],
        },
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "t1", "name": "look", "arguments": {"at": "map"}}]},
        {"role": "user", "parts": [{"type": "tool_call_response", "id": "t1", "response": "seen"}]},
    ],
    "output.messages": [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "text", "content": "Hotel Lutetia."},
                {"type": "tool_call", "id": "t2", "name": "book", "arguments": {"n": 2}},
            ],
            "finish_reason": "tool_use",
        }
    ],
    "system_instructions": [{"type": "text", "content": "Be brief."}],
    "tool.definitions": [
        {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}}
    ],
}


def _claude(blocks: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": blocks,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 4},
    }


def test_a_message_of_anthropic(captured: Traced) -> None:
    with _anthropic(_claude(CLAUDE_SAID, "tool_use")) as client:
        client.messages.create(**CLAUDE_ASKED)
    assert _found(captured) == CLAUDE_FOUND


def test_a_streamed_message_of_anthropic_is_put_together(captured: Traced) -> None:
    def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"type": "content_block_start", "index": index, "content_block": start},
            *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": index},
        ]

    events = [
        {"type": "message_start", "message": _claude([], None)},
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "Hm."},
            {"type": "signature_delta", "signature": "s"},
        ),
        *block(
            1,
            {"type": "text", "text": ""},
            {"type": "text_delta", "text": "Hotel "},
            {"type": "text_delta", "text": "Lutetia."},
        ),
        *block(
            2,
            {"type": "tool_use", "id": "t2", "name": "book", "input": {}},
            {"type": "input_json_delta", "partial_json": '{"n"'},
            {"type": "input_json_delta", "partial_json": ": 2}"},
        ),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 4},
        },
        {"type": "message_stop"},
    ]
    with _anthropic(events) as client, client.messages.stream(**CLAUDE_ASKED) as stream:
        stream.until_done()
    assert _found(captured) == CLAUDE_FOUND


@pytest.mark.parametrize("streamed", [False, True])
def test_contents_of_gemini(streamed: bool, captured: Traced, provider: LocalProvider) -> None:
    picture = types.Part.from_bytes(data=b"12345678", mime_type="image/png")
    config = types.GenerateContentConfig(system_instruction="Be brief.")
    request: Any = {"model": "gemini-2.5-flash", "contents": [PROMPT, picture], "config": config}
    with Client(api_key="none", http_options=types.HttpOptions(base_url=provider.url)) as client:
        if streamed:
            said = "".join(chunk.text or "" for chunk in client.models.generate_content_stream(**request))
        else:
            said = client.models.generate_content(**request).text or ""

    found = _found(captured)
    assert said
    assert found["system_instructions"] == [{"type": "text", "content": "Be brief."}]
    assert found["input.messages"] == [
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": PROMPT},
                {"type": "blob", "modality": "image", "mime_type": "image/png", "size": 8},
            ],
        }
    ]
    (answer,) = found["output.messages"]
    assert [part["content"] for part in answer["parts"] if part["type"] == "text"] == [said]
    assert (answer["role"], answer["finish_reason"]) == ("assistant", "stop")


@pytest.mark.parametrize("method", ["converse", "converse_stream", "invoke_model", "invoke_stream"])
def test_messages_of_bedrock(method: str, captured: Traced, provider: LocalProvider) -> None:
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=provider.url, **keys)
    said = _ask_bedrock(client, method)
    client.close()

    found = _found(captured)
    assert said
    assert found["input.messages"] == ASKED
    assert found["system_instructions"] == [{"type": "text", "content": "Be brief."}]
    (answer,) = found["output.messages"]
    assert [part["content"] for part in answer["parts"]] == [said]
    assert (answer["role"], answer["finish_reason"]) == ("assistant", "end_turn")


def _ask_bedrock(client: Any, method: str) -> str:
    model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    said = [{"role": "user", "content": [{"text": PROMPT}]}]
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 200,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": PROMPT}],
    }
    if method == "converse":
        answer = client.converse(modelId=model, messages=said, system=[{"text": "Be brief."}])
        return str(answer["output"]["message"]["content"][0]["text"])
    if method == "converse_stream":
        stream = client.converse_stream(modelId=model, messages=said, system=[{"text": "Be brief."}])["stream"]
        deltas = [event["contentBlockDelta"]["delta"] for event in stream if "contentBlockDelta" in event]
        return "".join(delta.get("text", "") for delta in deltas)
    if method == "invoke_model":
        return str(json.load(client.invoke_model(modelId=model, body=json.dumps(body))["body"])["content"][0]["text"])
    stream = client.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))["body"]
    events = [json.loads(event["chunk"]["bytes"]) for event in stream]
    return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


def _chat(*texts: str, answer: str = "Done.") -> None:
    with _openai(_completion(content=answer)) as client:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": text} for text in texts])


def test_a_function_of_the_user_has_the_last_word(captured: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "redact", None)
    spanledger.configure(redact=lambda text: None if "secret" in text else text.replace("4111 1111", "****"))

    _chat("pay with 4111 1111", "a secret", answer="charged 4111 1111")

    found = _found(captured)
    texts = [part["content"] for message in found["input.messages"] for part in message["parts"]]
    assert texts == ["pay with ****", None]
    assert found["output.messages"][0]["parts"] == [{"type": "text", "content": "charged ****"}]


@pytest.mark.parametrize("answer", [KeyError("the secret"), 17])
def test_where_that_function_fails_no_content_leaves(
    answer: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def redact(text: str) -> Any:
        if text == "second":
            if isinstance(answer, Exception):
                raise answer
            return answer
        return text

    monkeypatch.setenv(VARIABLE, "true")
    monkeypatch.setattr(redaction, "redact", redact)
    before = sum(faults.counts().values())
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        _chat("first", "second")
        assert _found(traced) == {}
        assert traced.span()["attributes"][names.INPUT_TOKENS] == 12
    assert sum(faults.counts().values()) == before + 1
    assert "the secret" not in caplog.text


def test_texts_are_cut_and_the_cut_is_marked(captured: Traced) -> None:
    _chat("x" * 70_000, *("y" * 60_000 for _ in range(5)), answer="z" * 70_000)

    found = _found(captured)
    lengths = [len(part["content"]) for message in found["input.messages"] for part in message["parts"]]
    assert found["output.messages"][0]["parts"][0]["content"] == "z" * 65_536 + "… (4464 more characters)"
    # The latest have the first claim on what is left of the 262,144 characters of a span.
    assert lengths == [25, 25, 16_608 + 25, 60_000, 60_000, 60_000]


def test_what_is_no_proper_text_does_not_cost_the_call(captured: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "redact", lambda text: f"{text[:3]}\udce9")
    _chat("ok", answer="cafe")
    assert _found(captured)["output.messages"][0]["parts"][0]["content"] == "caf?"


def test_more_messages_than_anyone_reads_are_left_out(captured: Traced) -> None:
    _chat(*(str(number) for number in range(1100)))

    first, second, *rest = _found(captured)["input.messages"]
    assert first == {"role": "system", "parts": [{"type": "text", "content": "(100 earlier messages left out)"}]}
    assert (second["parts"][0]["content"], len(rest)) == ("100", 999)


@pytest.mark.parametrize("seam", ["read_request", "read_response", "hear"])
def test_a_fault_of_ours_costs_the_content_and_not_the_usage(
    seam: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setenv(VARIABLE, "true")
    monkeypatch.setattr(f"spanledger.sdks.openai_content.{seam}", fail)
    before = sum(faults.counts().values())
    events = [*STREAM, {**_chunk(), "choices": [], "usage": _completion()["usage"]}]
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        if seam == "hear":
            with _openai(events) as client:
                chunks = list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))
            assert len(chunks) == len(STREAM)
        else:
            _chat("hello")
        assert traced.span()["attributes"][names.INPUT_TOKENS] == 12
    assert sum(faults.counts().values()) > before


def test_the_collector_keeps_it_as_text(captured: Traced) -> None:
    _chat("hello")
    assert captured.span()
    (received,) = captured.sink.received
    (row,) = convert([received.body.SerializeToString()], [time.time_ns()]).rows.to_pylist()
    kept = {name: json.loads(json.loads(text)) for name, text in row["attributes"] if name in names.CONTENT}
    assert sorted(kept) == [names.INPUT_MESSAGES, names.OUTPUT_MESSAGES]
    assert kept[names.INPUT_MESSAGES] == [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]

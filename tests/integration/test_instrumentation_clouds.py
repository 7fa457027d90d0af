"""The SDKs' clients for other clouds, against local servers: who serves a call, by which model, at whose price."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from anthropic.lib.bedrock import AnthropicBedrock, AsyncAnthropicBedrock
from anthropic.lib.vertex import AnthropicVertex

from canned_server import CannedServer
from tracing import MESSAGES, Traced, switched_on

CHAT = {
    "id": "chatcmpl-azure",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Ritz"}}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}
EMBEDDED = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": "AACAPw=="}],
    "usage": {"prompt_tokens": 1000, "total_tokens": 1000},
}
RESPONSE = {
    "id": "resp_azure",
    "object": "response",
    "model": "gpt-4o",
    "status": "completed",
    "output": [],
    "usage": {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
}
MESSAGE: dict[str, Any] = {
    "id": "msg_cloud",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5-20251001",
    "content": [{"type": "text", "text": "Ritz"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1000, "output_tokens": 100},
}
ASKED: Any = {"max_tokens": 50, "messages": MESSAGES}


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def server() -> Iterator[CannedServer]:
    with CannedServer() as server:
        yield server


def facts(traced: Traced) -> list[tuple[object, ...]]:
    """Who served each call, the models asked for and answering, tokens, row of the book, and its price."""
    keys = (
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "spanledger.price.id",
        "spanledger.cost.pico_usd",
    )
    return [tuple(span["attributes"].get(key) for key in keys) for span in traced.spans()]


GPT_4O = ("gpt-4o-2024-08-06", 1000, 100, "base:openai/gpt-4o", 3_500_000_000)


def test_azure_deployments_are_priced_by_the_model_that_answers(traced: Traced, server: CannedServer) -> None:
    server.on("POST", "/openai/deployments/my-gpt/chat/completions", CHAT)
    server.on("POST", "/openai/deployments/my-gpt/embeddings", EMBEDDED)
    server.on("POST", "/openai/responses", RESPONSE)
    by_model = openai.AzureOpenAI(azure_endpoint=server.url, api_key="none", api_version="2024-10-21")
    bound = openai.AzureOpenAI(
        azure_endpoint=server.url, azure_deployment="my-gpt", api_key="none", api_version="2024-10-21"
    )

    by_model.chat.completions.create(model="my-gpt", messages=MESSAGES)
    bound.chat.completions.create(model="anything", messages=MESSAGES)
    assert by_model.embeddings.create(model="my-gpt", input="Paris").data[0].embedding == [1.0]
    by_model.responses.create(model="my-gpt", input="Hi")

    assert [path for _, path, _ in server.seen] == [
        "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21",
        "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21",
        "/openai/deployments/my-gpt/embeddings?api-version=2024-10-21",
        "/openai/responses?api-version=2024-10-21",
    ]
    azure = "azure.ai.openai"
    assert facts(traced) == [
        (azure, "my-gpt", *GPT_4O),
        (azure, "anything", *GPT_4O),
        (azure, "my-gpt", "text-embedding-3-small", 1000, 0, "base:azure/text-embedding-3-small", 20_000_000),
        (azure, "my-gpt", "gpt-4o", 1000, 100, "base:openai/gpt-4o", 3_500_000_000),
    ]


def test_azure_is_asynchronous_too(traced: Traced, server: CannedServer) -> None:
    server.on("POST", "/openai/deployments/my-gpt/chat/completions", CHAT)

    async def ask() -> None:
        async with openai.AsyncAzureOpenAI(azure_endpoint=server.url, api_key="none", api_version="1") as client:
            await client.chat.completions.create(model="my-gpt", messages=MESSAGES)

    asyncio.run(ask())

    assert facts(traced) == [("azure.ai.openai", "my-gpt", *GPT_4O)]


def test_the_v1_path_of_azure_on_a_private_host_is_named_by_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: CannedServer
) -> None:
    server.on("POST", "/openai/v1/chat/completions", CHAT)
    monkeypatch.setenv("SPANLEDGER_PROVIDERS", f"127.0.0.1:{server.port}=azure.ai.openai")

    with switched_on(monkeypatch, tmp_path) as traced:
        client = openai.OpenAI(base_url=f"{server.url}/openai/v1/", api_key="none")
        client.chat.completions.create(model="my-gpt", messages=MESSAGES)
        found = facts(traced)

    assert found == [("azure.ai.openai", "my-gpt", *GPT_4O)]


def test_what_the_user_says_of_a_host_wins_over_the_client(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: CannedServer
) -> None:
    server.on("POST", "/openai/deployments/my-gpt/chat/completions", CHAT)
    monkeypatch.setenv("SPANLEDGER_PROVIDERS", f"127.0.0.1:{server.port}=openai")

    with switched_on(monkeypatch, tmp_path) as traced:
        client = openai.AzureOpenAI(azure_endpoint=server.url, api_key="none", api_version="1")
        client.chat.completions.create(model="my-gpt", messages=MESSAGES)
        found = facts(traced)

    assert found == [("openai", "my-gpt", *GPT_4O)]


@pytest.mark.parametrize(
    ("profile", "price_id", "pico_usd"),
    [
        ("us", "base:aws/regional.anthropic.claude-haiku-4-5-20251001-v1:0", 1_650_000_000),
        ("global", "base:aws/global.anthropic.claude-haiku-4-5-20251001-v1:0", 1_500_000_000),
    ],
)
def test_bedrock_through_anthropic_is_priced_by_the_profile_asked_for(
    traced: Traced, server: CannedServer, profile: str, price_id: str, pico_usd: int
) -> None:
    model = f"{profile}.anthropic.claude-haiku-4-5-20251001-v1:0"
    server.on("POST", f"/model/{model}/invoke", MESSAGE)
    client: Any = AnthropicBedrock(base_url=server.url, aws_region="us-east-1")

    answer = client.messages.create(model=model, **ASKED)
    client.beta.messages.create(model=model, **ASKED)

    assert answer.model == "claude-haiku-4-5-20251001"
    assert facts(traced) == [("aws.bedrock", model, model, 1000, 100, price_id, pico_usd)] * 2


def _event_frame(event: dict[str, Any]) -> bytes:
    """Write one message of AWS's event stream."""
    payload = json.dumps({"bytes": b64encode(json.dumps(event).encode()).decode()}).encode()
    headers = b"".join(
        bytes((len(name),)) + name + b"\x07" + struct.pack(">H", len(value)) + value
        for name, value in (
            (b":event-type", b"chunk"),
            (b":content-type", b"application/json"),
            (b":message-type", b"event"),
        )
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


STREAM: tuple[dict[str, Any], ...] = (
    {
        "type": "message_start",
        "message": {**MESSAGE, "content": [], "usage": {"input_tokens": 1000, "output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Ritz"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 100}},
    {"type": "message_stop"},
)


def test_a_stream_of_bedrock_through_anthropic_is_read_to_its_end(traced: Traced, server: CannedServer) -> None:
    model = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
    frames = b"".join(_event_frame(event) for event in STREAM)
    path = f"/model/{model}/invoke-with-response-stream"
    server.on("POST", path, frames, kind="application/vnd.amazon.eventstream")

    async def ask() -> list[str]:
        async with AsyncAnthropicBedrock(base_url=server.url, aws_region="us-east-1") as client:
            return [event.type async for event in await client.messages.create(model=model, stream=True, **ASKED)]

    client = AnthropicBedrock(base_url=server.url, aws_region="us-east-1")
    kinds = [event.type for event in client.messages.create(model=model, stream=True, **ASKED)]

    assert kinds == asyncio.run(ask()) == [event["type"] for event in STREAM]
    price_id = f"base:aws/{model}"
    assert facts(traced) == [("aws.bedrock", model, model, 1000, 100, price_id, 1_500_000_000)] * 2


def test_vertex_and_foundry_are_known_by_their_clients(traced: Traced, server: CannedServer) -> None:
    vertex_path = "/projects/p/locations/global/publishers/anthropic/models/claude-haiku-4-5@20251001:rawPredict"
    server.on("POST", vertex_path, MESSAGE)
    server.on("POST", "/anthropic/v1/messages", MESSAGE)
    vertex = AnthropicVertex(base_url=server.url, region="global", project_id="p", access_token="none")
    foundry = anthropic.AnthropicFoundry(base_url=f"{server.url}/anthropic/", api_key="none")

    vertex.messages.create(model="claude-haiku-4-5@20251001", **ASKED)
    foundry.messages.create(model="claude-haiku-4-5", **ASKED)

    usage = ("claude-haiku-4-5-20251001", 1000, 100)
    assert facts(traced) == [
        ("gcp.vertex_ai", "claude-haiku-4-5@20251001", *usage, "base:google/claude-haiku-4-5", 1_500_000_000),
        ("azure.ai.inference", "claude-haiku-4-5", *usage, "base:anthropic/claude-haiku-4-5", 1_500_000_000),
    ]

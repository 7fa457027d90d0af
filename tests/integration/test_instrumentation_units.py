"""Calls that meter something besides text, and those that are rarely made, by the real SDKs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from canned_server import CannedServer
from tracing import MESSAGES, Traced, switched_on


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def server() -> Iterator[CannedServer]:
    with CannedServer() as server:
        yield server


def told(traced: Traced) -> dict[str, Any]:
    """What the one span says was used, and what that costs."""
    span = traced.span()
    kept = ("gen_ai.usage.", "spanledger.unit.", "spanledger.cost.pico", "spanledger.usage.", "spanledger.speed")
    found = {
        name.removeprefix("gen_ai.usage.").removeprefix("spanledger."): value
        for name, value in span["attributes"].items()
        if name.startswith(kept) and name != "gen_ai.usage.cost"
    }
    return {"name": span["name"], **found}


PNG = b"\x89PNG\r\n\x1a\n"
TOKENS = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
IMAGES = {
    "created": 1,
    "data": [{"b64_json": "AAAA"}],
    "usage": {**TOKENS, "input_tokens_details": {"text_tokens": 200, "image_tokens": 800}},
}
HEARD = {"text": "Hello", "usage": {"type": "duration", "seconds": 10}}
DECISION = {"answers": [], "model": "gpt-4o-2024-08-06", "usage": TOKENS}
COMPACTED = {"id": "resp_compacted", "object": "response.compaction", "created_at": 1, "output": [], "usage": TOKENS}
IMAGE_USE = {
    "input_tokens": 1000,
    "output_tokens": 100,
    "image.input_tokens": 800,
    "image.output_tokens": 100,
    "usage.state": "reported",
}
TEXT_USE = {"input_tokens": 1000, "output_tokens": 100, "usage.state": "reported"}
OPENAI_CASES: dict[str, tuple[str, object, Callable[[Any], object], dict[str, Any]]] = {
    "images are edited": (
        "/v1/images/edits",
        IMAGES,
        lambda client: client.images.edit(model="gpt-image-1", image=PNG, prompt="a hat"),
        # 200 x $5, 800 x $10, 100 x $40, a million
        {"name": "image_generation gpt-image-1", **IMAGE_USE, "cost.pico_usd": 13_000_000_000},
    ),
    "images are varied": (
        "/v1/images/variations",
        {"created": 1, "data": [{"b64_json": "AAAA"}, {"b64_json": "AAAA"}]},
        lambda client: client.images.create_variation(model="dall-e-2", image=PNG, n=2),
        {
            "name": "image_generation dall-e-2",
            "unit.images": 2,
            "input_tokens": 0,
            "output_tokens": 0,
            "usage.state": "reported",
        },
    ),
    "speech is translated": (
        "/v1/audio/translations",
        HEARD,
        lambda client: client.audio.translations.create(model="whisper-1", file=("a.wav", b"RIFF")),
        {
            "name": "transcription whisper-1",
            "unit.seconds": 10,
            "input_tokens": 0,
            "output_tokens": 0,
            "usage.state": "reported",
            "cost.pico_usd": 1_000_000_000,
        },
    ),
    "a conversation is compacted": (
        "/v1/responses/compact",
        COMPACTED,
        lambda client: client.responses.compact(model="gpt-4o", input="Hi"),
        {"name": "chat gpt-4o", **TEXT_USE, "cost.pico_usd": 3_500_000_000},
    ),
    "a decision is asked for": (
        "/v1/decisions",
        DECISION,
        lambda client: client.decisions.create(model="gpt-4o", input="Hi", questions=[]),
        {"name": "chat gpt-4o", **TEXT_USE, "cost.pico_usd": 3_500_000_000},
    ),
    "tokens are counted": (
        "/v1/responses/input_tokens",
        {"object": "response.input_tokens", "input_tokens": 7},
        lambda client: client.responses.input_tokens.count(model="gpt-4o", input="Hi"),
        {"name": "count_tokens gpt-4o"},
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK's, about models and endpoints that still answer
@pytest.mark.parametrize("case", OPENAI_CASES)
def test_openai_when(traced: Traced, server: CannedServer, case: str) -> None:
    path, answer, ask, expected = OPENAI_CASES[case]
    server.on("POST", path, answer)

    ask(openai.OpenAI(base_url=f"{server.url}/v1", api_key="none"))

    assert told(traced) == expected


def searched(**more: Any) -> dict[str, Any]:
    searches = [
        {"type": "web_search_call", "id": f"ws_{number}", "status": "completed", "action": {"type": kind}}
        for number, kind in enumerate(("search", "open_page", "search", "find_in_page"))
    ]
    files = [{"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": []}]
    return {
        "id": "resp_searched",
        "object": "response",
        "model": "gpt-4o-2024-08-06",
        "status": "completed",
        "output": [*searches, *files],
        "usage": TOKENS,
        **more,
    }


@pytest.mark.parametrize(
    ("body", "searches"),
    [
        (searched(), 2),
        (searched(tool_usage={"web_search": {"num_requests": 1}, "image_gen": {}}), 1),
    ],
)
def test_searches_are_charged_and_opened_pages_are_not(
    traced: Traced, server: CannedServer, body: dict[str, Any], searches: int
) -> None:
    server.on("POST", "/v1/responses", body)

    client: Any = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
    client.responses.create(model="gpt-4o", input="Hi", tools=[{"type": "web_search"}])

    # The tokens, $10 for a thousand searches of the web, $2.50 for a thousand of files.
    assert told(traced) == {
        "name": "chat gpt-4o",
        **TEXT_USE,
        "unit.web_searches": searches,
        "unit.storage_searches": 1,
        "cost.pico_usd": 3_500_000_000 + searches * 10_000_000_000 + 2_500_000_000,
    }


def message(model: str, **usage: Any) -> dict[str, Any]:
    return {
        "id": "msg_units",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1000, "output_tokens": 100, **usage},
    }


COMPACTION = {
    "type": "compaction",
    "input_tokens": 500,
    "output_tokens": 50,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
}
ITERATION = {**COMPACTION, "type": "message", "input_tokens": 1000, "output_tokens": 100}


@pytest.mark.parametrize(
    ("model", "usage", "expected"),
    [
        (
            "claude-haiku-4-5",
            {"server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 3}},
            {**TEXT_USE, "unit.web_searches": 2, "cost.pico_usd": 1_500_000_000 + 20_000_000_000},
        ),
        (
            "claude-haiku-4-5",
            {"iterations": [COMPACTION, ITERATION]},
            {"input_tokens": 1500, "output_tokens": 150, "usage.state": "reported", "cost.pico_usd": 2_250_000_000},
        ),
    ],
)
def test_anthropic_units(
    traced: Traced, server: CannedServer, model: str, usage: dict[str, Any], expected: dict[str, Any]
) -> None:
    server.on("POST", "/v1/messages", message(model, **usage))

    client: Any = anthropic.Anthropic(base_url=server.url, api_key="none")
    client.beta.messages.create(model=model, max_tokens=50, messages=MESSAGES)

    assert told(traced) == {"name": f"chat {model}", **expected}


def test_fast_answers_of_anthropic_have_their_own_price(traced: Traced, server: CannedServer) -> None:
    client: Any = anthropic.Anthropic(base_url=server.url, api_key="none")
    paid = []
    for speed in ("standard", "fast"):
        server.on("POST", "/v1/messages", message("claude-opus-4-8", speed=speed))
        client.beta.messages.create(model="claude-opus-4-8", max_tokens=50, messages=MESSAGES)
    for span in traced.spans():
        known = span["attributes"]
        paid.append((known["spanledger.speed"], known["spanledger.price.id"].partition("+")[2]))

    assert paid == [("standard", ""), ("fast", "speed=fast")]

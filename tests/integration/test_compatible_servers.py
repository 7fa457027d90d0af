"""Servers that resemble OpenAI's and report usage in places of their own, or what they charge."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from spanledger_collector.rows import convert
from tracing import MESSAGES, Traced, switched_on

HEAD = {"id": "chatcmpl-0123456789abcdef", "created": 1, "model": "a-model"}
USED = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
PARTS = ("input", "output", "cache_read.input", "reasoning.output")


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


def whole(usage: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Lutetia."}, "finish_reason": "stop"}
    return {**HEAD, "object": "chat.completion", "choices": [choice], "usage": usage}


def chunk(text: str, finish: str | None = None, *, choice: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": finish, **(choice or {})}]
    return {**HEAD, "object": "chat.completion.chunk", "choices": choices, **more}


def ask(url: str, *bodies: dict[str, Any], raw: bool = False) -> None:
    """Make one chat completion; a stream where it is answered with several bodies."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if len(bodies) == 1:
            return httpx2.Response(200, json=bodies[0])
        lines = [f"data: {json.dumps(body)}\n\n".encode() for body in bodies]
        return httpx2.Response(200, content=iter(lines), headers={"content-type": "text/event-stream"})

    http_client = httpx2.Client(transport=httpx2.MockTransport(answer))
    with openai.OpenAI(base_url=url, api_key="none", http_client=http_client) as client:
        request: Any = {"model": "a-model", "messages": MESSAGES, "stream": len(bodies) > 1}
        if raw:
            answered: Any = client.chat.completions.with_raw_response.create(**request).parse()
        else:
            answered = client.chat.completions.create(**request)
        if request["stream"]:
            list(answered)


def told(traced: Traced) -> tuple[object, ...]:
    known = traced.attributes()
    return known["spanledger.usage.state"], *(known.get(f"gen_ai.usage.{part}_tokens") for part in PARTS)


DETAILED = {**USED, "prompt_tokens_details": {"cached_tokens": 64}}


@pytest.mark.parametrize(
    ("url", "usage", "expected"),
    [
        ("https://api.deepseek.com", {**USED, "prompt_cache_hit_tokens": 64}, ("reported", 100, 20, 64, None)),
        ("https://api.deepseek.com", {**DETAILED, "prompt_cache_hit_tokens": 64}, ("reported", 100, 20, 64, None)),
        ("https://api.moonshot.ai/v1", {**USED, "cached_tokens": 64}, ("reported", 100, 20, 64, None)),
        ("https://api.together.xyz/v1", {**USED, "cached_tokens": 0}, ("reported", 100, 20, None, None)),
        ("https://api.mistral.ai/v1", {**USED, "num_cached_tokens": 64}, ("reported", 100, 20, 64, None)),
        (
            "https://api.x.ai/v1",
            {**USED, "total_tokens": 170, "completion_tokens_details": {"reasoning_tokens": 50}},
            ("reported", 100, 70, None, 50),
        ),
        (
            "https://api.openai.com/v1",
            {**USED, "completion_tokens_details": {"reasoning_tokens": 5}},
            ("reported", 100, 20, None, 5),
        ),
    ],
)
def test_usage_is_found_where_the_server_has_it(
    traced: Traced, url: str, usage: dict[str, Any], expected: tuple[object, ...]
) -> None:
    ask(url, whole(usage))

    assert told(traced) == expected


@pytest.mark.parametrize(
    "last",
    [
        chunk("", "stop", x_groq={"id": "req_1", "usage": USED}),
        chunk("", "stop", choice={"usage": USED}),
        chunk("", "stop", usage=USED),
        {**chunk(""), "choices": [], "usage": USED},
    ],
    ids=["groq", "moonshot", "together", "vllm"],
)
@pytest.mark.parametrize("raw", [False, True])
def test_usage_is_found_at_the_end_of_a_stream(traced: Traced, last: dict[str, Any], raw: bool) -> None:
    ask("https://api.groq.com/openai/v1", chunk("Lu", x_groq={"id": "req_1"}), chunk("tetia"), last, raw=raw)

    assert told(traced) == ("reported", 100, 20, None, None)


def test_running_totals_are_final_with_the_last_chunk(traced: Traced) -> None:
    running = [
        chunk("word ", usage={"prompt_tokens": 100, "completion_tokens": n, "total_tokens": 100 + n})
        for n in range(1, 20)
    ]
    ask("http://localhost:8000/v1", *running, chunk("word", "stop", usage=USED), {**HEAD, "choices": [], "usage": USED})

    assert told(traced) == ("reported", 100, 20, None, None)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("raw", [False, True])
def test_counts_written_with_a_point_count(traced: Traced, streamed: bool, raw: bool) -> None:
    usage = {
        "prompt_tokens": 100.0,
        "completion_tokens": 20.0,
        "total_tokens": 120.0,
        "prompt_tokens_details": {"cached_tokens": 40.0},
    }
    bodies = [chunk("Lutetia", "stop"), {**chunk(""), "choices": [], "usage": usage}] if streamed else [whole(usage)]
    ask("https://gateway.test/v1", *bodies, raw=raw)

    assert told(traced) == ("reported", 100, 20, 40, None)


# What they charge


def row(traced: Traced) -> dict[str, Any]:
    traced.spans()
    (received,) = traced.sink.received
    (only,) = convert([received.body.SerializeToString()], [time.time_ns()]).rows.to_pylist(maps_as_pydicts="strict")
    return {name: only[name] for name in ("cost_source", "cost_usd", "cost_other", "reported_cost_usd")}


@pytest.mark.parametrize(
    ("url", "usage", "pico"),
    [
        ("https://openrouter.ai/api/v1", {"cost": 0.00014}, 140_000_000),
        ("https://openrouter.ai/api/v1", {"cost": 8.3e-07, "is_byok": False}, 830_000),
        ("https://openrouter.ai/api/v1", {"cost": 0}, 0),
        (
            "https://openrouter.ai/api/v1",
            {"cost": 0.0005, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.01}},
            10_500_000_000,
        ),
        ("https://api.x.ai/v1", {"cost_in_usd_ticks": 37_756_000}, 3_775_600_000),
    ],
)
def test_what_the_provider_says_it_charges_is_booked(
    traced: Traced, url: str, usage: dict[str, Any], pico: int
) -> None:
    ask(url, whole({**USED, **usage}))

    known = traced.attributes()
    assert known["spanledger.cost.reported_pico_usd"] == known["spanledger.cost.pico_usd"] == pico
    usd = Decimal(pico).scaleb(-12)
    assert row(traced) == {"cost_source": "provider", "cost_usd": usd, "cost_other": usd, "reported_cost_usd": usd}


@pytest.mark.parametrize(
    "usage",
    [{**USED, "completion_tokens_details": {"reasoning_tokens": 900}}, {"prompt_tokens": 0, "completion_tokens": 0}],
    ids=["more reasoning than output", "no tokens"],
)
def test_what_the_provider_charges_is_booked_whatever_it_counts(traced: Traced, usage: dict[str, Any]) -> None:
    ask("https://openrouter.ai/api/v1", whole({**usage, "cost": 0.1}))

    usd = Decimal("0.1")
    assert row(traced) == {"cost_source": "provider", "cost_usd": usd, "cost_other": usd, "reported_cost_usd": usd}


def test_a_stream_says_in_its_last_chunk_what_it_cost(traced: Traced) -> None:
    ask("https://openrouter.ai/api/v1", chunk("Lutetia"), chunk("", "stop"), chunk("", usage={**USED, "cost": 0.1}))

    assert row(traced)["cost_usd"] == Decimal("0.1")


@pytest.mark.parametrize(
    "usage",
    [{"cost": "0.1"}, {"cost": -1}, {"cost": True}, {"cost": 1e9}, {"cost": None}, {"cost_in_usd_ticks": 5}, {}],
)
def test_a_charge_that_cannot_be_read_is_none(traced: Traced, usage: dict[str, Any]) -> None:
    ask("https://openrouter.ai/api/v1", whole({**USED, **usage}))

    assert "spanledger.cost.reported_pico_usd" not in traced.attributes()
    assert row(traced)["cost_source"] == "none"


def test_a_field_of_that_name_of_anyone_else_is_not_believed(traced: Traced) -> None:
    ask("https://api.perplexity.ai", whole({**USED, "cost": 0.1, "cost_in_usd_ticks": 5}))

    assert "spanledger.cost.reported_pico_usd" not in traced.attributes()

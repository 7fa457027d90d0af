"""Calls of the real anthropic SDK, as spans on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, Traced, switched_on

MESSAGE: Any = {"model": "claude-haiku-4-5", "max_tokens": 200, "messages": MESSAGES}
TRUTH = Usage(
    input_uncached_tokens=20,
    cache_read_tokens=3000,
    cache_write_5m_tokens=1000,
    cache_write_1h_tokens=500,
    output_text_tokens=100,
    reasoning_tokens=30,
)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.url, api_key="none") as client:
        yield client


def _expected(response_id: str, **more: object) -> dict[str, object]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-haiku-4-5",
        "gen_ai.request.max_tokens": 200,
        "gen_ai.response.id": response_id,
        "gen_ai.response.model": "claude-haiku-4-5",
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.usage.input_tokens": 4520,
        "gen_ai.usage.output_tokens": 130,
        "gen_ai.usage.cache_read.input_tokens": 3000,
        "gen_ai.usage.cache_write.input_tokens": 1500,
        "spanledger.usage.cache_write_5m.input_tokens": 1000,
        "spanledger.usage.cache_write_1h.input_tokens": 500,
        "gen_ai.usage.reasoning.output_tokens": 30,
        "server.address": "127.0.0.1",
        "spanledger.usage.state": "reported",
        "spanledger.service_tier": "standard",
        "spanledger.region": "global",
        "spanledger.attempts": 1,
        # 20 x $1 + 3000 x $0.10 + 1000 x $1.25 + 500 x $2 + 130 x $5, a million
        "gen_ai.usage.cost": 0.00322,
        "spanledger.cost.pico_usd": 3_220_000_000,
        "spanledger.cost.source": "list",
        "spanledger.price.id": "base:anthropic/claude-haiku-4-5",
        **more,
    }


def test_input_includes_the_cache_and_writes_are_split_by_lifetime(
    traced: Traced, provider: LocalProvider, client: anthropic.Anthropic
) -> None:
    provider.plan(Plan(usage=TRUTH))

    answer = client.messages.create(**MESSAGE)

    assert type(answer) is anthropic.types.Message
    assert answer.usage.input_tokens == 20
    assert traced.attributes() == _expected(answer.id)


def test_a_stream_is_counted_once_at_its_end(
    traced: Traced, provider: LocalProvider, client: anthropic.Anthropic
) -> None:
    provider.plan(Plan(usage=TRUTH))

    stream = client.messages.create(**MESSAGE, stream=True)
    events = list(stream)

    assert type(stream) is anthropic.Stream
    assert [events[0].type, events[-1].type] == ["message_start", "message_stop"]
    start = events[0]
    assert start.type == "message_start"
    assert traced.attributes() == _expected(start.message.id, **{"gen_ai.request.stream": True})


def test_helpers_betas_and_raw_responses_are_counted_alike(
    traced: Traced, provider: LocalProvider, client: anthropic.Anthropic
) -> None:
    provider.plan(*[Plan(usage=TRUTH)] * 5)

    with client.messages.stream(**MESSAGE) as stream:
        stream.get_final_message()
    client.beta.messages.create(**MESSAGE)
    client.messages.with_raw_response.create(**MESSAGE).parse()
    list(client.messages.with_raw_response.create(**MESSAGE, stream=True).parse())
    with client.messages.with_streaming_response.create(**MESSAGE) as response:
        response.parse()

    spans = traced.spans()
    assert len(spans) == 5
    same = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "spanledger.cost.pico_usd"
    assert {tuple(span["attributes"][name] for name in same) for span in spans} == {(4520, 130, 3_220_000_000)}


def test_counting_tokens_is_a_span_without_usage_or_money(traced: Traced, client: anthropic.Anthropic) -> None:
    client.messages.count_tokens(model="claude-haiku-4-5", messages=MESSAGES)

    assert traced.attributes() == {
        "gen_ai.operation.name": "count_tokens",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-haiku-4-5",
        "server.address": "127.0.0.1",
        "spanledger.attempts": 1,
    }


def test_the_sdk_does_not_trace_itself_as_well(traced: Traced, client: anthropic.Anthropic) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    application = TracerProvider(shutdown_on_exit=False)
    application.add_span_processor(SimpleSpanProcessor(exporter))
    with trace.use_span(application.get_tracer("application").start_span("work"), end_on_exit=True):
        client.messages.create(**MESSAGE)

    assert [span.name for span in exporter.get_finished_spans()] == ["work"]
    assert traced.span()["parent_span_id"] != ""


def test_an_error_is_the_sdks_own_exception(
    traced: Traced, provider: LocalProvider, client: anthropic.Anthropic
) -> None:
    provider.plan(*[Plan(status=500)] * 3)

    with pytest.raises(anthropic.InternalServerError):
        client.messages.create(**MESSAGE)

    assert traced.attributes() == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-haiku-4-5",
        "gen_ai.request.max_tokens": 200,
        "server.address": "127.0.0.1",
        "error.type": "anthropic.InternalServerError",
        "http.response.status_code": 500,
        "spanledger.usage.state": "missing",
        "spanledger.attempts": 3,
    }


def test_asynchronous_calls_are_recorded_alike(traced: Traced, provider: LocalProvider) -> None:
    provider.plan(*[Plan(usage=TRUTH)] * 3)

    async def calls() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="none") as client:
            await client.messages.create(**MESSAGE)
            async with client.messages.stream(**MESSAGE) as stream:
                await stream.get_final_message()
            async with client.messages.with_streaming_response.create(**MESSAGE) as response:
                await response.parse()

    asyncio.run(calls())

    assert [span["attributes"]["spanledger.cost.pico_usd"] for span in traced.spans()] == [3_220_000_000] * 3

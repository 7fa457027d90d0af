"""Calls of the real openai SDK, as spans on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, ValidationError

from spanledger import names
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import FINGERPRINTS, MESSAGES, Traced, switched_on

CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES}


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        yield client


@pytest.mark.parametrize("path", ["{url}/v1/chat/completions", "chat/completions", "/chat/completions?beta=true"])
def test_a_request_is_a_call_however_its_address_is_written(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI, path: str
) -> None:
    client.post(path.format(url=provider.url), body=CHAT, cast_to=ChatCompletion)

    assert traced.span()["name"] == "chat gpt-4o"


def test_a_call_is_one_span_with_tokens_model_and_cost(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    truth = Usage(input_uncached_tokens=176, cache_read_tokens=1024, output_text_tokens=145, reasoning_tokens=200)
    provider.plan(Plan(usage=truth))

    answer = client.chat.completions.create(**CHAT, max_completion_tokens=500, temperature=0.5)

    span = traced.span()
    span["attributes"] = {name: value for name, value in span["attributes"].items() if name not in FINGERPRINTS}
    assert type(answer) is ChatCompletion
    assert span["attributes"].pop("server.port") == int(provider.url.rpartition(":")[2])
    assert span.pop("nanoseconds") > 0
    assert len(span.pop("trace_id")) == 32
    assert len(span.pop("span_id")) == 16
    assert span == {
        "name": "chat gpt-4o",
        "kind": "CLIENT",
        "parent_span_id": "",
        "status": "UNSET",
        "message": "",
        "events": [],
        "attributes": {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.request.max_tokens": 500,
            "gen_ai.request.temperature": 0.5,
            "gen_ai.response.id": answer.id,
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 1200,
            "gen_ai.usage.output_tokens": 345,
            "gen_ai.usage.cache_read.input_tokens": 1024,
            "gen_ai.usage.reasoning.output_tokens": 200,
            "server.address": "127.0.0.1",
            "spanledger.usage.state": "reported",
            "spanledger.service_tier": "default",
            "spanledger.attempts": 1,
            # 176 x $2.50 + 1024 x $1.25 + 345 x $10, a million
            "gen_ai.usage.cost": 0.00517,
            "spanledger.cost.pico_usd": 5_170_000_000,
            "spanledger.cost.source": "list",
            "spanledger.price.id": "base:openai/gpt-4o",
        },
    }


def test_the_resource_names_service_and_environment(
    monkeypatch: pytest.MonkeyPatch, provider: LocalProvider, client: openai.OpenAI, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "hotel-search")
    monkeypatch.setenv("SPANLEDGER_ENVIRONMENT", "staging")
    monkeypatch.setenv("SPANLEDGER_FEATURES", "none")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=7")
    with switched_on(monkeypatch, tmp_path) as traced:
        client.chat.completions.create(**CHAT)
        traced.span()
        (request,) = traced.sink.received
    (resource_spans,) = request.body.resource_spans
    resource = {item.key: item.value.string_value for item in resource_spans.resource.attributes}
    resource.pop(names.BESIDE, None)  # which depends on what other tests have loaded
    (scope_spans,) = resource_spans.scope_spans

    assert (request.path, request.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
    assert (scope_spans.scope.name, bool(scope_spans.scope.version)) == ("spanledger", True)
    assert {name: resource[name] for name in resource if not name.startswith("telemetry.")} == {
        "service.name": "hotel-search",
        "service.version": "7",
        "deployment.environment.name": "staging",
    }


def test_a_stream_is_asked_for_usage_and_the_application_does_not_notice(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    provider.plan(Plan(usage=Usage(input_uncached_tokens=20, output_text_tokens=5)))
    asked = {**CHAT, "stream": True}

    stream = client.chat.completions.create(**asked)
    chunks = list(stream)

    assert type(stream) is openai.Stream
    assert chunks
    assert all(chunk.choices for chunk in chunks)
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert asked == {**CHAT, "stream": True}
    assert traced.attributes() == _stream_attributes(chunks[0].id)


def test_a_stream_that_the_application_asked_for_usage_still_shows_it(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    provider.plan(Plan(usage=Usage(input_uncached_tokens=20, output_text_tokens=5)))

    chunks = list(client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}))

    last = chunks[-1]
    assert not last.choices
    assert isinstance(last.usage, CompletionUsage)
    assert last.usage.total_tokens == 25
    assert traced.attributes() == _stream_attributes(last.id)


def test_the_stream_helper_gets_its_final_completion(traced: Traced, client: openai.OpenAI) -> None:
    with client.chat.completions.stream(**CHAT) as stream:
        final = stream.get_final_completion()

    assert final.choices[0].message.content
    assert traced.attributes()["spanledger.usage.state"] == "reported"


def test_a_retried_call_is_one_span_that_says_how_often(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    provider.plan(Plan(status=429), Plan(usage=Usage(input_uncached_tokens=3, output_text_tokens=2)))

    client.chat.completions.parse(**CHAT)

    attributes = traced.attributes()
    assert (attributes["gen_ai.usage.input_tokens"], attributes["spanledger.attempts"]) == (3, 2)


def test_an_answer_that_does_not_parse_is_charged_and_not_quoted(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    class Hotel(BaseModel):
        name: str

    provider.plan(Plan(usage=Usage(input_uncached_tokens=3, output_text_tokens=5), opening="The secret is"))

    with pytest.raises(ValidationError, match="The secret"):
        client.chat.completions.parse(**CHAT, response_format=Hotel)

    span = traced.span()
    assert (span["status"], span["message"]) == ("ERROR", "ValidationError")
    assert "secret" not in repr(span)
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 5
    assert span["attributes"]["spanledger.cost.pico_usd"] == 57_500_000


def test_an_answer_that_parses_is_the_applications_own_type(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    answer = client.chat.completions.parse(**CHAT)

    assert type(answer).__name__.startswith("ParsedChatCompletion")
    assert traced.attributes()["gen_ai.response.finish_reasons"] == ["stop"]


def test_a_raw_response_is_untouched_and_counted(traced: Traced, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**CHAT)

    assert type(raw).__name__ == "LegacyAPIResponse"
    assert raw.headers["x-request-id"]
    answer = raw.parse()
    assert answer is raw.parse()
    attributes = traced.attributes()
    assert answer.usage is not None
    assert attributes["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens
    assert attributes["gen_ai.response.id"] == answer.id


def test_a_raw_stream_is_counted_and_hides_what_we_asked_for(traced: Traced, client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.with_raw_response.create(**CHAT, stream=True).parse())

    assert all(chunk.choices for chunk in chunks)
    assert traced.attributes()["spanledger.usage.state"] == "reported"


def test_bytes_read_by_the_application_hide_what_we_asked_for(traced: Traced, client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        lines = [line for line in response.iter_lines() if line]

    assert lines[-1] == "data: [DONE]"
    assert all('"choices": [{' in line for line in lines[:-1])
    assert traced.attributes()["spanledger.usage.state"] == "reported"


def test_a_body_read_by_the_application_is_counted(traced: Traced, client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        answer = response.parse()

    assert traced.attributes()["gen_ai.response.id"] == answer.id


def test_responses_are_calls_and_reading_one_again_is_not(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    provider.plan(Plan(usage=Usage(input_uncached_tokens=100, cache_read_tokens=50, reasoning_tokens=64)))
    answer = client.responses.create(model="gpt-5", input="hello", max_output_tokens=80)
    assert client.responses.retrieve(answer.id).id == answer.id

    assert traced.attributes() == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.request.max_tokens": 80,
        "gen_ai.response.id": answer.id,
        "gen_ai.response.model": answer.model,
        "gen_ai.response.finish_reasons": ["completed"],
        "gen_ai.usage.input_tokens": 150,
        "gen_ai.usage.output_tokens": 64,
        "gen_ai.usage.cache_read.input_tokens": 50,
        "gen_ai.usage.reasoning.output_tokens": 64,
        "server.address": "127.0.0.1",
        "spanledger.usage.state": "reported",
        "spanledger.service_tier": "default",
        "spanledger.attempts": 1,
        "gen_ai.usage.cost": 0.00077125,
        "spanledger.cost.pico_usd": 771_250_000,
        "spanledger.cost.source": "list",
        "spanledger.price.id": "base:openai/gpt-5",
    }


def test_a_streamed_response_is_counted_from_its_last_event(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    provider.plan(Plan(usage=Usage(input_uncached_tokens=7, output_text_tokens=3)))

    events = list(client.responses.create(model="gpt-5", input="hello", stream=True))

    assert events[-1].type == "response.completed"
    attributes = traced.attributes()
    assert (attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]) == (7, 3)


def test_embeddings_and_legacy_completions_are_calls(traced: Traced, client: openai.OpenAI) -> None:
    client.embeddings.create(model="text-embedding-3-small", input="hello")
    client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")

    spans = traced.spans()
    assert [span["name"] for span in spans] == [
        "embeddings text-embedding-3-small",
        "text_completion gpt-3.5-turbo-instruct",
    ]
    assert all(span["attributes"]["spanledger.cost.pico_usd"] > 0 for span in spans)


def test_an_error_after_retries_is_one_failed_span_and_the_sdks_own_exception(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    provider.plan(*[Plan(status=429)] * 3)

    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(**CHAT)

    span = traced.span()
    assert (span["status"], span["message"]) == ("ERROR", "RateLimitError 429 rate_limit_exceeded")
    assert type(caught.value) is openai.RateLimitError
    assert traced.attributes() == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "server.address": "127.0.0.1",
        "error.type": "openai.RateLimitError",
        "http.response.status_code": 429,
        "spanledger.usage.state": "missing",
        "spanledger.attempts": 3,
    }


def test_an_unknown_model_is_recorded_without_a_price(traced: Traced, client: openai.OpenAI) -> None:
    client.chat.completions.create(model="our-own-llama", messages=MESSAGES)

    attributes = traced.attributes()
    assert attributes["gen_ai.usage.output_tokens"] > 0
    assert not [name for name in attributes if "cost" in name or "price" in name]


async def _chat(provider: LocalProvider) -> Any:
    async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        plain = await client.chat.completions.create(**CHAT)
        stream = await client.chat.completions.create(**CHAT, stream=True)
        chunks = [chunk async for chunk in stream]
    return plain, stream, chunks


def test_asynchronous_calls_are_recorded_alike(traced: Traced, provider: LocalProvider) -> None:
    plain, stream, chunks = asyncio.run(_chat(provider))

    assert type(stream) is openai.AsyncStream
    assert all(chunk.choices for chunk in chunks)
    first, second = traced.spans()
    same = "gen_ai.usage.input_tokens", "spanledger.usage.state", "gen_ai.response.model"
    assert [first["attributes"][name] for name in same] == [second["attributes"][name] for name in same]
    assert first["attributes"]["gen_ai.response.id"] == plain.id
    assert second["attributes"]["gen_ai.response.time_to_first_chunk"] > 0


def _stream_attributes(response_id: str) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.stream": True,
        "gen_ai.response.id": response_id,
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 5,
        "server.address": "127.0.0.1",
        "spanledger.usage.state": "reported",
        "spanledger.service_tier": "default",
        "spanledger.attempts": 1,
        "gen_ai.usage.cost": 0.0001,
        "spanledger.cost.pico_usd": 100_000_000,
        "spanledger.cost.source": "list",
        "spanledger.price.id": "base:openai/gpt-4o",
    }

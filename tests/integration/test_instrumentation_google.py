"""Calls of the real google-genai SDK, as spans on the wire."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google.genai import Client, errors, types
from google.oauth2.credentials import Credentials

import spanledger
from spanledger import call, stream
from spanledger.sdks import google_sdk, google_usage
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import Traced, switched_on

PROMPT = "Where is the best hotel in Paris?"
MODEL = "gemini-2.5-flash"
TEXTS: Any = ["a", "b"]
CONTENT: Any = {"model": MODEL, "contents": PROMPT}
TRUTH = Usage(
    input_uncached_tokens=1000,
    cache_read_tokens=400,
    input_audio_tokens=70,
    cache_read_audio_tokens=30,
    input_image_tokens=258,
    output_text_tokens=100,
    reasoning_tokens=50,
)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


def make_client(provider: LocalProvider, **options: Any) -> Client:
    return Client(api_key="none", http_options=types.HttpOptions(base_url=provider.url, **options))


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[Client]:
    with make_client(provider) as client:
        yield client


@pytest.fixture
def vertex(provider: LocalProvider) -> Iterator[Client]:
    with Client(
        vertexai=True,
        project="hotel",
        location="europe-west1",
        credentials=Credentials(token="none"),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=provider.url),
    ) as client:
        yield client


def _expected(response_id: str | None, **more: object) -> dict[str, object]:
    return {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.id": response_id,
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 1758,
        "gen_ai.usage.output_tokens": 150,
        "gen_ai.usage.cache_read.input_tokens": 430,
        "gen_ai.usage.audio.input_tokens": 100,
        "gen_ai.usage.audio.cache_read.input_tokens": 30,
        "gen_ai.usage.image.input_tokens": 258,
        "gen_ai.usage.reasoning.output_tokens": 50,
        "server.address": "127.0.0.1",
        "spanledger.usage.state": "reported",
        "spanledger.attempts": 1,
        # (1000 + 258) x $0.30 + 400 x $0.03 + 70 x $1 + 30 x $0.10 + 150 x $2.50, a million
        "gen_ai.usage.cost": 0.0008374,
        "spanledger.cost.pico_usd": 837_400_000,
        "spanledger.cost.source": "list",
        "spanledger.price.id": "base:google/gemini-2.5-flash",
        **more,
    }


def test_a_call_is_one_span_with_thoughts_as_output_and_the_cache_inside_the_prompt(
    traced: Traced, provider: LocalProvider, client: Client
) -> None:
    provider.plan(Plan(usage=TRUTH))

    answer = client.models.generate_content(
        **CONTENT, config=types.GenerateContentConfig(max_output_tokens=500, temperature=0.5)
    )

    assert type(answer) is types.GenerateContentResponse
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.prompt_token_count == 1758
    more = {"gen_ai.request.max_tokens": 500, "gen_ai.request.temperature": 0.5}
    assert traced.attributes() == _expected(answer.response_id, **more)
    assert traced.span()["name"] == f"generate_content {MODEL}"


def test_a_stream_is_counted_once_at_its_end(traced: Traced, provider: LocalProvider, client: Client) -> None:
    provider.plan(Plan(usage=TRUTH))

    events = list(client.models.generate_content_stream(**CONTENT))

    assert len("".join(event.text or "" for event in events)) == 400
    assert traced.attributes() == _expected(events[0].response_id, **{"gen_ai.request.stream": True})
    assert call.open_streams() == 0


def test_asynchronous_calls_are_recorded_alike(traced: Traced, provider: LocalProvider) -> None:
    provider.plan(*[Plan(usage=TRUTH)] * 3)

    async def calls() -> None:
        async with make_client(provider).aio as client:
            await client.models.generate_content(**CONTENT)
            async for _event in await client.models.generate_content_stream(**CONTENT):
                pass
            await client.chats.create(model=MODEL).send_message(PROMPT)

    asyncio.run(calls())

    assert [span["attributes"]["spanledger.cost.pico_usd"] for span in traced.spans()] == [837_400_000] * 3


def test_what_a_built_in_tool_puts_into_the_prompt_is_input(
    traced: Traced, provider: LocalProvider, client: Client
) -> None:
    provider.plan(Plan(usage=Usage(input_uncached_tokens=400, output_text_tokens=10)))

    answer = client.models.generate_content(
        **CONTENT, config=types.GenerateContentConfig(tools=[types.Tool(code_execution=types.ToolCodeExecution())])
    )

    assert answer.usage_metadata is not None
    assert answer.usage_metadata.prompt_token_count == 300
    assert answer.usage_metadata.tool_use_prompt_token_count == 100
    attributes = traced.attributes()
    assert (attributes["gen_ai.usage.input_tokens"], attributes["spanledger.cost.pico_usd"]) == (400, 145_000_000)


@pytest.mark.parametrize(("model", "searches"), [("gemini-2.5-flash", 1), ("gemini-3-pro-preview", 3)])
def test_a_grounded_answer_counts_its_searches_as_its_generation_does(
    traced: Traced, provider: LocalProvider, client: Client, model: str, searches: int
) -> None:
    queries = Usage(input_uncached_tokens=10, output_text_tokens=5, units={"web_searches": Decimal(3)})
    provider.plan(Plan(usage=queries), Plan(usage=queries))

    client.models.generate_content(model=model, contents=PROMPT)
    list(client.models.generate_content_stream(model=model, contents=PROMPT))

    units = [span["attributes"]["spanledger.unit.web_searches"] for span in traced.spans()]
    assert units == [searches, searches]


def test_each_turn_of_automatic_function_calling_is_a_call(traced: Traced, client: Client) -> None:
    cities: list[str] = []

    def find_hotel(city: str) -> str:
        """Find a hotel."""
        cities.append(city)
        return "Ritz"

    answer = client.models.generate_content(**CONTENT, config=types.GenerateContentConfig(tools=[find_hotel]))

    assert (cities, bool(answer.text)) == (["Paris"], True)
    first, second = (span["attributes"]["gen_ai.usage.input_tokens"] for span in traced.spans())
    assert 0 < first < second


def test_the_service_tier_is_the_one_that_served(traced: Traced, provider: LocalProvider, client: Client) -> None:
    provider.plan(Plan(usage=TRUTH, service_tier="standard"))

    client.models.generate_content(
        **CONTENT, config=types.GenerateContentConfig(service_tier=types.ServiceTier.PRIORITY)
    )

    assert traced.attributes()["spanledger.service_tier"] == "standard"


def test_vertex_ai_is_another_provider_in_a_region(traced: Traced, provider: LocalProvider, vertex: Client) -> None:
    provider.plan(Plan(usage=TRUTH))

    answer = vertex.models.generate_content(**CONTENT)

    more = {"gen_ai.provider.name": "gcp.vertex_ai", "spanledger.region": "europe-west1"}
    assert traced.attributes() == _expected(answer.response_id, **more)


def test_embeddings_are_counted_where_the_provider_counts_them(
    traced: Traced, provider: LocalProvider, client: Client, vertex: Client
) -> None:
    provider.plan(*[Plan(usage=Usage(input_uncached_tokens=9))] * 2)

    client.models.embed_content(model="gemini-embedding-001", contents=TEXTS)
    vertex.models.embed_content(model="text-embedding-005", contents=TEXTS)

    spans = [span["attributes"] for span in traced.spans()]
    assert [
        (one["gen_ai.operation.name"], one["gen_ai.request.model"], one["gen_ai.usage.input_tokens"]) for one in spans
    ] == [("embeddings", "gemini-embedding-001", 9), ("embeddings", "text-embedding-005", 9)]
    assert [one.get("spanledger.cost.pico_usd") for one in spans] == [1_350_000, 900_000]


def test_images_of_vertex_ai_are_counted_by_the_piece(traced: Traced, provider: LocalProvider, vertex: Client) -> None:
    provider.plan(Plan(usage=Usage(units={"images": Decimal(2)})))

    with warnings.catch_warnings(action="ignore"):  # the SDK advises another method
        made = vertex.models.generate_images(model="imagen-4.0-generate-001", prompt="a hotel")

    assert len(made.generated_images or ()) == 2
    attributes = traced.attributes()
    assert attributes["gen_ai.operation.name"] == "image_generation"
    assert attributes["spanledger.unit.images"] == 2


def test_counting_tokens_is_free(traced: Traced, client: Client) -> None:
    counted = client.models.count_tokens(**CONTENT)

    assert counted.total_tokens == 9
    assert traced.attributes() == {
        "gen_ai.operation.name": "count_tokens",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": MODEL,
        "server.address": "127.0.0.1",
        "spanledger.attempts": 1,
    }


def test_an_error_is_the_sdks_own_exception_after_its_own_retries(traced: Traced, provider: LocalProvider) -> None:
    provider.plan(*[Plan(status=429)] * 3)
    retries = types.HttpRetryOptions(attempts=3, initial_delay=0.001, max_delay=0.002, jitter=0.001)

    with make_client(provider, retry_options=retries) as client, pytest.raises(errors.ClientError):
        client.models.generate_content(**CONTENT)

    span = traced.span()
    assert (span["status"], span["message"]) == ("ERROR", "ClientError 429 RESOURCE_EXHAUSTED")
    assert traced.attributes() == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": MODEL,
        "server.address": "127.0.0.1",
        "error.type": "google.genai.errors.ClientError",
        "http.response.status_code": 429,
        "spanledger.usage.state": "missing",
        "spanledger.attempts": 3,
    }


def _outcome(traced: Traced) -> tuple[object, ...]:
    span = traced.span()
    attributes = span["attributes"]
    known = attributes.get("gen_ai.usage.input_tokens"), attributes.get("error.type")
    return (span["status"], attributes["spanledger.usage.state"], *known)


def test_a_stream_left_early_is_an_estimate(traced: Traced, provider: LocalProvider, client: Client) -> None:
    provider.plan(Plan(usage=TRUTH))

    for _event in client.models.generate_content_stream(**CONTENT):
        break
    gc.collect()

    assert _outcome(traced) == ("UNSET", "estimated", 1758, None)
    assert call.open_streams() == 0


def test_a_stream_that_is_closed_ends_its_span(traced: Traced, provider: LocalProvider, client: Client) -> None:
    provider.plan(Plan(usage=TRUTH))

    events: Any = client.models.generate_content_stream(**CONTENT)
    next(events)
    events.close()

    assert _outcome(traced) == ("UNSET", "estimated", 1758, None)


def test_a_stream_that_is_never_read_was_never_sent(traced: Traced, provider: LocalProvider, client: Client) -> None:
    events = client.models.generate_content_stream(**CONTENT)
    del events

    assert (traced.spans(), provider.requests) == ([], 0)


def test_a_stream_that_breaks_off_is_the_sdks_exception(
    traced: Traced, provider: LocalProvider, client: Client
) -> None:
    provider.plan(Plan(usage=TRUTH, cut_after_events=2))

    with pytest.raises(httpx2.RemoteProtocolError):
        list(client.models.generate_content_stream(**CONTENT))

    assert _outcome(traced) == ("ERROR", "estimated", 1758, "httpx2.RemoteProtocolError")


def test_a_stream_that_says_it_failed_is_the_sdks_exception(
    traced: Traced, provider: LocalProvider, client: Client
) -> None:
    provider.plan(Plan(usage=TRUTH, cut_after_events=2, says_fault=True))

    with pytest.raises(errors.ServerError):
        list(client.models.generate_content_stream(**CONTENT))

    assert _outcome(traced) == ("ERROR", "estimated", 1758, "google.genai.errors.ServerError")
    assert traced.attributes()["http.response.status_code"] == 503


@pytest.mark.parametrize("leave", ["drop", "close", "cancel"])
def test_asynchronous_streams_end_their_spans_however_they_are_left(
    traced: Traced, provider: LocalProvider, leave: str
) -> None:
    provider.plan(Plan(usage=TRUTH))

    async def left() -> None:
        async with make_client(provider).aio as client:
            events: Any = await client.models.generate_content_stream(**CONTENT)
            await anext(events)
            if leave == "close":
                await events.aclose()
            elif leave == "cancel":
                await _cancelled(events)
            del events
            gc.collect()

    asyncio.run(left())

    assert _outcome(traced)[:3] == ("UNSET", "estimated", 1758)


async def _cancelled(events: Any) -> None:
    """Read one event in a task that is cancelled while it works on it."""
    reached = asyncio.Event()

    async def read() -> None:
        async for _event in events:
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_cancelled_call_is_one_failed_span(traced: Traced, provider: LocalProvider) -> None:
    provider.plan(Plan(delay_s=30))

    async def cancelled() -> None:
        async with make_client(provider).aio as client:
            asked = asyncio.ensure_future(client.models.generate_content(**CONTENT))
            while provider.requests < 1 and not asked.done():  # cancelled once it is under way, however long that takes
                await asyncio.sleep(0.01)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked

    asyncio.run(cancelled())

    assert _outcome(traced) == ("ERROR", "missing", None, "asyncio.exceptions.CancelledError")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (google_sdk, "_read_request"),
        (google_sdk, "_server"),
        (stream, "watch_iterator"),
        (google_usage, "_parse"),
        (google_usage, "_read_usage"),
        (call.Call, "record"),
    ],
)
def test_a_fault_at_any_seam_leaves_the_application_alone(
    owner: object, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: Client
) -> None:
    def broken(*_anything: object, **_more: object) -> Any:
        raise ZeroDivisionError("injected")

    with switched_on(monkeypatch, tmp_path, faultless=False), pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, broken)
        answer = client.models.generate_content(**CONTENT)
        events = list(client.models.generate_content_stream(**CONTENT))
        spanledger.flush()

    assert answer.text
    assert "".join(event.text or "" for event in events) == answer.text

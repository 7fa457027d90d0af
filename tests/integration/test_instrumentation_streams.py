"""Streams that do not run to their end: each is one span, with what was known, and nothing leaks."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from spanledger import call, stream
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, Traced, switched_on

CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}
MESSAGE: Any = {"model": "claude-haiku-4-5", "max_tokens": 200, "messages": MESSAGES, "stream": True}
TRUTH = Usage(input_uncached_tokens=400, output_text_tokens=60)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        provider.plan(*[Plan(usage=TRUTH)] * 4)
        yield provider


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        yield client


@pytest.fixture
def claude(provider: LocalProvider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.url, api_key="none") as client:
        yield client


def _outcome(span: dict[str, Any]) -> tuple[object, ...]:
    known = span["attributes"]
    return (
        span["status"],
        known["spanledger.usage.state"],
        known.get("gen_ai.usage.input_tokens"),
        known.get("gen_ai.usage.output_tokens"),
    )


def test_a_closed_stream_is_estimated_from_what_was_said_and_heard(traced: Traced, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(**CHAT)
    next(stream)
    stream.close()

    assert _outcome(traced.span()) == ("UNSET", "estimated", 9, 0)
    assert traced.attributes()["spanledger.usage.method"] == "bytes_per_token"
    assert traced.attributes()["spanledger.cost.pico_usd"] == 9 * 2_500_000
    assert stream.response.is_closed


def test_a_closed_stream_that_is_read_on_has_no_event_of_ours(traced: Traced, client: openai.OpenAI) -> None:
    whole = list(client.chat.completions.create(**CHAT))
    stream = client.chat.completions.create(**CHAT)
    watched: Any = stream._iterator
    watched._call.closed()  # as by `close`, and what has come by then stays to be read

    assert len(list(stream)) == len(whole)
    assert all(chunk.choices for chunk in whole)
    assert len(traced.spans()) == 2


def test_a_raw_stream_that_a_hook_has_read_is_counted_and_has_no_event_of_ours(
    traced: Traced, provider: LocalProvider
) -> None:
    """As recorders of HTTP traffic do, and hooks that log it."""
    http = openai.DefaultHttpxClient(event_hooks={"response": [lambda response: response.read()]})
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none", http_client=http) as client:
        raw = client.chat.completions.with_raw_response.create(**CHAT)
        chunks = list(raw.parse())

    assert all(chunk.choices for chunk in chunks)
    assert b"prompt_tokens" not in raw.content
    assert _outcome(traced.span()) == ("UNSET", "reported", 400, 60)


def test_a_stream_that_is_only_half_wrapped_is_dropped_in_silence() -> None:
    """Ctrl-C may come at any moment; pytest fails where something raises in a finaliser."""
    half = stream._SyncWatched.__new__(stream._SyncWatched)
    with pytest.raises(AttributeError):
        _ = half._inner
    del half
    gc.collect()


def test_leaving_the_helper_early_ends_the_span(traced: Traced, client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-4o", messages=MESSAGES) as stream:
        next(iter(stream))

    assert _outcome(traced.span()) == ("UNSET", "estimated", 9, 0)


def test_an_abandoned_stream_ends_its_span_when_it_is_collected(traced: Traced, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(**CHAT)
    for _chunk in stream:
        break
    assert traced.spans() == []
    assert stream.response.is_closed is False

    del stream
    gc.collect()

    assert _outcome(traced.span()) == ("UNSET", "estimated", 9, 0)


def test_a_broken_off_message_keeps_the_input_that_is_known(traced: Traced, claude: anthropic.Anthropic) -> None:
    stream = claude.messages.create(**MESSAGE)
    assert next(stream).type == "message_start"
    stream.close()

    state = _outcome(traced.span())
    assert state[:3] == ("UNSET", "estimated", 400)
    assert traced.attributes()["spanledger.cost.pico_usd"] > 400_000_000


def test_an_abandoned_message_stream_frees_its_connection_at_once(traced: Traced, claude: anthropic.Anthropic) -> None:
    gc.collect()
    gc.disable()
    try:
        stream = claude.messages.create(**MESSAGE)
        next(stream)
        response = stream.response
        del stream
        assert response.is_closed
    finally:
        gc.enable()

    assert _outcome(traced.span())[1] == "estimated"


def test_a_connection_that_breaks_is_an_error_and_the_sdks_own_exception(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    provider.plan()
    for _ in range(4):
        client.embeddings.create(model="text-embedding-3-small", input="uses up a plan")
    before = len(traced.spans())
    provider.plan(Plan(usage=TRUTH, cut_after_events=3))

    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        list(client.chat.completions.create(**CHAT))

    (span,) = traced.spans()[before:]
    assert _outcome(span) == ("ERROR", "estimated", 9, 20)


def test_a_raw_stream_that_is_dropped_unread_ends_its_span(traced: Traced, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**CHAT)
    raw.http_response.close()
    del raw
    gc.collect()

    assert _outcome(traced.span()) == ("UNSET", "estimated", 9, 0)


def test_a_cancelled_call_is_one_failed_span(traced: Traced, provider: LocalProvider) -> None:
    async def cancelled() -> None:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
            request = {**CHAT, "stream": False, "extra_headers": {"x-demo-plan": '{"delay_s": 30}'}}
            for _ in range(4):
                await client.embeddings.create(model="text-embedding-3-small", input="uses up a plan")
            asked = asyncio.ensure_future(client.chat.completions.create(**request))
            while provider.requests < 5 and not asked.done():  # cancelled once it is under way, however long that takes
                await asyncio.sleep(0.01)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked

    asyncio.run(cancelled())

    last = traced.spans()[-1]
    assert (last["status"], last["attributes"]["error.type"]) == ("ERROR", "asyncio.exceptions.CancelledError")
    assert last["attributes"]["spanledger.usage.state"] == "missing"
    assert "spanledger.cost.pico_usd" not in last["attributes"]


def test_an_asynchronous_stream_closed_early_ends_its_span(traced: Traced, provider: LocalProvider) -> None:
    async def closed_early() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="none") as client:
            stream = await client.messages.create(**MESSAGE)
            await anext(stream)
            await stream.close()

    asyncio.run(closed_early())

    assert _outcome(traced.span())[:3] == ("UNSET", "estimated", 400)


def test_an_asynchronous_stream_abandoned_ends_its_span(traced: Traced, provider: LocalProvider) -> None:
    async def abandoned() -> None:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(**CHAT)
            async for _chunk in stream:
                break
            await stream.response.aclose()
            del stream

    asyncio.run(abandoned())
    gc.collect()

    assert _outcome(traced.span()) == ("UNSET", "estimated", 9, 0)


def test_no_call_is_remembered_after_its_stream(traced: Traced, client: openai.OpenAI) -> None:
    list(client.chat.completions.create(**CHAT))
    client.chat.completions.create(**CHAT).close()

    assert len(traced.spans()) == 2
    assert call.open_streams() == 0

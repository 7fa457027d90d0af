"""Calls whose tokens nobody reports: estimated from what was said and heard, told as estimates, and priced.

The local provider counts four bytes as a token, which is what an estimate starts from: so the bill is the truth here.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from old_server import OldServer
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from spanledger_collector.rows import convert
from tracing import MESSAGES, Traced, switched_on

CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES}
MESSAGE: Any = {"model": "claude-haiku-4-5", "max_tokens": 200, "messages": MESSAGES}
ANSWER = Plan(usage=Usage(input_uncached_tokens=400, output_text_tokens=100))
Chunks = list[dict[str, Any]]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        provider.plan(ANSWER)
        yield provider


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        yield client


def usage_told(traced: Traced) -> tuple[object, ...]:
    """State, method, input, output of the only span."""
    known = traced.attributes()
    names = "spanledger.usage.state", "spanledger.usage.method", "gen_ai.usage.input_tokens"
    return *(known.get(name) for name in names), known.get("gen_ai.usage.output_tokens")


def tokens(text: str) -> int:
    return -(-len(text.encode()) // 4)


def answering(*chunks: dict[str, Any], base_url: str = "https://example.test/v1") -> openai.OpenAI:
    """A client whose server streams these chunks, or answers with the only one."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if not json.loads(request.content).get("stream"):
            return httpx2.Response(200, json=chunks[0])
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        return httpx2.Response(
            200, text="".join(lines) + "data: [DONE]\n\n", headers={"content-type": "text/event-stream"}
        )

    http_client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(base_url=base_url, api_key="none", http_client=http_client)


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**head, "choices": choices, **more}


# What a stream said before it ended


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_a_chat_left_early_counts_what_was_heard(traced: Traced, client: openai.OpenAI, leave: str) -> None:
    stream = client.chat.completions.create(**CHAT, stream=True)
    heard = "".join(next(stream).choices[0].delta.content or "" for _ in range(5))
    if leave == "close":
        stream.close()
    del stream
    gc.collect()

    assert heard
    assert usage_told(traced) == ("estimated", "bytes_per_token", 9, tokens(heard))


def test_a_raw_stream_left_early_counts_what_was_heard(traced: Traced, client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as raw:
        lines = raw.iter_lines()
        heard = ""
        while len(heard) < 40:
            data = next(lines).removeprefix("data: ")
            heard += (json.loads(data)["choices"][0]["delta"].get("content") or "") if data.strip() else ""

    state, method, into, out = usage_told(traced)
    assert (state, method, into) == ("estimated", "bytes_per_token", 9)
    assert isinstance(out, int)
    assert out >= tokens(heard)  # a buffer may hold more than was read


def test_a_response_left_early_counts_what_was_heard(traced: Traced, client: openai.OpenAI) -> None:
    stream = client.responses.create(
        model="gpt-5.4", instructions="Be brief.", input="Where is the best hotel?", stream=True
    )
    heard = ""
    for event in stream:
        if event.type == "response.output_text.delta":
            heard += event.delta
            if len(heard) > 40:
                break
    stream.close()

    assert usage_told(traced) == (
        "estimated",
        "bytes_per_token",
        tokens("Be brief.Where is the best hotel?"),
        tokens(heard),
    )


def test_a_message_left_early_keeps_the_input_it_was_told(traced: Traced, provider: LocalProvider) -> None:
    heard = ""
    with anthropic.Anthropic(base_url=provider.url, api_key="none") as claude:
        stream = claude.messages.create(**MESSAGE, stream=True)
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                heard += event.delta.text
                if len(heard) > 40:
                    break
        stream.close()

    assert usage_told(traced) == ("estimated", "bytes_per_token", 400, tokens(heard))


def test_arguments_of_a_tool_and_reasoning_are_heard(traced: Traced) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": '{"city": "Paris"}'}}
    chunks = [
        chunk({"role": "assistant", "content": None, "reasoning_content": "Let me look that up."}),
        chunk({"reasoning": "A hotel, then."}),
        chunk({"tool_calls": [call]}),
        chunk({"tool_calls": [more]}),
        chunk({"refusal": "No."}, "tool_calls"),
    ]
    with answering(*chunks) as client:
        list(client.chat.completions.create(**CHAT, stream=True))

    said = 'Let me look that up.A hotel, then.{"city": "Paris"}No.'
    assert usage_told(traced) == ("estimated", "bytes_per_token", 9, tokens(said))


def test_a_legacy_completion_is_heard(traced: Traced) -> None:
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
    choice = {"index": 0, "text": "Hotel Lutetia", "logprobs": None, "finish_reason": None}
    with answering({**head, "choices": [choice]}, {**head, "choices": [choice]}) as client:
        list(client.completions.create(model="m", prompt="Where is the best hotel?", stream=True))

    assert usage_told(traced) == ("estimated", "bytes_per_token", 6, tokens("Hotel Lutetia" * 2))


def test_a_server_without_usage_is_estimated_and_the_application_gets_its_chunks(traced: Traced) -> None:
    with OldServer() as server, openai.OpenAI(base_url=server.url, api_key="none") as client:
        seen = list(client.chat.completions.create(**CHAT, stream=True))

    assert [one.choices[0].delta.content for one in seen] == ["Bonjour"]
    assert usage_told(traced) == ("estimated", "bytes_per_token", 9, 2)


def test_a_whole_answer_without_usage_is_estimated(traced: Traced) -> None:
    message = {"role": "assistant", "content": "Hotel Lutetia."}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    with answering(body) as client:
        assert client.chat.completions.create(**CHAT).usage is None

    assert usage_told(traced) == ("estimated", "bytes_per_token", 9, 4)


def test_an_answer_that_makes_no_sense_is_not_estimated(traced: Traced) -> None:
    with answering({"ok": True}) as client:
        client.chat.completions.create(**CHAT)

    assert usage_told(traced) == ("missing", None, None, None)


UNCOUNTED: list[dict[str, Any]] = [
    {},
    {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    {"prompt_tokens": None, "completion_tokens": None},
    {"prompt_tokens": "100", "completion_tokens": "20"},
    {"prompt_tokens": True, "completion_tokens": False},
]


@pytest.mark.parametrize("usage", UNCOUNTED)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_usage_without_a_count_is_none(traced: Traced, usage: dict[str, Any], streamed: bool) -> None:
    message = {"role": "assistant", "content": "Hotel Lutetia."}
    whole = {"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    last = chunk({}, "stop", usage=usage)
    with answering(
        *([chunk({"content": "Hotel Lutetia."}), last] if streamed else [{**whole, "usage": usage}])
    ) as client:
        answer = client.chat.completions.create(**CHAT, stream=streamed)
        if streamed:
            list(answer)

    assert usage_told(traced) == ("estimated", "bytes_per_token", 9, 4)


@pytest.mark.parametrize(
    "usage", [{"input_tokens": 0, "output_tokens": 0}, {"input_tokens": "9", "output_tokens": "4"}]
)
def test_a_message_without_a_count_is_estimated(traced: Traced, usage: dict[str, Any]) -> None:
    said = [{"type": "text", "text": "Hotel Lutetia."}]
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": said, "usage": usage}
    http_client = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=body)))
    with anthropic.Anthropic(base_url="https://example.test", api_key="none", http_client=http_client) as client:
        client.messages.create(**MESSAGE)

    assert usage_told(traced) == ("estimated", "bytes_per_token", 9, 4)


def test_a_response_that_is_under_way_has_no_count_yet(traced: Traced) -> None:
    begun = {"id": "resp_1", "object": "response", "model": "m", "status": "in_progress", "output": []}
    zeros = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    with answering(
        {"type": "response.created", "response": {**begun, "usage": zeros}},
        {"type": "response.in_progress", "response": {**begun, "usage": {**zeros, "input_tokens": 50}}},
        {"type": "response.output_text.delta", "delta": "Hotel Lutetia.", "item_id": "i", "output_index": 0},
    ) as client:
        list(client.responses.create(model="m", input="Where?", stream=True))

    assert usage_told(traced) == ("estimated", "bytes_per_token", 50, 4)


REFUSAL = {"error": {"message": "busy", "type": "server_error", "code": "overloaded"}}


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(
    ("before", "expected"),
    [([], ("missing", None, None, None)), ([chunk({"content": "word"})], ("estimated", "bytes_per_token", 9, 1))],
    ids=["at once", "after a word"],
)
def test_a_refusal_in_a_stream_costs_what_came_before_it(
    traced: Traced, raw: bool, before: Chunks, expected: tuple[object, ...]
) -> None:
    with answering(*before, REFUSAL) as client:
        if raw:
            with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
                list(response.iter_lines())
        else:
            with pytest.raises(openai.APIError, match="busy"):
                list(client.chat.completions.create(**CHAT, stream=True))

    assert usage_told(traced) == expected
    assert traced.span()["status"] == "ERROR"


@pytest.mark.parametrize("raw", [False, True])
def test_a_message_refused_in_its_stream_costs_nothing(traced: Traced, raw: bool) -> None:
    refusal = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    answer = httpx2.Response(
        200, text=f"event: error\ndata: {json.dumps(refusal)}\n\n", headers={"content-type": "text/event-stream"}
    )
    http_client = httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))
    with anthropic.Anthropic(base_url="https://example.test", api_key="none", http_client=http_client) as client:
        if raw:
            with client.messages.with_streaming_response.create(**MESSAGE, stream=True) as response:
                list(response.iter_lines())
        else:
            with pytest.raises(anthropic.APIStatusError, match="busy"):
                list(client.messages.create(**MESSAGE, stream=True))

    assert usage_told(traced) == ("missing", None, None, None)
    assert traced.span()["status"] == "ERROR"


def test_running_totals_of_the_server_are_kept(traced: Traced) -> None:
    """As vLLM sends them with continuous_usage_stats."""
    totals: Chunks = [
        chunk({"content": "word "}, usage={"prompt_tokens": 50, "completion_tokens": n, "total_tokens": 50 + n})
        for n in range(1, 8)
    ]
    with answering(*totals) as client:
        stream = client.chat.completions.create(**CHAT, stream=True)
        for _ in range(4):
            next(stream)
        del stream
        gc.collect()

    assert usage_told(traced) == ("estimated", "bytes_per_token", 50, 5)


def test_an_asynchronous_stream_that_is_cancelled_counts_what_was_heard(
    traced: Traced, provider: LocalProvider
) -> None:
    heard: list[str] = []

    async def read(stream: Any, reached: asyncio.Event) -> None:
        async for one in stream:
            heard.append(one.choices[0].delta.content or "")
            if len(heard) == 5:
                reached.set()
                await asyncio.Event().wait()

    async def cancelled() -> None:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(**CHAT, stream=True)
            reached = asyncio.Event()
            task = asyncio.create_task(read(stream, reached))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await stream.close()

    asyncio.run(cancelled())

    assert usage_told(traced) == ("estimated", "bytes_per_token", 9, tokens("".join(heard)))


# What is not estimated


@pytest.mark.parametrize("status", [400, 401, 429])
def test_a_refusal_has_no_tokens(traced: Traced, status: int) -> None:
    with LocalProvider() as provider:
        provider.plan(Plan(status=status))
        client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none", max_retries=0)
        with client, pytest.raises(openai.APIStatusError):
            client.chat.completions.create(**CHAT)

    assert usage_told(traced) == ("missing", None, None, None)
    assert not [name for name in traced.attributes() if "cost" in name]


# Learning, and the way to the ledger


def test_bytes_per_token_are_learned_from_calls_that_were_counted(traced: Traced, provider: LocalProvider) -> None:
    provider.plan()
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        client.embeddings.create(model="text-embedding-3-small", input="uses up the plan")
        provider.plan(Plan(usage=Usage(input_uncached_tokens=18, output_text_tokens=20), text_tokens=40))
        client.chat.completions.create(**CHAT)
        stream = client.chat.completions.create(**CHAT, stream=True)
        heard = "".join(next(stream).choices[0].delta.content or "" for _ in range(5))
        stream.close()

    told = traced.spans()[-1]["attributes"]
    assert heard
    assert told["gen_ai.usage.input_tokens"] == 18
    assert told["gen_ai.usage.output_tokens"] == -(-len(heard) // 8)


def test_the_collector_prices_an_estimate_and_says_that_it_is_one(traced: Traced, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(**CHAT, stream=True)
    next(stream)
    stream.close()
    traced.spans()

    (received,) = traced.sink.received
    rows = convert([received.body.SerializeToString()], [time.time_ns()]).rows
    (row,) = rows.to_pylist(maps_as_pydicts="strict")
    assert (row["usage_state"], row["cost_source"], row["unpriced_reason"]) == ("estimated", "list", None)
    assert (row["cost_usd"], row["cost_usd"] > 0) == (row["reported_cost_usd"], True)
    assert row["attributes"]["spanledger.usage.method"] == '"bytes_per_token"'


# Failed attempts that may have been billed


def hanging_up(times: int, answer: Callable[[], httpx2.Response]) -> httpx2.Client:
    """A client whose first answers are lost on the way."""
    left = [times]

    def respond(request: httpx2.Request) -> httpx2.Response:
        if left[0]:
            left[0] -= 1
            raise httpx2.ReadTimeout("no answer")
        return answer()

    return httpx2.Client(transport=httpx2.MockTransport(respond))


def answered() -> httpx2.Response:
    usage = {"input_tokens": 1000, "output_tokens": 10}
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": []}
    return httpx2.Response(200, json={**body, "stop_reason": "end_turn", "usage": usage})


def test_attempts_that_may_have_been_billed_are_estimated_beside_the_cost(traced: Traced) -> None:
    with anthropic.Anthropic(api_key="none", http_client=hanging_up(2, answered), max_retries=2) as claude:
        claude.messages.create(**MESSAGE)

    told = traced.attributes()
    assert told["spanledger.cost.pico_usd"] == (1000 * 1 + 10 * 5) * 1_000_000
    assert told["spanledger.retry_cost.pico_usd"] == 2 * 1000 * 1_000_000


def test_a_call_that_only_timed_out_has_no_cost_but_that_estimate(traced: Traced) -> None:
    claude = anthropic.Anthropic(api_key="none", http_client=hanging_up(9, answered), max_retries=1)
    with claude, pytest.raises(anthropic.APITimeoutError):
        claude.messages.create(**MESSAGE)

    told = traced.attributes()
    assert told["spanledger.usage.state"] == "missing"
    assert "gen_ai.usage.input_tokens" not in told
    assert "spanledger.cost.pico_usd" not in told
    assert told["spanledger.retry_cost.pico_usd"] == 2 * 9 * 1_000_000


def test_attempts_that_were_refused_cost_nothing(traced: Traced, provider: LocalProvider) -> None:
    provider.plan()
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        client.embeddings.create(model="text-embedding-3-small", input="uses up the plan")
        provider.plan(Plan(status=429), Plan(status=500))
        client.chat.completions.create(**CHAT)

    assert "spanledger.retry_cost.pico_usd" not in traced.spans()[-1]["attributes"]

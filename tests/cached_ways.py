"""The ways to call the SDKs that the response cache answers: each returns all that the application gets to see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from matrix_cases import HELLO

CHAT: Any = {"model": "gpt-4o", "messages": HELLO, "temperature": 0}
RESPONSE: Any = {"model": "gpt-5.4", "input": "Where is the best hotel in Paris?", "temperature": 0}
MESSAGE: Any = {"model": "claude-haiku-4-5", "max_tokens": 300, "messages": HELLO}
COMPLETION: Any = {
    "model": "gpt-3.5-turbo-instruct",
    "prompt": "The best hotel is",
    "temperature": 0,
    "max_tokens": 300,
}
VECTORS: Any = {"model": "text-embedding-3-small", "input": ["Paris", "hotel"]}


class Hotel(BaseModel):
    """What a parsing call wants."""

    city: str = ""


def seen(value: Any) -> Any:
    """Return all that can be seen of what an SDK returned."""
    if isinstance(value, list):
        return [seen(one) for one in value]
    dumped = value.model_dump() if hasattr(value, "model_dump") else value
    return type(value).__qualname__, getattr(value, "_request_id", None), dumped


def _raw(response: Any) -> Any:
    return response.status_code, response.headers["content-type"], response.http_version


OPENAI: dict[str, Callable[[OpenAI], Any]] = {}
OPENAI_ASYNC: dict[str, Callable[[AsyncOpenAI], Any]] = {}
CLAUDE: dict[str, Callable[[Anthropic], Any]] = {}
CLAUDE_ASYNC: dict[str, Callable[[AsyncAnthropic], Any]] = {}


def _add(ways: dict[str, Any]) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        ways[function.__name__] = function
        return function

    return register


@_add(OPENAI)
def chat(client: OpenAI) -> Any:
    return seen(client.chat.completions.create(**CHAT))


@_add(OPENAI)
def chat_stream(client: OpenAI) -> Any:
    stream = client.chat.completions.create(**CHAT, stream=True)
    before = stream.response.is_closed
    return type(stream).__qualname__, before, seen(list(stream)), stream.response.is_closed


@_add(OPENAI)
def chat_stream_with_usage(client: OpenAI) -> Any:
    return seen(list(client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})))


@_add(OPENAI)
def chat_stream_helper(client: OpenAI) -> Any:
    with client.chat.completions.stream(**CHAT) as stream:
        return [event.type for event in stream], seen(stream.get_final_completion())


@_add(OPENAI)
def chat_raw(client: OpenAI) -> Any:
    raw = client.chat.completions.with_raw_response.create(**CHAT)
    return type(raw).__qualname__, _raw(raw), raw.retries_taken, raw.text, seen(raw.parse())


@_add(OPENAI)
def chat_raw_stream(client: OpenAI) -> Any:
    raw = client.chat.completions.with_raw_response.create(**CHAT, stream=True)
    return _raw(raw), seen(list(raw.parse()))


@_add(OPENAI)
def chat_streaming_response(client: OpenAI) -> Any:
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        return type(response).__qualname__, _raw(response), response.is_closed, seen(response.parse())


@_add(OPENAI)
def chat_streaming_response_lines(client: OpenAI) -> Any:
    with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        return list(response.iter_lines()), response.is_closed


@_add(OPENAI)
def responses(client: OpenAI) -> Any:
    return seen(client.responses.create(**RESPONSE))


@_add(OPENAI)
def responses_stream(client: OpenAI) -> Any:
    return seen(list(client.responses.create(**RESPONSE, stream=True)))


@_add(OPENAI)
def responses_raw(client: OpenAI) -> Any:
    raw = client.responses.with_raw_response.create(**RESPONSE)
    return _raw(raw), seen(raw.parse())


@_add(OPENAI)
def completions(client: OpenAI) -> Any:
    return seen(client.completions.create(**COMPLETION)), seen(
        list(client.completions.create(**COMPLETION, stream=True))
    )


@_add(OPENAI)
def embeddings(client: OpenAI) -> Any:
    return seen(client.embeddings.create(**VECTORS))


@_add(OPENAI_ASYNC)
async def chat_async(client: AsyncOpenAI) -> Any:
    return seen(await client.chat.completions.create(**CHAT))


@_add(OPENAI_ASYNC)
async def chat_stream_async(client: AsyncOpenAI) -> Any:
    stream = await client.chat.completions.create(**CHAT, stream=True)
    return type(stream).__qualname__, seen([chunk async for chunk in stream]), stream.response.is_closed


@_add(OPENAI_ASYNC)
async def chat_raw_async(client: AsyncOpenAI) -> Any:
    raw = await client.chat.completions.with_raw_response.create(**CHAT)
    return _raw(raw), seen(raw.parse())


@_add(OPENAI_ASYNC)
async def chat_streaming_response_async(client: AsyncOpenAI) -> Any:
    async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        return _raw(response), await response.text(), seen(await response.parse())


@_add(OPENAI_ASYNC)
async def responses_stream_async(client: AsyncOpenAI) -> Any:
    return seen([event async for event in await client.responses.create(**RESPONSE, stream=True)])


@_add(CLAUDE)
def message(client: Anthropic) -> Any:
    return seen(client.messages.create(**MESSAGE))


@_add(CLAUDE)
def message_stream(client: Anthropic) -> Any:
    stream = client.messages.create(**MESSAGE, stream=True)
    return type(stream).__qualname__, seen(list(stream)), stream.response.is_closed


@_add(CLAUDE)
def message_stream_helper(client: Anthropic) -> Any:
    with client.messages.stream(**MESSAGE) as stream:
        return "".join(stream.text_stream), seen(stream.get_final_message()), stream.request_id


@_add(CLAUDE)
def message_raw(client: Anthropic) -> Any:
    raw = client.messages.with_raw_response.create(**MESSAGE)
    return type(raw).__qualname__, _raw(raw), seen(raw.parse())


@_add(CLAUDE)
def message_streaming_response(client: Anthropic) -> Any:
    with client.messages.with_streaming_response.create(**MESSAGE) as response:
        return _raw(response), response.read(), seen(response.parse())


@_add(CLAUDE)
def message_beta(client: Anthropic) -> Any:
    return seen(client.beta.messages.create(**MESSAGE, betas=["context-1m-2025-08-07"]))


@_add(CLAUDE_ASYNC)
async def message_async(client: AsyncAnthropic) -> Any:
    return seen(await client.messages.create(**MESSAGE))


@_add(CLAUDE_ASYNC)
async def message_stream_async(client: AsyncAnthropic) -> Any:
    async with client.messages.stream(**MESSAGE) as stream:
        return [event.type async for event in stream], seen(await stream.get_final_message())


@_add(CLAUDE_ASYNC)
async def message_raw_async(client: AsyncAnthropic) -> Any:
    raw = await client.messages.with_raw_response.create(**MESSAGE)
    return _raw(raw), seen(await _maybe(raw.parse()))


async def _maybe(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value

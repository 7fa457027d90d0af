"""The ways to call Anthropic: every resource, colour and ending that an application uses."""

from __future__ import annotations

import gc
import json
from typing import Any

import anthropic
from pydantic import BaseModel

from matrix_cases import HELLO, Bench, Broken, Cases, given_up
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan

MESSAGE: Any = {"model": "claude-haiku-4-5", "max_tokens": 400, "messages": HELLO}
TOOLS: Any = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in ("search", "check")]
RICH = Usage(
    input_uncached_tokens=20,
    cache_read_tokens=3000,
    cache_write_5m_tokens=1100,
    cache_write_1h_tokens=400,
    output_text_tokens=100,
    reasoning_tokens=30,
)

ANTHROPIC = Cases()
FAILED = Broken("ERROR", "missing")
LEFT = Broken("UNSET", "estimated", 4520, 1)
"""The start of a message tells the input in full, and of the output that there is some."""


class Hotel(BaseModel):
    """What a parsing call wants."""

    city: str = ""


def _rich(bench: Bench) -> None:
    bench.provider.plan(Plan(usage=RICH))


@ANTHROPIC.add()
def ant_simple(bench: Bench) -> object:
    with bench.claude() as client:
        answer = client.messages.create(**MESSAGE)
    return type(answer).__name__, answer.content


@ANTHROPIC.add()
async def ant_async(bench: Bench) -> object:
    async with bench.claude_async() as client:
        return (await client.messages.create(**MESSAGE)).content


@ANTHROPIC.add()
def ant_cached(bench: Bench) -> object:
    _rich(bench)
    with bench.claude() as client:
        return client.messages.create(**MESSAGE).usage


@ANTHROPIC.add()
def ant_stream_create(bench: Bench) -> object:
    _rich(bench)
    with bench.claude() as client:
        return [event.type for event in client.messages.create(**MESSAGE, stream=True)]


@ANTHROPIC.add()
def ant_stream_helper(bench: Bench) -> object:
    _rich(bench)
    with bench.claude() as client, client.messages.stream(**MESSAGE) as stream:
        return "".join(stream.text_stream), stream.get_final_message().usage


@ANTHROPIC.add()
async def ant_stream_helper_async(bench: Bench) -> object:
    _rich(bench)
    async with bench.claude_async() as client, client.messages.stream(**MESSAGE) as stream:
        return [text async for text in stream.text_stream]


@ANTHROPIC.add()
def ant_parse(bench: Bench) -> object:
    _rich(bench)
    with bench.claude() as client:
        try:
            parse: Any = client.messages.parse
            return type(parse(**MESSAGE, output_format=Hotel)).__name__
        except ValueError as error:
            return type(error).__name__


@ANTHROPIC.add()
def ant_raw_response(bench: Bench) -> object:
    _rich(bench)
    with bench.claude() as client:
        raw: Any = client.messages.with_raw_response.create(**MESSAGE)
        return raw.status_code, raw.parse().usage


@ANTHROPIC.add()
def ant_streaming_response(bench: Bench) -> object:
    _rich(bench)
    with bench.claude() as client, client.messages.with_streaming_response.create(**MESSAGE) as response:
        return [json.loads(line)["usage"] for line in response.iter_lines()]


@ANTHROPIC.add()
def ant_beta(bench: Bench) -> object:
    _rich(bench)
    with bench.claude() as client:
        return type(client.beta.messages.create(**MESSAGE)).__name__


@ANTHROPIC.add()
def ant_beta_stream(bench: Bench) -> object:
    _rich(bench)
    with bench.claude() as client, client.beta.messages.stream(**MESSAGE) as stream:
        return "".join(stream.text_stream)


@ANTHROPIC.add()
def ant_tool_loop(bench: Bench) -> object:
    messages: list[Any] = list(HELLO)
    called: list[str] = []
    with bench.claude() as client:
        while True:
            answer = client.messages.create(model="claude-haiku-4-5", max_tokens=400, messages=messages, tools=TOOLS)
            uses = [block for block in answer.content if block.type == "tool_use"]
            if not uses:
                return called
            called.extend(use.name for use in uses)
            results = [{"type": "tool_result", "tool_use_id": use.id, "content": "[]"} for use in uses]
            messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]


@ANTHROPIC.add()
def ant_tool_runner(bench: Bench) -> object:
    @anthropic.beta_tool
    def search(city: str) -> str:
        """Search a city.

        Args:
            city: where
        """
        return f"three hotels in {city}"

    with bench.claude() as client:
        runner = client.beta.messages.tool_runner(**MESSAGE, tools=[search])
        return [message.stop_reason for message in runner]


@ANTHROPIC.add(free=True)
def ant_count_tokens(bench: Bench) -> object:
    with bench.claude() as client:
        return client.messages.count_tokens(model="claude-haiku-4-5", messages=HELLO).input_tokens


@ANTHROPIC.add(free=True)
def ant_batches(bench: Bench) -> object:
    with bench.claude() as client:
        return client.messages.batches.create(requests=[{"custom_id": "a", "params": MESSAGE}]).processing_status


@ANTHROPIC.add(FAILED)
def ant_error_429(bench: Bench) -> object:
    bench.provider.plan(Plan(status=429))
    with bench.claude(max_retries=0) as client:
        try:
            return client.messages.create(**MESSAGE)
        except anthropic.RateLimitError as error:
            return type(error).__name__, error.status_code


@ANTHROPIC.add()
def ant_retry(bench: Bench) -> object:
    bench.provider.plan(Plan(status=529), Plan(status=500), Plan(usage=RICH))
    with bench.claude() as client:
        return client.messages.create(**MESSAGE).usage


@ANTHROPIC.add(LEFT)
def ant_stream_early_close(bench: Bench) -> object:
    _rich(bench)
    with bench.claude() as client:
        stream = client.messages.create(**MESSAGE, stream=True)
        first = next(stream).type
        stream.close()
        return first, stream.response.is_closed


@ANTHROPIC.add(Broken("UNSET", "estimated", 4520, 20))
def ant_stream_helper_break(bench: Bench) -> object:
    _rich(bench)
    with bench.claude() as client, client.messages.stream(**MESSAGE) as stream:
        for text in stream.text_stream:
            return text
    return None


@ANTHROPIC.add(LEFT)
def ant_stream_abandon(bench: Bench) -> object:
    _rich(bench)
    with bench.claude() as client:
        stream = client.messages.create(**MESSAGE, stream=True)
        first = next(iter(stream)).type
        del stream
        gc.collect()
        return first


@ANTHROPIC.add(Broken("ERROR", "estimated", 4520, 1))
def ant_stream_mid_error(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=RICH, cut_after_events=4))
    seen = []
    with bench.claude() as client:
        try:
            seen.extend(client.messages.create(**MESSAGE, stream=True))
        except Exception as error:
            return len(seen), type(error).__name__
    return seen


@ANTHROPIC.add(FAILED)
async def ant_async_cancel(bench: Bench) -> object:
    bench.provider.plan(Plan(delay_s=30))
    async with bench.claude_async() as client:
        return await given_up(bench, client.messages.create(**MESSAGE))

"""The ways to call OpenAI: every resource, colour and ending that an application uses."""

from __future__ import annotations

import gc
from decimal import Decimal
from typing import Any

import openai
from pydantic import BaseModel

from matrix_cases import HELLO, Bench, Broken, Cases, given_up
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan

CHAT: Any = {"model": "gpt-4o", "messages": HELLO}
STREAM: Any = {**CHAT, "stream": True}
ASKED: Any = {**STREAM, "stream_options": {"include_usage": True}}
RESPONSE: Any = {"model": "gpt-5.4", "input": "Where is the best hotel in Paris?"}
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("search_hotels", "check_price")
]
RICH = Usage(input_uncached_tokens=176, cache_read_tokens=1024, output_text_tokens=145, reasoning_tokens=200)
HEARD = Usage(
    input_uncached_tokens=100, cache_read_tokens=28, input_audio_tokens=7, output_text_tokens=5, output_audio_tokens=2
)
WRITTEN = Usage(
    input_uncached_tokens=40,
    cache_read_tokens=1024,
    cache_write_5m_tokens=64,
    cache_write_12h_tokens=72,
    output_text_tokens=145,
    reasoning_tokens=200,
)

OPENAI = Cases()
LEFT = Broken("UNSET", "estimated", 9, 0)
CUT = Broken("ERROR", "estimated", 9, 14)
FAILED = Broken("ERROR", "missing")


class Hotel(BaseModel):
    """What a parsing call wants."""

    city: str = ""


def _text(chunks: list[Any]) -> tuple[int, str]:
    return len(chunks), "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@OPENAI.add()
def oai_chat_simple(bench: Bench) -> object:
    with bench.openai() as client:
        answer = client.chat.completions.create(**CHAT)
    return type(answer).__name__, answer.choices[0].message.content, answer.usage


@OPENAI.add()
async def oai_chat_async(bench: Bench) -> object:
    async with bench.openai_async() as client:
        answer = await client.chat.completions.create(**CHAT)
    return type(answer).__name__, answer.choices[0].message.content


@OPENAI.add()
def oai_chat_cached_reasoning(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=RICH), Plan(usage=HEARD))
    with bench.openai() as client:
        return [client.chat.completions.create(**CHAT).usage for _ in range(2)]


@OPENAI.add()
def oai_stream_usage(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=RICH))
    with bench.openai() as client:
        chunks = list(client.chat.completions.create(**ASKED))
    return _text(chunks), chunks[-1].usage


@OPENAI.add()
def oai_stream_no_usage(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=RICH))
    with bench.openai() as client:
        chunks = list(client.chat.completions.create(**STREAM))
    return _text(chunks), [chunk.usage for chunk in chunks]


@OPENAI.add()
async def oai_stream_async_usage(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=RICH))
    async with bench.openai_async() as client:
        return _text([chunk async for chunk in await client.chat.completions.create(**ASKED)])


@OPENAI.add()
def oai_stream_helper(bench: Bench) -> object:
    with bench.openai() as client, client.chat.completions.stream(**CHAT) as stream:
        kinds = [event.type for event in stream]
        return kinds, stream.get_final_completion().choices[0].message.content


@OPENAI.add()
def oai_parse(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=RICH, opening='{"city": "Paris"}'))
    with bench.openai() as client:
        try:
            return client.chat.completions.parse(**CHAT, response_format=Hotel).choices[0].message.parsed
        except ValueError as error:
            return type(error).__name__


@OPENAI.add()
def oai_raw_response(bench: Bench) -> object:
    with bench.openai() as client:
        raw = client.chat.completions.with_raw_response.create(**CHAT)
        return raw.status_code, raw.headers["content-type"], raw.parse().choices[0].message.content


@OPENAI.add()
def oai_raw_response_stream(bench: Bench) -> object:
    with bench.openai() as client:
        raw = client.chat.completions.with_raw_response.create(**STREAM)
        return raw.headers["content-type"], _text(list(raw.parse()))


@OPENAI.add()
def oai_streaming_response(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=RICH))
    with bench.openai() as client, client.chat.completions.with_streaming_response.create(**CHAT) as response:
        return response.parse().choices[0].message.content


@OPENAI.add()
def oai_tool_loop(bench: Bench) -> object:
    messages: list[Any] = list(HELLO)
    called: list[str] = []
    with bench.openai() as client:
        while True:
            answer: Any = client.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS)
            message = answer.choices[0].message
            messages.append(message)
            for call in message.tool_calls or ():
                called.append(call.function.name)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "[]"})
            if not message.tool_calls:
                return called, message.content


@OPENAI.add(FAILED)
def oai_error_429(bench: Bench) -> object:
    bench.provider.plan(Plan(status=429), Plan(status=429))
    with bench.openai(max_retries=1) as client:
        try:
            return client.chat.completions.create(**CHAT)
        except openai.RateLimitError as error:
            return type(error).__name__, error.status_code, error.code


@OPENAI.add()
def oai_retry(bench: Bench) -> object:
    bench.provider.plan(Plan(status=429), Plan(status=500), Plan(usage=RICH))
    with bench.openai() as client:
        return client.chat.completions.create(**CHAT).usage


@OPENAI.add(LEFT)
def oai_stream_early_close(bench: Bench) -> object:
    with bench.openai() as client:
        stream = client.chat.completions.create(**STREAM)
        first = next(stream)
        stream.close()
        return first.choices[0].delta.content, stream.response.is_closed


@OPENAI.add(LEFT)
def oai_stream_with_break(bench: Bench) -> object:
    with bench.openai() as client, client.chat.completions.create(**STREAM) as stream:
        for chunk in stream:
            return chunk.choices[0].delta.content
    return None


@OPENAI.add(LEFT)
def oai_stream_abandon(bench: Bench) -> object:
    with bench.openai() as client:
        stream = client.chat.completions.create(**STREAM)
        first = next(iter(stream)).choices[0].delta.content
        del stream
        gc.collect()
        return first


@OPENAI.add(CUT)
def oai_stream_mid_error(bench: Bench) -> object:
    bench.provider.plan(Plan(cut_after_events=3))
    seen = []
    with bench.openai() as client:
        try:
            seen.extend(client.chat.completions.create(**STREAM))
        except Exception as error:
            return len(seen), type(error).__name__
    return seen


@OPENAI.add(FAILED)
async def oai_async_cancel(bench: Bench) -> object:
    bench.provider.plan(Plan(delay_s=30))
    async with bench.openai_async() as client:
        return await given_up(bench, client.chat.completions.create(**CHAT))


@OPENAI.add(FAILED)
async def oai_async_stream_cancel(bench: Bench) -> object:
    bench.provider.plan(Plan(delay_s=30))
    async with bench.openai_async() as client:
        return await given_up(bench, client.chat.completions.create(**STREAM))


@OPENAI.add()
async def oai_async_stream_ctx(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=RICH))
    async with bench.openai_async() as client, await client.chat.completions.create(**STREAM) as stream:
        return _text([chunk async for chunk in stream])


@OPENAI.add()
def oai_embeddings(bench: Bench) -> object:
    with bench.openai() as client:
        answer = client.embeddings.create(model="text-embedding-3-small", input=["Paris", "hotel"])
    return [item.embedding for item in answer.data]


@OPENAI.add()
def oai_responses(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=WRITTEN))
    with bench.openai() as client:
        answer = client.responses.create(**RESPONSE)
    return type(answer).__name__, answer.output_text


@OPENAI.add()
async def oai_responses_async(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=WRITTEN))
    async with bench.openai_async() as client:
        return (await client.responses.create(**RESPONSE)).output_text


@OPENAI.add()
def oai_responses_stream(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=WRITTEN))
    with bench.openai() as client:
        return [event.type for event in client.responses.create(**RESPONSE, stream=True)]


@OPENAI.add()
def oai_responses_stream_helper(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=WRITTEN))
    with bench.openai() as client, client.responses.stream(**RESPONSE) as stream:
        return [event.type for event in stream], stream.get_final_response().output_text


@OPENAI.add()
def oai_responses_parse(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=WRITTEN))
    with bench.openai() as client:
        try:
            return client.responses.parse(**RESPONSE, text_format=Hotel).output_parsed
        except ValueError as error:
            return type(error).__name__


@OPENAI.add()
def oai_responses_raw(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=WRITTEN))
    with bench.openai() as client:
        raw = client.responses.with_raw_response.create(**RESPONSE)
        return raw.status_code, raw.parse().output_text


@OPENAI.add()
def oai_responses_create_then_retrieve(bench: Bench) -> object:
    bench.provider.plan(Plan(usage=WRITTEN))
    with bench.openai() as client:
        made = client.responses.create(**RESPONSE)
        return client.responses.retrieve(made.id).output_text == made.output_text


@OPENAI.add()
def oai_completions_legacy(bench: Bench) -> object:
    with bench.openai() as client:
        whole = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="The best hotel is")
        parts = list(client.completions.create(model="gpt-3.5-turbo-instruct", prompt="It is", stream=True))
    return whole.choices[0].text, [part.choices[0].text for part in parts]


@OPENAI.add()
def oai_images(bench: Bench) -> object:
    with bench.openai() as client:
        answer = client.images.generate(model="gpt-image-1.5", prompt="A hotel in Paris", n=2)
    return len(answer.data or ())


@OPENAI.add()
def oai_speech(bench: Bench) -> object:
    with bench.openai() as client:
        said = client.audio.speech.create(model="tts-1", voice="alloy", input="Welcome to Paris").content
        with client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="alloy", input="Welcome"
        ) as response:
            return len(said), sum(map(len, response.iter_bytes()))


@OPENAI.add()
def oai_transcribe(bench: Bench) -> object:
    heard = Usage(input_uncached_tokens=5, input_audio_tokens=40, output_text_tokens=9)
    bench.provider.plan(Plan(usage=Usage(units={"seconds": Decimal("2.5")})), Plan(usage=heard))
    file = ("hotel.wav", b"RIFF")
    with bench.openai() as client:
        return [
            client.audio.transcriptions.create(model=model, file=file).text
            for model in ("whisper-1", "gpt-4o-transcribe")
        ]


@OPENAI.add(free=True)
def oai_batches(bench: Bench) -> object:
    with bench.openai() as client:
        batch = client.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h")
        return batch.status, client.moderations.create(input="hello").results[0].flagged

"""The local provider against the real SDKs: what they read is what is on its bill."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam

from spanledger.usage import Usage
from spanledger_cli.demo.plans import PLAN_HEADER, BilledCall, Plan
from spanledger_cli.demo.provider import LocalProvider
from spanledger_cli.demo.tokens import make_text

TOLD = Usage(
    input_uncached_tokens=100,
    cache_read_tokens=28,
    input_audio_tokens=7,
    output_text_tokens=5,
    reasoning_tokens=3,
    output_audio_tokens=2,
)
CLAUDE_TOLD = Usage(
    input_uncached_tokens=11,
    cache_read_tokens=2000,
    cache_write_5m_tokens=300,
    cache_write_1h_tokens=400,
    output_text_tokens=9,
    reasoning_tokens=4,
    units={"web_searches": Decimal(2)},
)
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
CLAUDE_HELLO: list[anthropic.types.MessageParam] = [{"role": "user", "content": "hello"}]


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider(seed=1) as running:
        yield running


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="any") as made:
        yield made


@pytest.fixture
def claude(provider: LocalProvider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.url, api_key="any") as made:
        yield made


def test_chat_reports_the_usage_it_was_told(provider: LocalProvider, client: openai.OpenAI) -> None:
    provider.plan(Plan(usage=TOLD))
    answer = client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert answer.usage is not None
    assert answer.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 135,
        "completion_tokens": 10,
        "total_tokens": 145,
        "prompt_tokens_details": {"cached_tokens": 28, "audio_tokens": 7},
        "completion_tokens_details": {
            "reasoning_tokens": 3,
            "audio_tokens": 2,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    billed = provider.billed
    assert billed == [
        BilledCall(
            answer._request_id or "",
            answer.id,
            "/v1/chat/completions",
            "gpt-4o-2024-08-06",
            TOLD,
            stream=False,
            cut=False,
        )
    ]
    assert len(answer.id) == len("chatcmpl-") + 29


@pytest.mark.parametrize("asked_for", [True, False])
def test_chat_stream_ends_with_usage_only_if_asked(client: openai.OpenAI, asked_for: bool) -> None:
    with client.chat.completions.create(
        model="gpt-4o",
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": asked_for},
        extra_headers={PLAN_HEADER: '{"text_tokens": 30}'},
    ) as stream:
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    usages = [(len(chunk.choices), chunk.usage.completion_tokens) for chunk in chunks if chunk.usage]
    assert text == make_text(30)
    assert usages == ([(0, 30)] if asked_for else [])


def test_response_streams_and_can_be_read_again(provider: LocalProvider, client: openai.OpenAI) -> None:
    with client.responses.stream(
        model="gpt-5.5", input="hello", extra_headers={PLAN_HEADER: '{"reasoning_tokens": 12, "text_tokens": 6}'}
    ) as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_response()
    again = client.responses.retrieve(answer.id)
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert answer.usage == again.usage
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (2, 18)
    assert answer.usage.output_tokens_details.reasoning_tokens == 12
    assert len(provider.billed) == 1, "reading an answer again is not a call"


def test_previous_turns_of_a_response_are_billed_again(client: openai.OpenAI) -> None:
    first = client.responses.create(
        model="gpt-4-turbo", input=make_text(50), extra_headers={PLAN_HEADER: '{"text_tokens": 20}'}
    )
    second = client.responses.create(model="gpt-4-turbo", input=make_text(5), previous_response_id=first.id)
    assert second.usage is not None
    assert second.usage.input_tokens == 50 + 20 + 5


def test_tools_are_called_in_order_and_then_answered(client: openai.OpenAI) -> None:
    names = ["search_hotels", "check_availability"]
    tools: list[ChatCompletionToolUnionParam] = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
        for name in names
    ]
    messages = list(HELLO)
    called: list[str | None] = []
    for _step in range(3):
        message = client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools).choices[0].message
        if not message.tool_calls:
            called.append(message.content)
        for call in message.tool_calls or []:
            assert call.type == "function"
            called.append(call.function.name)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "found"})
    assert called == [*names, make_text(40)]


def test_embeddings_and_legacy_completions_are_billed(provider: LocalProvider, client: openai.OpenAI) -> None:
    embedded = client.embeddings.create(model="text-embedding-3-small", input=[make_text(10), make_text(20)])
    completed = client.completions.create(model="gpt-3.5-turbo-instruct", prompt=make_text(7), max_tokens=9)
    assert len(embedded.data) == 2
    assert embedded.usage.prompt_tokens == 30
    assert completed.usage is not None
    assert (completed.usage.prompt_tokens, completed.usage.completion_tokens) == (7, 9)
    assert completed.choices[0].finish_reason == "length"
    assert [(call.usage.input_tokens, call.usage.output_tokens) for call in provider.billed] == [(30, 0), (7, 9)]


def test_long_openai_prompts_are_cached_by_themselves(client: openai.OpenAI) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": make_text(1500)},
        {"role": "user", "content": "hello"},
    ]
    cached = []
    for _call in range(2):
        usage = client.chat.completions.create(model="gpt-4o", messages=messages).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        cached.append(usage.prompt_tokens_details.cached_tokens)
    assert cached == [0, 1408], "in units of 128"


def test_message_reports_the_usage_it_was_told(provider: LocalProvider, claude: anthropic.Anthropic) -> None:
    provider.plan(Plan(usage=CLAUDE_TOLD))
    answer = claude.messages.create(model="claude-sonnet-5-5", max_tokens=50, messages=CLAUDE_HELLO)
    assert answer.usage.model_dump(exclude_none=True) == {
        "input_tokens": 11,
        "cache_creation_input_tokens": 700,
        "cache_read_input_tokens": 2000,
        "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 400},
        "output_tokens": 13,
        "output_tokens_details": {"thinking_tokens": 4},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        "service_tier": "standard",
        "inference_geo": "global",
    }
    assert [call.usage for call in provider.billed] == [CLAUDE_TOLD]


def test_message_stream_adds_up_to_the_usage_it_was_told(provider: LocalProvider, claude: anthropic.Anthropic) -> None:
    provider.plan(Plan(usage=CLAUDE_TOLD))
    with claude.messages.stream(model="claude-sonnet-5-5", max_tokens=50, messages=CLAUDE_HELLO) as stream:
        kinds = {event.type for event in stream}
        usage = stream.get_final_message().usage
    assert kinds >= {"message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop"}
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (11, 2000, 13)
    assert usage.cache_creation is not None
    assert usage.cache_creation.ephemeral_1h_input_tokens == 400
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 4


def test_anthropic_prompts_are_cached_at_their_breakpoints(claude: anthropic.Anthropic) -> None:
    system: list[anthropic.types.TextBlockParam] = [
        {"type": "text", "text": make_text(2000), "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]
    turn: anthropic.types.TextBlockParam = {
        "type": "text",
        "text": make_text(300),
        "cache_control": {"type": "ephemeral"},
    }
    seen = []
    for message in ([turn], [turn], "hello"):
        usage = claude.messages.create(
            model="claude-sonnet-5-5", max_tokens=50, system=system, messages=[{"role": "user", "content": message}]
        ).usage
        assert usage.cache_creation is not None
        split = usage.cache_creation
        seen.append(
            (
                usage.input_tokens,
                usage.cache_read_input_tokens,
                split.ephemeral_5m_input_tokens,
                split.ephemeral_1h_input_tokens,
            )
        )
    assert seen == [(0, 0, 300, 2000), (0, 2300, 0, 0), (2, 2000, 0, 0)]


def test_counting_tokens_is_not_billed(provider: LocalProvider, claude: anthropic.Anthropic) -> None:
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": make_text(33)}]
    assert claude.messages.count_tokens(model="claude-sonnet-5-5", messages=messages).input_tokens == 33
    assert provider.billed == []


def test_asynchronous_clients_are_served_at_once(provider: LocalProvider) -> None:
    async def ask() -> list[int]:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="any") as client:
            answers = await asyncio.gather(
                *(client.chat.completions.create(model="gpt-4o", messages=HELLO) for _call in range(8))
            )
        async with (
            anthropic.AsyncAnthropic(base_url=provider.url, api_key="any") as claude,
            claude.messages.stream(model="claude-haiku-5-5", max_tokens=9, messages=CLAUDE_HELLO) as stream,
        ):
            last = await stream.get_final_message()
        return [*(answer.usage.prompt_tokens for answer in answers if answer.usage), last.usage.output_tokens]

    assert asyncio.run(ask()) == [2] * 8 + [9]
    assert len({call.response_id for call in provider.billed}) == 9


def test_failed_attempts_are_retried_and_not_billed(provider: LocalProvider, client: openai.OpenAI) -> None:
    provider.plan(Plan(status=429), Plan(status=500))
    answer = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
    assert (answer.retries_taken, provider.requests, len(provider.billed)) == (2, 3, 1)


def test_a_header_can_fail_the_first_attempt_only(provider: LocalProvider, claude: anthropic.Anthropic) -> None:
    answer = claude.messages.with_raw_response.create(
        model="claude-sonnet-5-5",
        max_tokens=9,
        messages=CLAUDE_HELLO,
        extra_headers={PLAN_HEADER: '{"status": 529, "failing_attempts": 1}'},
    )
    assert (answer.retries_taken, len(provider.billed)) == (1, 1)


def test_errors_have_the_shape_that_each_sdk_reads(
    provider: LocalProvider, client: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    provider.plan(Plan(status=429), Plan(status=400))
    with pytest.raises(openai.RateLimitError) as limited:
        client.with_options(max_retries=0).chat.completions.create(model="gpt-4o", messages=HELLO)
    with pytest.raises(anthropic.BadRequestError) as refused:
        claude.messages.create(model="claude-sonnet-5-5", max_tokens=9, messages=CLAUDE_HELLO)
    assert limited.value.code == "rate_limit_exceeded"
    assert refused.value.type == "invalid_request_error"
    assert provider.billed == []


def test_a_cut_stream_raises_and_is_billed(provider: LocalProvider, client: openai.OpenAI) -> None:
    provider.plan(Plan(cut_after_events=3))
    with (
        client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True) as stream,
        pytest.raises(openai.APIConnectionError),
    ):
        list(stream)
    assert [call.cut for call in provider.billed] == [True]


def test_chance_faults_always_leave_a_way_through(provider: LocalProvider) -> None:
    with LocalProvider(seed=3, fault_rate=0.5) as unsteady:
        with openai.OpenAI(base_url=f"{unsteady.url}/v1", api_key="any") as client:
            for _call in range(20):
                client.chat.completions.create(model="gpt-4o", messages=HELLO)
        assert len(unsteady.billed) == 20
        assert unsteady.requests > 20


def test_an_unreadable_request_is_refused(provider: LocalProvider, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="can't read the request"):
        client.chat.completions.create(model="gpt-4o", messages=HELLO, extra_headers={PLAN_HEADER: '{"no": 1}'})
    with pytest.raises(openai.NotFoundError, match="nothing at /v1/models"):
        client.models.list()


def test_the_bill_file_tells_the_same_as_the_bill(tmp_path: Path) -> None:
    path = tmp_path / "bill.jsonl"
    with LocalProvider(seed=1, bill=path) as provider:
        provider.plan(Plan(usage=CLAUDE_TOLD), Plan(usage=TOLD))
        with anthropic.Anthropic(base_url=provider.url, api_key="any") as claude:
            claude.messages.create(model="claude-sonnet-5-5", max_tokens=9, messages=CLAUDE_HELLO)
        with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="any") as client:
            client.chat.completions.create(model="gpt-4o", messages=HELLO)
        lines = path.read_text().splitlines()
        assert [BilledCall.from_json(line) for line in lines] == provider.billed


def test_it_runs_as_a_process_and_says_where() -> None:
    argv = [sys.executable, "-m", "spanledger_cli.demo.provider", "--port", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with openai.OpenAI(base_url=f"{url}/v1", api_key="any") as client:
            assert client.chat.completions.create(model="gpt-4o", messages=HELLO).usage is not None
        process.terminate()
        assert process.wait(60) in (0, -15)

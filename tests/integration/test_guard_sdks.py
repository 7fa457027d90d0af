"""A policy in front of Gemini, Bedrock and live connections: refused before a byte is sent, else settled as billed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import openai
import pytest
from botocore.exceptions import ClientError
from google.genai import Client, errors, types

from guarded import accounts, gate, write_policy
from live_server import LiveServer
from spanledger.errors import BudgetExceeded
from spanledger.guard.store import NANO
from spanledger_cli.demo.provider import LocalProvider
from tracing import Traced, switched_on
from waiting import wait_until

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*unclosed <socket:ResourceWarning",
    "ignore:.*<socket:pytest.PytestUnraisableExceptionWarning",
    "ignore:connect\\(\\) must be used:DeprecationWarning",
)
POLICY = '[[budget]]\nname = "all"\nper = "total"\nusd = 5\n'
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
GEMINI: Any = {"model": "gemini-2.5-flash", "contents": "Where is the best hotel in Paris?"}
CONVERSE: Any = {"modelId": CLAUDE, "messages": [{"role": "user", "content": [{"text": "Where?"}]}]}
INVOKE: Any = {
    "modelId": CLAUDE,
    "body": '{"anthropic_version": "bedrock-2023-05-31", "max_tokens": 20, "messages":'
    ' [{"role": "user", "content": "Where?"}]}',
}


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    write_policy(monkeypatch, tmp_path, POLICY)
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        yield traced


def _spend_all() -> None:
    store = gate().store
    assert store is not None
    store.set_spent("budget/all/everything/total", 5 * NANO, 0, "usd")


def _gemini(provider: LocalProvider) -> Client:
    return Client(api_key="none", http_options=types.HttpOptions(base_url=provider.url))


def _bedrock(provider: LocalProvider) -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=provider.url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )


def _gemini_stream(provider: LocalProvider) -> object:
    with _gemini(provider) as client:
        return list(client.models.generate_content_stream(**GEMINI))


def _gemini_plain(provider: LocalProvider) -> object:
    with _gemini(provider) as client:
        return client.models.generate_content(**GEMINI)


def _gemini_async(provider: LocalProvider) -> object:
    async def ask() -> object:
        client = _gemini(provider)
        try:
            return await client.aio.models.generate_content(**GEMINI)
        finally:
            await client.aio.aclose()

    return asyncio.run(ask())


def _gemini_async_stream(provider: LocalProvider) -> object:
    async def ask() -> object:
        client = _gemini(provider)
        try:
            return [event async for event in await client.aio.models.generate_content_stream(**GEMINI)]
        finally:
            await client.aio.aclose()

    return asyncio.run(ask())


def _converse(provider: LocalProvider) -> object:
    return _bedrock(provider).converse(**CONVERSE)


def _converse_stream(provider: LocalProvider) -> object:
    return list(_bedrock(provider).converse_stream(**CONVERSE)["stream"])


def _invoke(provider: LocalProvider) -> object:
    return _bedrock(provider).invoke_model(**INVOKE)["body"].read()


def _invoke_stream(provider: LocalProvider) -> object:
    return list(_bedrock(provider).invoke_model_with_response_stream(**INVOKE)["body"])


WAYS: list[tuple[Callable[[LocalProvider], object], type[Exception]]] = [
    (_gemini_plain, errors.ClientError),
    (_gemini_stream, errors.ClientError),
    (_gemini_async, errors.ClientError),
    (_gemini_async_stream, errors.ClientError),
    (_converse, ClientError),
    (_converse_stream, ClientError),
    (_invoke, ClientError),
    (_invoke_stream, ClientError),
]


@pytest.mark.parametrize(("way", "kind"), WAYS, ids=lambda value: value.__name__)
def test_a_call_is_settled_as_it_is_priced_and_refused_when_nothing_is_left(
    traced: Traced, provider: LocalProvider, way: Callable[[LocalProvider], object], kind: type[Exception]
) -> None:
    way(provider)
    (span,) = traced.spans()
    wait_until(lambda: not any(one.held for one in accounts()), what="settling of the call")
    assert not gate().live
    assert [(one.spent, one.held) for one in accounts()] == [
        (-(-span["attributes"]["spanledger.cost.pico_usd"] // 1000), 0)
    ]

    _spend_all()
    with pytest.raises(kind) as refused:
        way(provider)

    assert isinstance(refused.value, BudgetExceeded)
    assert "The budget 'all' (everything) has $5.00 in all: $5.00 spent" in str(refused.value)
    assert provider.requests == 1
    assert [one["attributes"]["spanledger.guard.action"] for one in traced.spans()] == ["allow", "block"]


def test_a_response_is_not_asked_for_over_a_live_connection_when_nothing_is_left(traced: Traced) -> None:
    _spend_all()
    session = {"type": "session.created", "event_id": "e1", "session": {"type": "realtime", "model": "gpt-realtime"}}
    with LiveServer(greeting=[session], script={}) as server:
        client = openai.OpenAI(base_url=server.url, websocket_base_url=server.url.replace("http", "ws"), api_key="none")
        with client.realtime.connect(model="gpt-realtime") as connection:
            connection.recv()
            with pytest.raises(openai.RateLimitError):
                connection.response.create()
        assert server.received == []
        client.close()

"""The attempts behind a call: one event each where there were several, none where the first went well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from spanledger.attempts import billed
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, Traced, switched_on

CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES}
MESSAGE: Any = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": MESSAGES}


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


def _attempts(span: dict[str, Any]) -> list[dict[str, Any]]:
    """The events without what differs from run to run; a request id is shown as whether it is there."""
    shown = []
    for event in span["events"]:
        assert event["name"] == "spanledger.attempt"
        known = {key.removeprefix("spanledger.attempt."): value for key, value in event["attributes"].items()}
        assert known.pop("duration") > 0
        if "request_id" in known:
            known["request_id"] = known["request_id"].startswith("req_")
        shown.append(known)
    return shown


REFUSED = {"http.response.status_code": 429, "billed": "no", "request_id": True, "retry_after": "0"}
BROKEN = {"http.response.status_code": 500, "billed": "no", "request_id": True, "retry_after": "0"}
RETRIED = [{"number": 1, **REFUSED}, {"number": 2, **BROKEN}, {"number": 3, "billed": "yes"}]


def test_retries_of_openai_are_events_of_the_one_span(traced: Traced, provider: LocalProvider) -> None:
    provider.plan(Plan(status=429), Plan(status=500))
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        client.chat.completions.create(**CHAT)

    span = traced.span()
    assert _attempts(span) == RETRIED
    assert span["attributes"]["spanledger.attempts"] == 3


def test_retries_of_anthropic_are_events_of_the_one_span(traced: Traced, provider: LocalProvider) -> None:
    async def retried() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="none") as client:
            await client.messages.create(**MESSAGE)

    provider.plan(Plan(status=429), Plan(status=500))
    asyncio.run(retried())

    assert _attempts(traced.span()) == RETRIED


def test_a_call_that_goes_well_at_once_has_no_events(traced: Traced, provider: LocalProvider) -> None:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        client.chat.completions.create(**CHAT)

    assert traced.span()["events"] == []


def test_a_call_that_fails_describes_its_only_attempt(traced: Traced, provider: LocalProvider) -> None:
    provider.plan(Plan(status=429))
    client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none", max_retries=0)
    with client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**CHAT)

    assert _attempts(traced.span()) == [{"number": 1, **REFUSED}]


@pytest.mark.parametrize("kind", [httpx2.ConnectError, httpx2.ReadTimeout])
def test_what_never_reached_the_provider_is_not_billed(traced: Traced, kind: type[httpx2.TransportError]) -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise kind("no answer")

    http_client = httpx2.Client(transport=httpx2.MockTransport(refuse))
    client = anthropic.Anthropic(api_key="none", http_client=http_client, max_retries=1)
    with client, pytest.raises(anthropic.APIConnectionError):
        client.messages.create(**MESSAGE)

    word = "no" if kind is httpx2.ConnectError else "unknown"
    assert [attempt["billed"] for attempt in _attempts(traced.span())] == [word, word]


@pytest.mark.parametrize(
    ("provider", "status", "word"),
    [("openai", 400, "no"), ("azure.ai.openai", 400, "unknown"), ("openai", 504, "unknown"), ("openai", 529, "no")],
)
def test_a_refusal_costs_nothing_unless_the_provider_says_otherwise(provider: str, status: int, word: str) -> None:
    assert billed(provider, status, None) == word

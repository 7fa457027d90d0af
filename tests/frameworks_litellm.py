"""LiteLLM on top: one call is one charge with the provider's own counts, by whichever way LiteLLM sends it.

Run by `tools/frameworks.py` in an environment of its own: LiteLLM wants other versions than the rest of the tests.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network
os.environ["HF_HUB_OFFLINE"] = "1"

import spanledger
from canned_server import CannedServer, Status
from guarded import accounts, gate, write_policy
from matrix_cases import usage_of
from spanledger import call
from spanledger.guard.store import NANO
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, Traced, switched_on
from waiting import wait_until

USAGE = Usage.from_totals(1200, 345, cache_read_tokens=1024)
ROUTES: dict[str, tuple[str, dict[str, str]]] = {
    "openai": ("openai/gpt-4o", {"api_base": "{url}/v1"}),
    "anthropic": ("anthropic/claude-haiku-4-5", {"api_base": "{url}"}),
    "gcp.gemini": ("gemini/gemini-2.5-flash", {"api_base": "{url}/v1beta/models/gemini-2.5-flash"}),
    "aws.bedrock": (
        "bedrock/converse/anthropic.claude-haiku-4-5-20251001-v1:0",
        {
            "aws_bedrock_runtime_endpoint": "{url}",
            "aws_access_key_id": "a",
            "aws_secret_access_key": "b",
            "aws_region_name": "us-east-1",
        },
    ),
    "groq": ("groq/llama-3.3-70b-versatile", {"api_base": "{url}/v1"}),
    "openrouter": ("openrouter/openai/gpt-4o", {"api_base": "{url}/v1"}),
}


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


def whole(litellm: Any, asked: dict[str, Any]) -> object:
    return litellm.completion(**asked).choices[0].message.content


def streamed(litellm: Any, asked: dict[str, Any]) -> object:
    return [chunk.choices[0].delta.content for chunk in litellm.completion(**asked, stream=True) if chunk.choices]


def whole_async(litellm: Any, asked: dict[str, Any]) -> object:
    async def call() -> object:
        return (await litellm.acompletion(**asked)).choices[0].message.content

    return asyncio.run(call())


def streamed_async(litellm: Any, asked: dict[str, Any]) -> object:
    async def call() -> object:
        chunks = await litellm.acompletion(**asked, stream=True)
        return [chunk.choices[0].delta.content async for chunk in chunks if chunk.choices]

    return asyncio.run(call())


WAYS: list[Callable[[Any, dict[str, Any]], object]] = [whole, streamed, whole_async, streamed_async]


def asking(route: str, provider: LocalProvider) -> dict[str, Any]:
    model, options = ROUTES[route]
    given = {name: value.format(url=provider.url) for name, value in options.items()}
    return {"model": model, "messages": MESSAGES, "api_key": "none", "max_tokens": 500, **given}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("route", ROUTES)
def test_one_call_is_one_charge(route: str, way: Any, traced: Traced, provider: LocalProvider) -> None:
    import litellm

    provider.plan(Plan(usage=USAGE))
    with spanledger.tags(user_id="u-1", feature="search"):
        assert way(litellm, asking(route, provider))
    assert call.open_streams() == 0

    span = traced.span()
    attributes = span["attributes"]
    assert [usage_of(span)] == [billed.usage for billed in provider.billed]
    assert attributes["spanledger.usage.state"] == "reported"
    assert (attributes["gen_ai.provider.name"], attributes["user.id"], attributes["feature.id"]) == (
        route,
        "u-1",
        "search",
    )
    assert span["status"] == "UNSET"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_routed_call_is_sent_to_the_model_that_its_span_names(
    way: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    import litellm

    write_policy(
        monkeypatch,
        tmp_path,
        """
        [[route]]
        name = "all"
        mode = "percentage"
        percent = 100
        to = { groq = "llama-3.1-8b-instant" }
        supports = ["max_tokens"]
        """,
    )
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        assert way(litellm, asking("groq", provider))
        attributes = traced.span()["attributes"]

    assert [billed.model for billed in provider.billed] == ["llama-3.1-8b-instant"]
    assert attributes["gen_ai.request.model"] == "llama-3.1-8b-instant"
    assert attributes["spanledger.routed_from"] == "llama-3.3-70b-versatile"


CHEAPER = {"anthropic": "claude-haiku-4-5", "gcp.gemini": "gemini-2.5-flash-lite"}
DEARER = {
    "anthropic": ("anthropic/claude-sonnet-4-5", {"api_base": "{url}"}),
    "gcp.gemini": ("gemini/gemini-2.5-flash", {"api_base": "{url}/v1beta"}),
}


def degrading(route: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """Return a policy that has a cheaper model stand in, and what LiteLLM is asked."""
    model, options = DEARER[route]
    dearer = model.partition("/")[2]
    policy = f"""
    [[budget]]
    name = "all"
    per = "day"
    usd = "0.1"
    at = {{ "0.1%" = "degrade" }}

    [[degrade]]
    model = "{dearer}"
    to = "{CHEAPER[route]}"
    drop = ["temperature"]
    """
    return policy, {"model": model, "messages": MESSAGES, "api_key": "none", "max_tokens": 500, **options, **more}


def placed(asked: dict[str, Any], url: str) -> dict[str, Any]:
    return {**asked, "api_base": asked["api_base"].format(url=url)}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("route", DEARER)
def test_a_cheaper_model_stands_in_where_litellm_speaks_a_providers_own_protocol(
    route: str, way: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    import litellm

    policy, asked = degrading(route, temperature=0.5)
    write_policy(monkeypatch, tmp_path, policy)
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        assert way(litellm, placed(asked, provider.url))
        attributes = traced.span()["attributes"]

    assert [billed.model.partition("-2025")[0] for billed in provider.billed] == [CHEAPER[route]]
    assert attributes["gen_ai.request.model"] == CHEAPER[route]
    assert attributes["spanledger.routed_from"] == asked["model"].partition("/")[2]
    assert attributes["spanledger.guard.action"] == "degrade"
    assert attributes["spanledger.avoided.pico_usd"] > 0


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("route", DEARER)
def test_a_provider_that_refuses_the_model_that_stands_in_gets_litellms_request(
    route: str, way: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    import litellm

    policy, asked = degrading(route, temperature=0.5)
    write_policy(monkeypatch, tmp_path, policy)
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        provider.plan(Plan(status=404), Plan(usage=USAGE))
        assert way(litellm, placed(asked, provider.url))
        attributes = traced.span()["attributes"]

    named = asked["model"].partition("/")[2]
    assert [provider.requests, *(billed.model.partition("-2025")[0] for billed in provider.billed)] == [2, named]
    assert attributes["gen_ai.request.model"] == named
    assert "spanledger.routed_from" not in attributes
    assert "the provider refused the request for it" in attributes["spanledger.guard.decisions"]


ANSWERS: dict[str, Any] = {
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "In Paris."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5},
    },
    "gcp.gemini": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "In Paris."}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
    },
}
PATHS = {"anthropic": "/v1/messages", "gcp.gemini": "/v1beta/models/gemini-2.5-flash:generateContent"}


@pytest.mark.parametrize("route", DEARER)
def test_what_is_dropped_is_left_out_for_the_model_that_stands_in_alone(
    route: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import litellm

    policy, asked = degrading(route, temperature=0.5)
    refuses = [Status(404)] if route == "anthropic" else []  # the other model's path is not there at all
    with CannedServer() as server:
        server.on("POST", PATHS[route], ANSWERS[route])
        whole(litellm, placed(asked, server.url))
        server.on("POST", PATHS[route], *refuses, ANSWERS[route])
        write_policy(monkeypatch, tmp_path, policy)
        with switched_on(monkeypatch, tmp_path / "home"):
            whole(litellm, placed(asked, server.url))
        alone, instead, after = server.seen

    assert after == alone
    told = json.dumps(alone).replace(asked["model"].partition("/")[2], CHEAPER[route])
    assert json.dumps(instead) == told.replace(', "temperature": 0.5', "").replace('"temperature": 0.5, ', "")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_litellm_signs_is_left_alone(
    way: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    import litellm

    asked = asking("aws.bedrock", provider)
    model = asked["model"].rpartition("/")[2]
    policy = f"""
    [[budget]]
    name = "all"
    per = "day"
    usd = "0.1"
    at = {{ "0.1%" = "degrade" }}

    [[degrade]]
    model = "{model}"
    to = "amazon.nova-lite-v1:0"
    supports = ["text"]
    """
    write_policy(monkeypatch, tmp_path, policy)
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        assert way(litellm, asked)
        attributes = traced.span()["attributes"]

    assert [billed.model for billed in provider.billed] == [model]
    assert "degrade skipped: LiteLLM has signed it" in attributes["spanledger.guard.decisions"]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("route", ["anthropic", "groq"])
def test_application_gets_what_it_gets_without_us(
    route: str, way: Any, provider: LocalProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import litellm

    with LocalProvider(seed=3) as one, LocalProvider(seed=3) as other:
        alone = way(litellm, asking(route, one))
        with switched_on(monkeypatch, tmp_path):
            assert way(litellm, asking(route, other)) == alone


@pytest.mark.parametrize("route", ["openai", "anthropic", "groq", "aws.bedrock"])
def test_a_failed_call_is_a_span_with_its_status(route: str, traced: Traced, provider: LocalProvider) -> None:
    import litellm

    provider.plan(Plan(status=429))
    with pytest.raises(litellm.exceptions.RateLimitError):
        litellm.completion(**asking(route, provider), max_retries=0, num_retries=0)
    span = traced.span()
    assert (span["status"], span["attributes"]["http.response.status_code"]) == ("ERROR", 429)
    assert "gen_ai.usage.input_tokens" not in span["attributes"]


def test_a_request_that_has_nothing_to_do_with_models_is_no_call(traced: Traced, provider: LocalProvider) -> None:
    from litellm.llms.custom_httpx.http_handler import HTTPHandler, MaskedHTTPStatusError

    with pytest.raises(MaskedHTTPStatusError):
        HTTPHandler().post(url=f"{provider.url}/api/public/ingestion", json={"model": "gpt-4o"})
    assert traced.spans() == []


@pytest.mark.parametrize("model", ["anthropic/claude-haiku-4-5", "openai/gpt-4o"])
def test_anthropic_messages_is_one_charge(model: str, traced: Traced, provider: LocalProvider) -> None:
    import litellm

    base = provider.url if model.startswith("anthropic") else f"{provider.url}/v1"
    asyncio.run(
        litellm.anthropic_messages(model=model, messages=MESSAGES, max_tokens=50, api_base=base, api_key="none")
    )
    assert [usage_of(span) for span in traced.spans()] == [billed.usage for billed in provider.billed]


def test_responses_and_embeddings_are_one_charge_each(traced: Traced, provider: LocalProvider) -> None:
    import litellm

    place = {"api_base": f"{provider.url}/v1", "api_key": "none"}
    litellm.responses(model="openai/gpt-5.4", input="Hello", **place)
    litellm.embedding(model="openai/text-embedding-3-small", input=["Hello"], **place)
    assert [usage_of(span) for span in traced.spans()] == [billed.usage for billed in provider.billed]
    assert len(provider.billed) == 2


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("route", ROUTES)
def test_what_the_policy_refuses_is_its_rate_limit_error_and_is_never_sent(
    route: str, way: Any, provider: LocalProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import litellm

    write_policy(monkeypatch, tmp_path, '[[budget]]\nname = "all"\nper = "total"\nusd = 5\n')
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        assert way(litellm, asking(route, provider))
        wait_until(lambda: not gate().live, what="settling of the call")
        assert [(one.spent > 0, one.held) for one in accounts()] == [(True, 0)]
        store = gate().store
        assert store is not None
        store.set_spent("budget/all/everything/total", 5 * NANO, 0, "usd")
        # Of Gemini's streams LiteLLM tells a provider's own 429 as broken in the middle, too.
        errors = litellm.exceptions.RateLimitError, litellm.exceptions.MidStreamFallbackError
        with pytest.raises(errors, match="The budget 'all'"):
            way(litellm, asking(route, provider))
        actions = [span["attributes"]["spanledger.guard.action"] for span in traced.spans()]

    assert provider.requests == 1
    assert actions[0] == "allow"
    assert set(actions[1:]) == {"block"}

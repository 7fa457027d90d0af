"""LangChain, pydantic-ai and the OpenAI Agents SDK on top of the SDKs: one call stays one charge, with its tags.

Run by `tools/frameworks.py` in an environment of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import spanledger
from matrix_cases import usage_of
from spanledger_cli.demo.provider import LocalProvider
from tracing import Traced, switched_on


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


def _langchain(url: str, which: str) -> Any:
    if which == "openai":
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model="gpt-4o", base_url=f"{url}/v1", api_key="none", max_retries=0)
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(model="claude-haiku-4-5", base_url=url, api_key="none", max_retries=0)


async def _consumed(events: Any) -> object:
    return [event async for event in events]


def langchain_openai(url: str) -> object:
    return _langchain(url, "openai").invoke("Hello")


def langchain_openai_async(url: str) -> object:
    return asyncio.run(_langchain(url, "openai").ainvoke("Hello"))


def langchain_openai_stream(url: str) -> object:
    return list(_langchain(url, "openai").stream("Hello"))


def langchain_openai_stream_async(url: str) -> object:
    return asyncio.run(_consumed(_langchain(url, "openai").astream("Hello")))


def langchain_anthropic(url: str) -> object:
    return _langchain(url, "anthropic").invoke("Hello")


def langchain_anthropic_stream(url: str) -> object:
    return list(_langchain(url, "anthropic").stream("Hello"))


def pydantic_ai(url: str) -> object:
    return _pydantic_agent(url).run_sync("Hello").output


def pydantic_ai_stream(url: str) -> object:
    async def call() -> object:
        async with _pydantic_agent(url).run_stream("Hello") as run:
            return [text async for text in run.stream_text()]

    return asyncio.run(call())


def _pydantic_agent(url: str) -> Any:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("gpt-4o", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="none"))
    return Agent(model)


def openai_agents(url: str) -> object:
    import agents

    agent, config = _agent(url)
    return agents.Runner.run_sync(agent, "Hello", run_config=config).final_output


def openai_agents_stream(url: str) -> object:
    import agents

    async def call() -> object:
        agent, config = _agent(url)
        return await _consumed(agents.Runner.run_streamed(agent, "Hello", run_config=config).stream_events())

    return asyncio.run(call())


def _agent(url: str) -> tuple[Any, Any]:
    import agents
    import openai

    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none")
    model = agents.OpenAIResponsesModel("gpt-5.4", client)
    return agents.Agent(name="helper", model=model), agents.RunConfig(tracing_disabled=True)


WAYS: list[Callable[[str], object]] = [
    langchain_openai,
    langchain_openai_async,
    langchain_openai_stream,
    langchain_openai_stream_async,
    langchain_anthropic,
    langchain_anthropic_stream,
    pydantic_ai,
    pydantic_ai_stream,
    openai_agents,
    openai_agents_stream,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_one_call_is_one_charge(way: Callable[[str], object], traced: Traced, provider: LocalProvider) -> None:
    with spanledger.tags(user_id="u-1", feature="search"):
        assert way(provider.url)
    span = traced.span()
    assert [usage_of(span)] == [billed.usage for billed in provider.billed]
    said = [span["attributes"].get(name) for name in ("spanledger.usage.state", "user.id", "feature.id")]
    assert said == ["reported", "u-1", "search"]

"""Every way to call an SDK whose answers are kept: what comes from the cache is what came from the provider."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic

import spanledger
from answer_cache import KEEP_ALL, Cached, cached_by
from cached_ways import CLAUDE, CLAUDE_ASYNC, MESSAGE, OPENAI, OPENAI_ASYNC
from spanledger_cli.demo.provider import LocalProvider


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalProvider]:
    with LocalProvider(seed=7) as running:
        yield running


@pytest.fixture(scope="module")
def all_cached(provider: LocalProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cached]:
    """One process for many tests, each of which has a namespace of its own."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as monkeypatch, cached_by(monkeypatch, home, provider, KEEP_ALL) as running:
        yield running


@pytest.mark.parametrize("way", [*OPENAI, *CLAUDE])
def test_an_answer_from_the_cache_is_the_providers(way: str, all_cached: Cached) -> None:
    bench = all_cached.bench
    with bench.openai() as openai, bench.claude() as claude, spanledger.tags(team_id=way):
        ask: Any = OPENAI[way] if way in OPENAI else CLAUDE[way]
        client: Any = openai if way in OPENAI else claude
        before = all_cached.provider.requests
        first = ask(client)
        made = all_cached.provider.requests
        assert made > before
        assert ask(client) == first
        assert all_cached.provider.requests == made


@pytest.mark.parametrize("way", [*OPENAI_ASYNC, *CLAUDE_ASYNC])
def test_an_answer_from_the_cache_is_the_providers_to_a_task(way: str, all_cached: Cached) -> None:
    async def run() -> None:
        bench = all_cached.bench
        async with bench.openai_async() as openai, bench.claude_async() as claude:
            ask: Any = OPENAI_ASYNC[way] if way in OPENAI_ASYNC else CLAUDE_ASYNC[way]
            client: Any = openai if way in OPENAI_ASYNC else claude
            before = all_cached.provider.requests
            first = await ask(client)
            made = all_cached.provider.requests
            assert made > before
            assert await ask(client) == first
            assert all_cached.provider.requests == made

    with spanledger.tags(team_id=way):
        asyncio.run(run())


def test_betas_of_anthropic_decide_the_answer(all_cached: Cached) -> None:
    with all_cached.bench.claude() as client, spanledger.tags(team_id="betas"):

        def ask(*betas: str) -> int:
            return all_cached.requests(lambda: client.beta.messages.create(**MESSAGE, betas=list(betas)))

        assert [ask("one"), ask("one"), ask("two")] == [1, 0, 1]


if "middleware" in inspect.signature(Anthropic).parameters:  # the oldest SDK has none

    def test_a_client_with_middleware_of_its_own_is_left_alone(all_cached: Cached) -> None:
        def middleware(request: Any, call_next: Any) -> Any:
            return call_next(request)

        with Anthropic(base_url=all_cached.provider.url, api_key="none", middleware=[middleware]) as client:
            assert [all_cached.requests(lambda: client.messages.create(**MESSAGE)) for _ in range(2)] == [1, 1]

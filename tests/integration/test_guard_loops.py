"""What the application's event loop and its pool are used for: neither waits for a store, nor is the pool needed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

from answer_cache import KEEP
from cached_ways import CHAT
from redis_server import RedisServer, serving
from spanledger_cli.demo.provider import LocalProvider
from tracing import switched_on

BUDGET = '[[budget]]\nname = "b"\nper = "day"\nusd = 10\n'
ALIKE = 'semantic = { embedder = "spanledger.guard.cache.ngrams:embed", threshold = 0.9, serve = true }\n'


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with serving(tmp_path) as server:
        yield server


@pytest.mark.parametrize("rule", [BUDGET, KEEP, KEEP + ALIKE], ids=["budget", "cache", "alike"])
def test_a_tool_in_the_loops_own_pool_can_ask_a_model_through_the_loop(
    rule: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis: RedisServer
) -> None:
    """With one thread in that pool, which the tool has, nobody else can need one."""
    for module in ("redis_store", "cache.redis_answers"):  # a busy machine is no store that is away
        monkeypatch.setattr(f"spanledger.guard.{module}.TIMEOUT_S", 30.0)
    store = "" if "semantic" in rule else f'store = "{redis.url}"\n'
    (tmp_path / "policy.toml").write_text(store + rule)

    async def main() -> str:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:

            async def ask(text: str) -> str:
                answer = await client.chat.completions.create(
                    **{**CHAT, "messages": [{"role": "user", "content": text}]}
                )
                return str(answer.model)

            def tool() -> str:
                return asyncio.run_coroutine_threadsafe(ask("A hotel in Rome?"), loop).result()

            await ask("A hotel in Paris?")  # the SDK's first call looks at the platform, in that pool
            return await asyncio.wait_for(asyncio.to_thread(tool), 60)

    with LocalProvider() as provider, switched_on(monkeypatch, tmp_path):
        assert asyncio.run(main()).startswith("gpt-4o")

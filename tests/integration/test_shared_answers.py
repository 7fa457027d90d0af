"""Answers that hosts share: in a Redis, under a key that they share, too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from answer_cache import FILE, KEEP, cached_by
from cached_ways import CHAT
from matrix_cases import Bench
from redis_server import serving
from spanledger.guard import redis_store
from spanledger.guard.cache.redis_answers import RedisAnswers
from spanledger_cli.demo.provider import LocalProvider


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a Redis waited for that is slow to answer, as all is on a machine with much to do."""
    monkeypatch.setattr(redis_store, "TIMEOUT_S", 30.0)
    before = RedisAnswers.__init__.__kwdefaults__ or {}
    monkeypatch.setattr(RedisAnswers.__init__, "__kwdefaults__", {**before, "timeout_s": 30.0})


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider(seed=7) as running:
        yield running


def test_hosts_with_one_key_share_answers_in_a_redis(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    key = tmp_path / "key"
    key.write_text("7" * 64)
    monkeypatch.setenv("SPANLEDGER_FEATURES_KEY_FILE", str(key))
    made = []
    with serving(tmp_path) as redis:
        policy = f'store = "{redis.url}"\n{KEEP}'
        for host in ("one", "two"):
            (tmp_path / host).mkdir()
            with cached_by(monkeypatch, tmp_path / host, provider, policy) as cached, cached.openai() as client:
                made.append(cached.chat(client))
            assert not (tmp_path / host / FILE).exists()
        monkeypatch.setenv("SPANLEDGER_FEATURES_KEY_FILE", "")
        with cached_by(monkeypatch, tmp_path / "two", provider, policy) as cached, cached.openai() as client:
            made.append(cached.chat(client))
            redis.stop()
        with (
            cached_by(monkeypatch, tmp_path / "two", provider, policy, faultless=False) as cached,
            cached.openai() as client,
        ):
            made.append(cached.chat(client))
    assert made == [1, 0, 1, 1]


def test_tasks_share_what_a_redis_keeps_and_one_call_of_many(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    async def run(bench: Bench) -> set[str]:
        async with bench.openai_async() as client:
            asked = [client.chat.completions.create(**CHAT) for _ in range(20)]
            return {
                answer.id for answer in [*await asyncio.gather(*asked), await client.chat.completions.create(**CHAT)]
            }

    with (
        serving(tmp_path) as redis,
        cached_by(monkeypatch, tmp_path, provider, f'store = "{redis.url}"\n{KEEP}') as cached,
    ):
        assert len(asyncio.run(run(cached.bench))) == 1
        assert provider.requests == 1

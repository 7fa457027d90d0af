"""Many callers at once: no call is lost, no tag crosses over, and nothing grows.

The short form makes 2,560 calls; with SPANLEDGER_PROVE set, 10,240.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

import spanledger
from in_memory import answer_chat, answer_chat_async
from spanledger import call, names
from tracing import MESSAGES, Traced, switched_on

CALLERS = 64
PROVING = bool(os.environ.get("SPANLEDGER_PROVE"))
EACH = 80 if PROVING else 20
"""Calls of every thread, and again of every task."""
MORE = 2 * CALLERS * EACH if PROVING else 800
"""Calls after which memory is looked at."""


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    transport = httpx2.MockTransport(answer_chat)
    with openai.OpenAI(api_key="none", http_client=httpx2.Client(transport=transport)) as client:
        yield client


def _request(caller: str, number: int) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": MESSAGES, "user": f"{caller}/{number}"}


def _from_threads(client: openai.OpenAI) -> None:
    def work(caller: str) -> None:
        for number in range(EACH):
            with spanledger.tags(user_id=caller, feature=f"{caller}/{number}"):
                client.chat.completions.create(**_request(caller, number))

    threads = [threading.Thread(target=work, args=(f"thread-{number}",)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def _from_tasks() -> None:
    transport = httpx2.MockTransport(answer_chat_async)
    http_client = httpx2.AsyncClient(transport=transport)

    async def work(client: openai.AsyncOpenAI, caller: str) -> None:
        for number in range(EACH):
            with spanledger.tags(user_id=caller, feature=f"{caller}/{number}"):
                await client.chat.completions.create(**_request(caller, number))
                await asyncio.sleep(0)  # another task's turn

    async with openai.AsyncOpenAI(api_key="none", http_client=http_client) as client:
        await asyncio.gather(*(work(client, f"task-{number}") for number in range(CALLERS)))


def test_no_call_is_lost_and_no_tag_crosses_over(traced: Traced, client: openai.OpenAI) -> None:
    _from_threads(client)
    asyncio.run(_from_tasks())

    seen = sorted(
        (known[names.RESPONSE_ID], known[names.USER_ID], known[names.FEATURE], known[names.COST_PICO_USD])
        for known in (span["attributes"] for span in traced.spans())
    )
    assert seen == sorted(
        (f"chatcmpl-{kind}-{caller}/{number}", f"{kind}-{caller}", f"{kind}-{caller}/{number}", 70_000_000)
        for kind in ("thread", "task")
        for caller in range(CALLERS)
        for number in range(EACH)
    )
    print(f"evidence: {json.dumps({'calls': len(seen), 'callers': 2 * CALLERS, 'lost': 0, 'tags crossed': 0})}")


def test_memory_does_not_grow_with_the_number_of_calls(traced: Traced, client: openai.OpenAI) -> None:
    ours = tracemalloc.Filter(True, f"{Path(spanledger.__file__).parent}/*")

    def held() -> int:
        """Bytes that our code has allocated and holds."""
        assert spanledger.flush(20)
        traced.sink.received.clear()
        gc.collect()
        kept = tracemalloc.take_snapshot().filter_traces([ours]).statistics("filename")
        return sum(statistic.size for statistic in kept)

    tracemalloc.start()
    try:
        for number in range(200):
            client.chat.completions.create(**_request("warm", number))
        before = held()
        for number in range(MORE):
            client.chat.completions.create(**_request("more", number))
        after = held()
    finally:
        tracemalloc.stop()

    print(f"evidence: {json.dumps({'calls after warm-up': MORE, 'bytes more held': after - before})}")
    # The smallest object there is, held once a call, would be more than this.
    assert after - before < MORE * 16, f"{after - before} bytes more are held"
    assert call.open_streams() == 0

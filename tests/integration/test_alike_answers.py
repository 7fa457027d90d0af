"""Questions that are worded otherwise, in front of the real SDKs: what is told in shadow, and what is given."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import spanledger
from answer_cache import KEEP, cached_by
from cached_ways import CHAT
from matrix_cases import Bench
from spanledger import names
from spanledger_cli.demo.provider import LocalProvider


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalProvider]:
    with LocalProvider(seed=7) as running:
        yield running


ALIKE = 'semantic = { embedder = "spanledger.guard.cache.ngrams:embed", threshold = 0.8%s }\n'
QUESTION = "How do I reset the password of my account?"
SAME = "Please, how do I reset the password of my account?"
OTHER = "How do I reset the password of my account in 3 days?"


def _asking(text: str) -> Any:
    return {"messages": [{"role": "user", "content": text}]}


def _sentences(spans: list[dict[str, Any]]) -> list[list[str]]:
    listed = [json.loads(span["attributes"].get(names.GUARD_DECISIONS, "[]")) for span in spans]
    assert {(one["rule"], one["kind"]) for ones in listed for one in ones} == {("hotels", "cache")}
    return [[one["sentence"] for one in ones] for ones in listed]


def test_a_question_that_means_nearly_the_same_is_made_and_told_in_shadow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    with (
        cached_by(monkeypatch, tmp_path, provider, KEEP + ALIKE % "") as cached,
        cached.openai() as client,
    ):
        made = [cached.chat(client, **_asking(text)) for text in (QUESTION, SAME, OTHER, SAME)]
        first, same, other, again = cached.traced.spans()
    assert made == [1, 1, 1, 0]
    alike = r"hotels has the answer of a question that is 0\.\d{3} alike"
    assert re.fullmatch(alike, _sentences([same])[0][0])
    assert re.fullmatch(alike + "; not to be given: numbers differ", _sentences([other])[0][0])
    assert names.GUARD_DECISIONS not in first["attributes"]
    assert again["attributes"][names.CACHE_HIT] is True


def test_a_question_that_means_nearly_the_same_is_answered_where_the_rule_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    with (
        cached_by(monkeypatch, tmp_path, provider, KEEP + ALIKE % ", serve = true") as cached,
        cached.openai() as client,
    ):
        answers = [client.chat.completions.create(**{**CHAT, **_asking(text)}) for text in (QUESTION, SAME)]
        system = {"role": "system", "content": "You are a pirate."}
        made = [
            cached.chat(client, **_asking(OTHER)),
            cached.chat(client, messages=[system, *_asking(SAME)["messages"]]),
            cached.chat(client, **_asking(SAME), model="gpt-4o-mini"),
        ]
        with spanledger.tags(team_id="another"):
            made.append(cached.chat(client, **_asking(SAME)))
        paid, hit, *_ = cached.traced.spans()
    assert answers[1] == answers[0]
    assert made == [1, 1, 1, 1]
    assert hit["attributes"][names.AVOIDED_PICO_USD] == paid["attributes"][names.COST_PICO_USD]
    assert _sentences([hit])[0][0].endswith(" alike; given")


def test_a_question_is_answered_to_a_task_without_holding_up_its_loop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    async def run(bench: Bench) -> list[Any]:
        async with bench.openai_async() as client:
            return [await client.chat.completions.create(**{**CHAT, **_asking(text)}) for text in (QUESTION, SAME)]

    with cached_by(monkeypatch, tmp_path, provider, KEEP + ALIKE % ", serve = true") as cached:
        before = cached.provider.requests
        first, second = asyncio.run(run(cached.bench))
        assert cached.provider.requests - before == 1
    assert second == first


@pytest.mark.parametrize("serve", ["", ", serve = true"])
def test_an_embedder_that_fails_costs_no_call(
    serve: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    policy = KEEP + f'semantic = {{ embedder = "nowhere.at.all:embed", threshold = 0.8{serve} }}\n'
    with (
        cached_by(monkeypatch, tmp_path, provider, policy, faultless=False) as cached,
        cached.openai() as client,
    ):
        assert [cached.chat(client, **_asking(text)) for text in (QUESTION, SAME, SAME)] == [1, 1, 0]
        assert len(cached.traced.spans()) == 3

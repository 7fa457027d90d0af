"""The response cache, against the real SDKs and a provider whose requests are counted: what the application gets from
the cache is what it would have got from the provider, and nobody gets what is not his.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, field_validator

import spanledger
from answer_cache import FILE, KEEP, Cached, cached_by
from cached_ways import CHAT, RESPONSE, seen
from canned_server import CannedServer
from guarded import accounts
from matrix_cases import HELLO
from spanledger import ledger, names
from spanledger.errors import BudgetExceeded
from spanledger.guard import gate
from spanledger.guard.cache.entry import Entry, pack
from spanledger.guard.policy_file import PolicyError, read_policy
from spanledger.settings import load
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a store that is busy waited for: a miss in its place is right for a user, and here a call too many."""
    monkeypatch.setattr("spanledger.guard.cache.answers._BUSY_S", 60.0)


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalProvider]:
    with LocalProvider(seed=7) as running:
        yield running


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider) -> Iterator[Cached]:
    with cached_by(monkeypatch, tmp_path, provider) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True])
def test_a_hit_is_a_span_that_costs_nothing_and_says_what_it_saved(stream: bool, cached: Cached) -> None:
    with cached.openai() as client, spanledger.tags(team_id="support", feature="faq"):
        for _ in range(2):
            answer: Any = client.chat.completions.create(**CHAT, stream=stream)
            assert list(answer)
    paid, hit = (span["attributes"] for span in cached.traced.spans())

    cost = paid.pop(names.COST_PICO_USD)
    told = (names.COST_USD, names.COST_SOURCE, names.PRICE_ID, names.ATTEMPTS, names.FIRST_CHUNK_S)
    for name in told:
        paid.pop(name, None)
    hit.pop(names.FIRST_CHUNK_S, None)
    assert cost > 0
    assert hit == {
        **paid,
        names.COST_USD: 0.0,
        names.COST_PICO_USD: 0,
        names.BILLING_BASIS: "cached",
        names.CACHE_HIT: True,
        names.AVOIDED_PICO_USD: cost,
        names.GUARD_ACTION: "allow",
        names.GUARD_POLICY: "hotels",
    }


def test_who_did_not_ask_for_usage_gets_no_event_of_it_from_the_cache_either(cached: Cached) -> None:
    with cached.openai() as client:
        options: Any = {"include_usage": True}
        streams = [
            list(client.chat.completions.create(**CHAT, stream=True, **more))
            for more in ({}, {"stream_options": options}, {})
        ]
    plain, asked, again = (seen(chunks) for chunks in streams)
    assert again == plain
    assert asked[:-1] == plain
    assert streams[1][-1].usage is not None
    assert len({chunks[0].id for chunks in streams}) == 1


def test_tenants_never_share(cached: Cached) -> None:
    with cached.openai() as client, cached.openai(organization="other") as other:

        def ask(**tags: str) -> int:
            with spanledger.tags(**tags):
                return cached.chat(client)

        teams = [ask(team_id=team, feature="faq") for team in ("a", "b", "a", "b")]
        features = [ask(team_id="a", feature="search"), ask(team_id="a"), ask(), ask(team_id="a", user_id="ann")]
        assert (teams, features) == ([1, 1, 0, 0], [1, 1, 1, 0])
        assert cached.chat(other) == 1
    with OpenAI(base_url=f"{cached.provider.url}/v1", api_key="another") as other:
        assert cached.chat(other) == 1


def test_a_namespace_is_what_the_rule_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    with (
        cached_by(monkeypatch, tmp_path, provider, KEEP + 'namespace = ["customer_id", "plan"]\n') as cached,
        cached.openai() as client,
    ):
        made = []
        for tags in (
            {"team_id": "a", "plan": "pro"},
            {"team_id": "b", "plan": "pro"},
            {"team_id": "b", "plan": "free"},
        ):
            with spanledger.tags(**tags):
                made.append(cached.chat(client))
    assert made == [1, 0, 1]


def test_what_decides_the_answer_is_in_the_key(cached: Cached) -> None:
    cases: list[tuple[dict[str, Any], int]] = [
        ({"user": "ann"}, 0),
        ({"metadata": {"ticket": "7"}}, 0),
        ({"timeout": 30}, 0),
        ({"extra_headers": {"x-request": "2"}}, 0),
        ({"extra_headers": {"openai-beta": "new"}}, 1),
        ({"extra_query": {"api-version": "2"}}, 1),
        ({"extra_body": {"nobody_knows": 1}}, 1),
        ({"model": "gpt-4o-mini"}, 1),
        ({"seed": 1}, 1),
        ({"max_tokens": 99}, 1),
        ({"stop": ["x"]}, 1),
        ({"response_format": {"type": "json_object"}}, 1),
        ({"messages": [*HELLO, *HELLO]}, 1),
    ]
    with cached.openai() as client:
        cached.chat(client)
        assert [(changed, cached.chat(client, **changed)) for changed, _ in cases] == cases


def test_what_may_not_be_kept_is_not(cached: Cached, tmp_path: Path) -> None:
    cases: list[dict[str, Any]] = [
        {"temperature": 0.7},
        {"temperature": None},
        {"n": 2},
        {"store": True},
        {"tools": [{"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}]},
        {"web_search_options": {}, "tools": [{"type": "function", "function": {"name": "a", "parameters": {}}}]},
    ]
    with cached.openai() as client:
        assert [cached.chat(client, **changed) for changed in [*cases, *cases]] == [1] * 2 * len(cases)
    assert not (tmp_path / FILE).exists()


def test_a_rule_can_allow_what_is_not_deterministic_and_tools(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    with (
        cached_by(monkeypatch, tmp_path, provider, KEEP + "always = true\ntools = true\n") as cached,
        cached.openai() as client,
    ):
        assert [cached.chat(client, temperature=0.7, tools=tools) for _ in range(2)] == [1, 0]


def test_a_conversation_or_work_in_the_background_is_not_kept(cached: Cached) -> None:
    bodies: list[Any] = [{**RESPONSE, "background": True}, {**RESPONSE, "conversation": "conv_1"}]
    with cached.openai() as client:
        made = cached.requests(lambda: [client.responses.create(**body) for body in bodies * 2])
    assert made == 4


@pytest.mark.parametrize("reason", ["length", "content_filter", "a_new_one"])
def test_an_answer_that_is_not_whole_is_not_kept_and_its_span_says_so(
    reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    message = {"index": 0, "message": {"role": "assistant", "content": "Par"}, "finish_reason": reason}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [message]}
    with CannedServer() as server, cached_by(monkeypatch, tmp_path, provider) as cached:
        server.on("POST", "/chat/completions", body)
        with OpenAI(base_url=server.url, api_key="none") as client:
            for _ in range(2):
                client.chat.completions.create(**CHAT)
        assert len(server.seen) == 2
        spans = [span["attributes"] for span in cached.traced.spans()]
    assert [json.loads(span[names.GUARD_DECISIONS]) for span in spans] == 2 * [
        [
            {
                "rule": "hotels",
                "kind": "cache",
                "scope": "everything",
                "action": "allow",
                "shadow": True,
                "sentence": f"hotels doesn't keep the answer: it ended by {reason}",
            }
        ]
    ]


def test_a_stream_that_was_not_read_to_its_end_is_not_kept(cached: Cached) -> None:
    def left() -> None:
        with client.chat.completions.create(**CHAT, stream=True) as stream:
            next(iter(stream))

    def cut() -> None:
        cached.provider.plan(Plan(cut_after_events=3))
        with pytest.raises(Exception, match=r"Connection error|peer closed"):
            list(client.chat.completions.create(**CHAT, stream=True))

    with cached.openai() as client:
        assert [cached.requests(call) for call in (left, left, cut, left)] == [1, 1, 1, 1]


def test_an_error_is_not_kept_and_the_next_call_is_made(cached: Cached) -> None:
    cached.provider.plan(Plan(status=500))
    with cached.openai() as client:
        with pytest.raises(Exception, match="500"):
            client.chat.completions.create(**CHAT)
        assert [cached.chat(client) for _ in range(2)] == [1, 0]


def test_without_a_rule_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    policy = '[[cache]]\nname = "faq"\nmatch = { feature = "faq" }\n'
    with cached_by(monkeypatch, tmp_path, provider, policy) as cached, cached.openai() as client:
        with spanledger.tags(feature="search"):
            assert [cached.chat(client) for _ in range(2)] == [1, 1]
        assert not (tmp_path / FILE).exists()


def test_kept_answers_are_their_owners_alone(cached: Cached, tmp_path: Path) -> None:
    with cached.openai() as client:
        cached.chat(client)
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob(f"{FILE}*")}
    assert files == {FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}


def test_in_shadow_a_call_is_made_and_says_what_there_would_have_been(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    with cached_by(monkeypatch, tmp_path, provider, KEEP + "shadow = true\n") as cached, cached.openai() as client:
        assert [cached.chat(client) for _ in range(2)] == [1, 1]
        first, second = (span["attributes"] for span in cached.traced.spans())
    (decision,) = json.loads(second[names.GUARD_DECISIONS])
    assert decision.pop("sentence").startswith("hotels has an answer of ")
    assert decision == {"rule": "hotels", "kind": "cache", "scope": "everything", "action": "allow", "shadow": True}
    assert second[names.COST_PICO_USD] == first[names.COST_PICO_USD] > 0
    assert names.GUARD_DECISIONS not in first
    assert names.CACHE_HIT not in second


def test_of_50_threads_that_ask_the_same_one_call_is_made(cached: Cached) -> None:
    cached.provider.plan(Plan(delay_s=0.3))
    start, answers = threading.Barrier(50), []

    def ask(client: OpenAI) -> None:
        start.wait()
        answers.append(client.chat.completions.create(**CHAT).model_dump())

    with cached.openai() as client:
        threads = [threading.Thread(target=ask, args=(client,)) for _ in range(50)]
        assert cached.requests(lambda: _run(threads)) == 1
    assert len(answers) == 50
    assert all(answer == answers[0] for answer in answers)
    hits = [span["attributes"].get(names.CACHE_HIT, False) for span in cached.traced.spans()]
    assert sorted(hits) == [False, *[True] * 49]


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_of_50_tasks_that_ask_for_the_same_stream_one_call_is_made(cached: Cached) -> None:
    cached.provider.plan(Plan(delay_s=0.1))

    async def ask(client: AsyncOpenAI) -> Any:
        return seen([chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)])

    async def run() -> list[Any]:
        async with cached.bench.openai_async() as client:
            return await asyncio.gather(*(ask(client) for _ in range(50)))

    before = cached.provider.requests
    answers = asyncio.run(run())
    assert cached.provider.requests - before == 1
    assert all(answer == answers[0] for answer in answers)


def test_who_waits_goes_on_alone_when_the_first_call_fails(cached: Cached) -> None:
    cached.provider.plan(Plan(status=500, delay_s=0.2))
    start, ends = threading.Barrier(4), []

    def ask(client: OpenAI) -> None:
        start.wait()
        try:
            ends.append(client.chat.completions.create(**CHAT).model)
        except Exception as error:
            ends.append(type(error).__name__)

    with cached.openai() as client:
        _run([threading.Thread(target=ask, args=(client,)) for _ in range(4)])
    assert sorted(ends) == ["InternalServerError", *["gpt-4o-2024-08-06"] * 3]


def test_a_thread_does_not_wait_for_a_stream_that_it_holds_itself(cached: Cached) -> None:
    with cached.openai() as client, client.chat.completions.create(**CHAT, stream=True) as held:
        again = seen(list(client.chat.completions.create(**CHAT, stream=True)))
        assert len(again) == len(list(held))


def test_a_file_that_cannot_be_read_is_thrown_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    with (
        cached_by(monkeypatch, tmp_path, provider, faultless=False) as cached,
        cached.openai() as client,
    ):
        assert [cached.chat(client) for _ in range(3)] == [1, 0, 0]


@pytest.mark.parametrize("body", [None, b"", b"{"])
def test_an_answer_that_cannot_be_read_is_a_miss(
    body: bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    data = b"x" * 100
    if body is not None:
        data = pack(Entry(body, {"content-type": "application/json"}, time.time_ns() // 1_000_000))
    with (
        cached_by(monkeypatch, tmp_path, provider, faultless=False) as cached,
        cached.openai() as client,
    ):
        cached.chat(client)
        with sqlite3.connect(tmp_path / FILE) as connection:
            connection.execute("update answers set data = ?", (data,))
        connection.close()
        assert [cached.chat(client) for _ in range(2)] == [1, 0]


def test_a_hit_draws_on_no_budget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider) -> None:
    policy = KEEP + '[[budget]]\nname = "small"\nper = "day"\nusd = 0.0001\nestimate = "postpaid"\n'
    with cached_by(monkeypatch, tmp_path, provider, policy) as cached, cached.openai() as client:
        assert [cached.chat(client) for _ in range(3)] == [1, 0, 0]
        with pytest.raises(BudgetExceeded):
            client.chat.completions.create(**{**CHAT, "seed": 1})
        assert cached.chat(client) == 0


DEGRADE = """
[[budget]]
name = "small"
per = "day"
usd = 1
at = { "0.01%" = "degrade" }

[[degrade]]
model = "gpt-4o"
to = "gpt-4o-mini"
"""


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_of_a_model_that_stood_in_is_kept_as_that_models(
    stream: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    with cached_by(monkeypatch, tmp_path, provider, KEEP + DEGRADE) as cached, cached.openai() as client:

        def ask(model: str) -> str:
            answer: Any = client.chat.completions.create(**{**CHAT, "model": model}, stream=stream)
            chunks = list(answer) if stream else [answer]
            return str(chunks[0].model)

        before = provider.requests
        models = [ask("gpt-4o"), ask("gpt-4o"), ask("gpt-4o-mini")]
        made = provider.requests - before
        spans = [span["attributes"] for span in cached.traced.spans()]
    assert (models, made) == (["gpt-4o-mini-2024-07-18"] * 3, 1)
    paid, again, asked = spans
    assert [span.get(names.ROUTED_FROM) for span in spans] == ["gpt-4o", "gpt-4o", None]
    assert [span.get(names.CACHE_HIT) for span in spans] == [None, True, True]
    assert [span.get(names.AVOIDED_PICO_USD) for span in (again, asked)] == [paid[names.COST_PICO_USD]] * 2
    assert json.loads(again[names.GUARD_DECISIONS])[0]["action"] == "degrade"


def test_a_call_that_is_routed_is_answered_as_the_model_that_it_is_routed_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    route = '[[route]]\nname = "easy"\nto = { "gpt-4o" = "gpt-4o-mini" }\nmode = "percentage"\npercent = 100\n'
    with cached_by(monkeypatch, tmp_path, provider, KEEP + route) as cached, cached.openai() as client:
        made = [cached.chat(client), cached.chat(client), cached.chat(client, model="gpt-4o-mini")]
        spans = [span["attributes"] for span in cached.traced.spans()]
    assert made == [1, 0, 0]
    told = [(span.get(names.ROUTED_FROM), span.get(names.ROUTE_RULE), span.get(names.CACHE_HIT)) for span in spans]
    assert told == [("gpt-4o", "easy", None), ("gpt-4o", "easy", True), (None, None, True)]


def test_a_hit_of_a_model_that_stands_in_gives_back_what_was_held(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    with cached_by(monkeypatch, tmp_path, provider, KEEP + DEGRADE) as cached:

        async def run() -> list[str]:
            async with cached.bench.openai_async() as client:
                return [(await client.chat.completions.create(**CHAT)).id for _ in range(3)]

        ids = asyncio.run(run())
        paid, *_ = cached.traced.spans()
        worker = ledger.start()
        assert worker is not None
        assert worker.gate is not None
        assert worker.gate.store is not None
        (account,) = worker.gate.store.accounts()
    assert len(set(ids)) == 1
    assert (account.spent, account.held) == (-(-paid["attributes"][names.COST_PICO_USD] // 1000), 0)


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_call_whose_kept_answer_can_not_be_given_is_a_call_like_any_other(
    colour: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    """The application's type takes the first answer, not the kept one, and takes the next one."""
    validations = iter([True, False, True])

    class Checked(BaseModel):
        city: str

        @field_validator("city")
        def check(cls, city: str) -> str:
            if not next(validations):
                raise ValueError("no longer a city")
            return city

    asked: Any = {**CHAT, "response_format": Checked}
    message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": '{"city": "Paris"}'}}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [message]}

    async def ask() -> None:
        async with AsyncOpenAI(base_url=server.url, api_key="none") as client:
            for _ in range(2):
                await client.chat.completions.parse(**asked)

    policy = KEEP + '[[budget]]\nname = "b"\nper = "total"\nusd = 1\n'
    with CannedServer() as server, cached_by(monkeypatch, tmp_path, provider, policy, faultless=False) as cached:
        server.on("POST", "/chat/completions", {**body, "usage": usage})
        if colour == "async":
            asyncio.run(ask())
        else:
            with OpenAI(base_url=server.url, api_key="none") as client:
                for _ in range(2):
                    client.chat.completions.parse(**asked)
        (account,) = accounts()
        told = [span["attributes"] for span in cached.traced.spans()]
        assert len(server.seen) == 2
    assert [(one.get(names.CACHE_HIT), one[names.COST_PICO_USD]) for one in told] == [(None, 75_000_000)] * 2
    assert (account.spent, account.held) == (150_000, 0)


def test_an_answer_is_not_given_for_longer_than_the_rule_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    def age(by_s: int) -> None:
        """Have the wall clock stand at so many seconds from the start; the monotonic one goes on."""
        monkeypatch.setattr(time, "time_ns", lambda: start + by_s * 10**9)

    start = time.time_ns()
    age(0)
    policy = KEEP + 'ttl = "2h"\nmax_age = "30m"\n'
    with cached_by(monkeypatch, tmp_path, provider, policy) as cached, cached.openai() as client:
        made = [cached.chat(client)]
        for by_s in (1799, 1801, 1801 + 1799):
            age(by_s)
            made.append(cached.chat(client))
        age(-60)  # set back: nobody knows how old it is
        made.append(cached.chat(client))
    assert made == [1, 0, 1, 0, 1]


def test_a_rule_that_comes_while_the_application_runs_holds_from_then_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    with cached_by(monkeypatch, tmp_path, provider, "# none yet\n") as cached, cached.openai() as client:
        assert [cached.chat(client) for _ in range(2)] == [1, 1]
        monkeypatch.setattr(gate, "LOOK_EVERY_S", 0.0)
        monkeypatch.setattr("spanledger.entries.STILL_S", 0.0)
        (tmp_path / "policy.toml").write_text(KEEP)
        assert [cached.chat(client) for _ in range(2)] == [1, 0]
        (tmp_path / "policy.toml").write_text("# nothing\n")
        assert cached.chat(client) == 1


def test_a_compressed_stream_is_given_again_as_it_was_decoded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    choice = {"index": 0, "delta": {"content": "Paris"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    told = [{**chunk, "choices": [choice]}, {**chunk, "choices": [], "usage": usage}]
    body = "".join(f"data: {json.dumps(one)}\n\n" for one in told) + "data: [DONE]\n\n"
    with CannedServer() as server, cached_by(monkeypatch, tmp_path, provider):
        server.on("POST", "/chat/completions", gzip.compress(body.encode()), kind="text/event-stream", encoding="gzip")
        with OpenAI(base_url=server.url, api_key="none") as client:
            first, second = (seen(list(client.chat.completions.create(**CHAT, stream=True))) for _ in range(2))
        assert len(server.seen) == 1
    assert first == second
    assert len(first) == 1


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ('ttl = "soon"', "ttl: expected a length of time"),
        ("always = true\ndeterministic_only = true", "always: is the contrary"),
        ('namespace = ["model"]', "namespace: 'model' is in the key already"),
        ("max_mb = 0", "max_mb: expected a whole number"),
        ('semantic = { embedder = "no function" }', "embedder: expected"),
        ('semantic = { embedder = "a.b:c", serve = true }', "threshold: needed"),
        ('semantic = { embedder = "a.b:c", threshold = 2 }', "threshold: expected a number above 0"),
        ("forever = true", "forever"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_key(entry: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(f"{KEEP}{entry}\n")
    with pytest.raises(PolicyError, match=told):
        read_policy(path, load())

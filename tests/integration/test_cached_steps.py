"""`spanledger.cached_step`: a result is given again for the same arguments, and what that saves is counted."""

from __future__ import annotations

import asyncio
import threading
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import spanledger
from answer_cache import cached_by
from cached_ways import CHAT
from collecting import collecting
from matrix_cases import Bench
from spanledger import names
from spanledger.errors import SettingError
from spanledger.guard.cache import answers
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import Traced, switched_on


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalProvider]:
    with LocalProvider(seed=7) as running:
        yield running


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have results waited for while the ledger's thread, which notes what they cost, is at their file."""
    monkeypatch.setattr(answers, "_BUSY_S", 30.0)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as running:
        yield running


def _calls(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [span["attributes"] for span in spans if names.COST_PICO_USD in span["attributes"]]


def test_a_hit_says_what_the_calls_of_the_first_run_cost(traced: Traced, provider: LocalProvider) -> None:
    @spanledger.cached_step
    def summary(text: str) -> list[str]:
        return [client.chat.completions.create(**{**CHAT, "user": text}).choices[0].message.content for _ in range(2)]

    with Bench(provider).openai() as client, spanledger.tags(feature="reports"):
        before = provider.requests
        first = summary("a long report")
        assert (summary("a long report"), summary(text="a long report")) == (first, first)
        assert provider.requests - before == 2
        spans = traced.spans()
    cost = sum(call[names.COST_PICO_USD] for call in _calls(spans))
    name = "test_a_hit_says_what_the_calls_of_the_first_run_cost.<locals>.summary"
    steps = [span["attributes"] for span in spans if span["name"] == name]
    assert cost > 0
    hit = {
        names.FEATURE: "reports",
        names.CACHE_HIT: True,
        names.AVOIDED_PICO_USD: cost,
        names.GUARD_POLICY: name,
    }
    assert sorted(steps, key=len) == [{names.FEATURE: "reports"}, hit, hit]


def test_a_step_within_a_step_counts_for_both(traced: Traced, provider: LocalProvider) -> None:
    @spanledger.cached_step
    def inner() -> str:
        return str(client.chat.completions.create(**CHAT).id)

    @spanledger.cached_step
    def outer() -> list[str]:
        spanledger.charge("search", "0.01")
        return [inner(), "x"]

    with Bench(provider).openai() as client:
        for step in (outer, outer, inner):
            step()
        spans = traced.spans()
    paid = sum(call[names.COST_PICO_USD] for call in _calls(spans))
    avoided = [span["attributes"].get(names.AVOIDED_PICO_USD) for span in spans]
    assert [pico for pico in avoided if pico is not None] == [paid, paid - 10**10]


def test_what_is_not_known_to_have_cost_anything_is_not_known_to_be_saved(
    traced: Traced, provider: LocalProvider
) -> None:
    @spanledger.cached_step
    def step() -> str:
        return str(client.chat.completions.create(**{**CHAT, "model": "nobody-knows-its-price"}).id)

    with Bench(provider).openai() as client:
        assert step() == step()
        hits = [span["attributes"] for span in traced.spans() if names.CACHE_HIT in span["attributes"]]
    (hit,) = hits
    assert hit[names.CACHE_HIT] is True
    assert names.AVOIDED_PICO_USD not in hit


def test_arguments_and_tags_tell_results_apart(traced: Traced) -> None:
    runs: list[object] = []

    @spanledger.cached_step(ttl="7d", namespace=["customer_id"])
    def step(value: object, *more: object, **named: object) -> int:
        runs.append((value, more, named))
        return len(runs)

    for value in (1, 1.0, True, "1", None, [1], (1,), {"1": 1}, {"tuple": [1]}, {"a": [1, {"b": None}]}):
        assert step(value) == step(value) == len(runs)
    assert len(runs) == 10
    assert step(1, 2) == step(1, 2) == 11
    assert step(1, two=2) == step(1, two=2) == 12
    with spanledger.tags(customer_id="a", team_id="x"):
        assert step(1) == 13
    with spanledger.tags(customer_id="a", team_id="y"):
        assert step(1) == 13
    with spanledger.tags(customer_id="b"):
        assert step(1) == 14


def test_results_outlive_the_process_that_made_them_but_not_the_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def make(code: str) -> Any:
        space: dict[str, Any] = {"__name__": "app"}
        exec(f"def step(n):\n    runs.append(n)\n    return {code}", space)
        space["runs"] = runs
        return spanledger.cached_step(space["step"])

    runs: list[int] = []
    for code in ("[n, 1]", "[n, 1]", "[n, 2]"):
        with switched_on(monkeypatch, tmp_path):
            step = make(code)
            assert step(5) == step(5) == ([5, 1] if code == "[n, 1]" else [5, 2])
    assert runs == [5, 5]


def test_each_gets_a_result_of_his_own(traced: Traced) -> None:
    @spanledger.cached_step
    def step() -> dict[str, list[int]]:
        return {"found": []}

    step()["found"].append(1)
    step()["found"].append(2)
    assert step() == {"found": []}


@pytest.mark.parametrize("result", [(1, 2), {1: "a"}, {"a": {1, 2}}, float("nan"), b"bytes", object()])
def test_what_json_does_not_give_back_as_it_was_is_not_kept(
    result: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = []

    @spanledger.cached_step
    def step() -> object:
        runs.append(1)
        return result

    with switched_on(monkeypatch, tmp_path, faultless=False):
        assert [step() is result, step() is result] == [True, True]
    assert len(runs) == 2


def test_with_arguments_that_nobody_can_compare_the_step_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = []

    @spanledger.cached_step
    def step(_client: object) -> int:
        runs.append(1)
        return len(runs)

    with switched_on(monkeypatch, tmp_path, faultless=False):
        assert [step(object()), step(object())] == [1, 2]


def test_an_exception_goes_through_and_is_not_kept(traced: Traced) -> None:
    runs = []

    @spanledger.cached_step
    def step() -> str:
        runs.append(1)
        if len(runs) == 1:
            raise ValueError("once")
        return "done"

    with pytest.raises(ValueError, match="once"):
        step()
    assert [step(), step(), len(runs)] == ["done", "done", 2]


def test_tasks_and_threads_wait_for_the_first_run(traced: Traced, provider: LocalProvider) -> None:
    async def run() -> list[str]:
        async with Bench(provider).openai_async() as client:

            @spanledger.cached_step
            async def step(n: int) -> str:
                return str((await client.chat.completions.create(**CHAT)).id) + str(n)

            return await asyncio.gather(*(step(1) for _ in range(20)))

    provider.plan(Plan(delay_s=0.1))
    before = provider.requests
    assert len(set(asyncio.run(run()))) == 1
    assert provider.requests - before == 1

    runs: list[int] = []

    @spanledger.cached_step
    def slow() -> int:
        runs.append(1)
        started.set()
        assert release.wait(60)
        return len(runs)

    started, release, results = threading.Event(), threading.Event(), []
    threads = [threading.Thread(target=lambda: results.append(slow())) for _ in range(8)]
    threads[0].start()
    assert started.wait(60)
    for thread in threads[1:]:
        thread.start()
    release.set()
    for thread in threads:
        thread.join()
    assert results == [1] * 8


def test_switched_off_it_is_the_function_alone(tmp_path: Path) -> None:
    runs = []

    @spanledger.cached_step
    def step() -> int:
        runs.append(1)
        return len(runs)

    assert [step(), step()] == [1, 2]
    assert step.__name__ == "step"


def test_what_cannot_be_kept_is_told_at_once() -> None:
    with pytest.raises(SettingError, match="expected a length of time"):
        spanledger.cached_step(ttl="soon")

    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="return a list"):
        spanledger.cached_step(numbers)


def test_in_the_lake_hits_cost_nothing_and_have_saved_what_was_paid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    @spanledger.cached_step
    def step() -> str:
        return str(client.chat.completions.create(**{**CHAT, "seed": 5}).id)

    with cached_by(monkeypatch, tmp_path, provider) as cached, cached.openai() as client:
        for _ in range(3):
            client.chat.completions.create(**CHAT)
            step()
        cached.traced.spans()
        bodies = [received.raw for received in cached.traced.sink.received]
    with collecting(tmp_path) as collector:
        for body in bodies:
            request = urllib.request.Request(f"{collector.endpoint}/v1/traces", body)
            request.add_header("content-type", "application/x-protobuf")
            urllib.request.urlopen(request, timeout=60).close()
        collector.wait_for_spans(7)
        told = collector.ask(
            "select role, cache_hit, billing_basis, guard_policy, duplicate_of is null, unpriced_reason, count(*),"
            " sum(cost_usd), sum(avoided_usd) from spans group by all order by all"
        )
        (paid,) = collector.ask("select distinct cost_usd from spans where cost_usd > 0")
    each, free, name = Decimal(str(paid[0])), Decimal(0), step.__qualname__
    assert told == [
        ("inference", True, "cached", "hotels", True, None, 2, free, 2 * each),
        ("inference", None, "usage", None, True, None, 2, 2 * each, None),
        ("other", True, None, name, True, None, 2, None, 2 * each),
        ("other", None, None, None, True, None, 1, None, None),
    ]

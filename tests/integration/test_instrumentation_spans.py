"""Tags, steps and outcomes around calls, and where calls stand in a trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import spanledger
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, Traced, switched_on

CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES}


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    with LocalProvider() as provider, openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        yield client


def _places(spans: list[dict[str, Any]]) -> dict[str, str]:
    """Name of each span to the name of its parent."""
    names = {span["span_id"]: span["name"] for span in spans}
    return {span["name"]: names.get(span["parent_span_id"], span["parent_span_id"]) for span in spans}


def _tags(span: dict[str, Any]) -> dict[str, Any]:
    prefixes = ("user.", "team.", "customer.", "feature.", "session.", "request.type", "spanledger.tag.")
    return {name: value for name, value in span["attributes"].items() if name.startswith(prefixes)}


def test_steps_make_a_tree_and_tags_are_on_all_of_it(traced: Traced, client: openai.OpenAI) -> None:
    with spanledger.tags(user_id="u1", feature="search", tenant=7), spanledger.span("hotel"):
        with spanledger.span("prices", kind="tool"):
            client.chat.completions.create(**CHAT)
        with spanledger.span("think", kind="step"):
            pass

    spans = traced.spans()
    assert _places(spans) == {
        "invoke_agent hotel": "",
        "execute_tool prices": "invoke_agent hotel",
        "chat gpt-4o": "execute_tool prices",
        "think": "invoke_agent hotel",
    }
    assert len({span["trace_id"] for span in spans}) == 1
    assert [_tags(span) for span in spans] == [
        {"user.id": "u1", "feature.id": "search", "spanledger.tag.tenant": "7"}
    ] * 4
    steps = {
        span["name"]: {key: value for key, value in span["attributes"].items() if key.startswith("gen_ai.")}
        for span in spans
        if span["kind"] == "INTERNAL"
    }
    assert steps == {
        "invoke_agent hotel": {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "hotel"},
        "execute_tool prices": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "prices"},
        "think": {},
    }


def test_a_step_that_raises_is_marked_and_the_exception_goes_on(traced: Traced) -> None:
    @spanledger.span("booking", kind="tool")
    def book() -> None:
        raise KeyError("room")

    with pytest.raises(KeyError):
        book()

    span = traced.span()
    assert (span["status"], span["message"], span["attributes"]["error.type"]) == ("ERROR", "KeyError", "KeyError")


def test_decorators_hold_for_functions_of_every_kind(traced: Traced, client: openai.OpenAI) -> None:
    tagged = spanledger.tags(user_id="inside")

    @tagged
    def plain() -> None:
        client.chat.completions.create(**CHAT)

    @tagged
    async def coroutine() -> None:
        client.chat.completions.create(**CHAT)

    @tagged
    def generator() -> Iterator[int]:
        client.chat.completions.create(**CHAT)
        yield 1
        client.chat.completions.create(**CHAT)

    @tagged
    async def async_generator() -> AsyncIterator[int]:
        yield 1
        client.chat.completions.create(**CHAT)

    async def consume() -> None:
        await coroutine()
        async for _ in async_generator():
            client.chat.completions.create(**CHAT)

    plain()
    for _ in generator():
        client.chat.completions.create(**CHAT)
    asyncio.run(consume())

    users = [span["attributes"].get("user.id") for span in traced.spans()]
    assert users == ["inside", "inside", None, "inside", "inside", None, "inside"]


def test_tasks_keep_their_tags_apart(traced: Traced, client: openai.OpenAI) -> None:
    async def one(user: str) -> None:
        with spanledger.tags(user_id=user):
            await asyncio.sleep(0)
            client.chat.completions.create(**CHAT)

    async def both() -> None:
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(both())

    assert sorted(span["attributes"]["user.id"] for span in traced.spans()) == ["a", "b"]


def test_an_outcome_is_an_event_of_the_open_step(traced: Traced) -> None:
    with spanledger.span("hotel"):
        spanledger.outcome("booked", success=True, value_usd=Decimal("12.50"))

    assert traced.span()["events"] == [
        {
            "name": "gen_ai.evaluation.result",
            "attributes": {
                "gen_ai.evaluation.name": "booked",
                "gen_ai.evaluation.score.label": "success",
                "gen_ai.evaluation.score.value": 1.0,
                "spanledger.outcome.value_usd": "12.50",
            },
        }
    ]


def test_an_outcome_outside_any_step_has_a_span_of_its_own(traced: Traced) -> None:
    with spanledger.tags(user_id="u1"):
        spanledger.outcome("resolved", success=False)

    span = traced.span()
    assert (span["name"], span["attributes"], len(span["events"])) == ("outcome resolved", {"user.id": "u1"}, 1)


def test_a_call_hangs_below_the_applications_own_span(traced: Traced, client: openai.OpenAI) -> None:
    application = TracerProvider(shutdown_on_exit=False)
    with trace.use_span(application.get_tracer("application").start_span("work"), end_on_exit=True) as span:
        client.chat.completions.create(**CHAT)
        assert trace.get_current_span() is span
    context = span.get_span_context()

    recorded = traced.span()
    assert recorded["trace_id"] == f"{context.trace_id:032x}"
    assert recorded["parent_span_id"] == f"{context.span_id:016x}"
    assert "spanledger.parent_sampled" not in recorded["attributes"]


def test_a_call_below_a_span_that_is_not_sampled_is_recorded_all_the_same(
    traced: Traced, client: openai.OpenAI
) -> None:
    application = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    with trace.use_span(application.get_tracer("application").start_span("work"), end_on_exit=True) as span:
        client.chat.completions.create(**CHAT)
    context = span.get_span_context()

    recorded = traced.span()
    assert recorded["parent_span_id"] == f"{context.span_id:016x}"
    assert recorded["attributes"]["spanledger.parent_sampled"] is False


def test_the_global_tracer_provider_is_left_alone(traced: Traced, client: openai.OpenAI) -> None:
    before = trace.get_tracer_provider()
    client.chat.completions.create(**CHAT)
    traced.span()

    assert trace.get_tracer_provider() is before
    assert not isinstance(before, TracerProvider)


def test_switched_off_again_nothing_is_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: openai.OpenAI
) -> None:
    with switched_on(monkeypatch, tmp_path) as traced:
        pass
    with spanledger.tags(user_id="u"), spanledger.span("hotel"):
        client.chat.completions.create(**CHAT)
        spanledger.outcome("booked")

    assert spanledger.flush()
    assert traced.sink.spans() == []

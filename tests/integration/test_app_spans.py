"""LedgerSpanProcessor: the application's own spans above a call are in the ledger, without money or content."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer

import spanledger
from spanledger import appspans, record
from spanledger.otel import LedgerSpanProcessor
from spanledger_cli.demo.provider import LocalProvider
from spanledger_collector.inspect import not_counted_reason
from spanledger_collector.rows import convert
from tracing import MESSAGES, Traced, switched_on

CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES}
SECRET = "what the user said"


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    with LocalProvider() as provider, openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        yield client


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Iterator[Tracer]:
    """A tracer of the application, which exports elsewhere too."""
    provider = TracerProvider()
    provider.add_span_processor(LedgerSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer("app")
    provider.shutdown()
    assert record.parent_seen == []


def test_spans_above_a_call_make_the_tree_whole(
    traced: Traced, client: openai.OpenAI, tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    with tracer.start_as_current_span("GET /hotels", kind=SpanKind.SERVER) as request:
        request.set_attributes({"http.route": "/hotels/{city}", "url.query": SECRET, "user.id": "u-1"})
        with tracer.start_as_current_span("chain", attributes={"openinference.span.kind": "CHAIN"}) as chain:
            chain.set_attributes({"input.value": SECRET, "output.value": SECRET})
            chain.add_event("said", {"text": SECRET})
            client.chat.completions.create(**CHAT)
        with tracer.start_as_current_span("database"):
            pass
    with tracer.start_as_current_span("GET /health", kind=SpanKind.SERVER):
        pass

    spans = traced.spans()
    names = {span["span_id"]: span["name"] for span in spans}
    assert {span["name"]: names.get(span["parent_span_id"], "") for span in spans} == {
        "GET /hotels": "",
        "chain": "GET /hotels",
        "chat gpt-4o": "chain",
    }
    copies = {span["name"]: (span["kind"], span["attributes"], span["events"]) for span in spans}
    assert copies["GET /hotels"] == ("SERVER", {"http.route": "/hotels/{city}", "user.id": "u-1"}, [])
    assert copies["chain"] == ("INTERNAL", {"openinference.span.kind": "CHAIN"}, [])
    assert SECRET not in str(spans)
    ids = {format(span.context.span_id, "016x") for span in exporter.get_finished_spans() if span.context is not None}
    assert {span["span_id"] for span in spans if span["name"] != "chat gpt-4o"} < ids


def test_an_llm_span_of_another_instrumentation_is_a_parent_and_no_call(
    traced: Traced, client: openai.OpenAI, tracer: Tracer
) -> None:
    official: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 9,
    }
    with (
        tracer.start_as_current_span("run", attributes={"gen_ai.operation.name": "invoke_agent"}),
        tracer.start_as_current_span("chat gpt-4o (official)", attributes=official),
    ):
        client.chat.completions.create(**CHAT)

    traced.spans()
    bodies = [request.body.SerializeToString() for request in traced.sink.received]
    rows = convert(bodies, [0] * len(bodies), any_date=True).rows.to_pylist()
    assert {row["name"]: (row["role"], not_counted_reason(row), row["cost_usd"] is None) for row in rows} == {
        "chat gpt-4o": ("inference", None, False),
        "chat gpt-4o (official)": ("other", "not_inference", True),
        "run": ("agent", "not_inference", True),
    }


def test_a_failed_span_says_so_without_its_words(traced: Traced, client: openai.OpenAI, tracer: Tracer) -> None:
    with tracer.start_as_current_span("step") as step:
        client.chat.completions.create(**CHAT)
        step.set_attribute("error.type", "ValueError")
        step.set_status(StatusCode.ERROR, SECRET)
    (copy,) = [span for span in traced.spans() if span["name"] == "step"]
    assert (copy["status"], copy["message"]) == ("ERROR", "ValueError")


def test_a_step_of_ours_in_a_span_of_theirs_marks_it_too(traced: Traced, tracer: Tracer) -> None:
    with tracer.start_as_current_span("request"), spanledger.span("agent"):
        pass
    assert sorted(span["name"] for span in traced.spans()) == ["invoke_agent agent", "request"]


def test_open_spans_are_bounded(
    traced: Traced, client: openai.OpenAI, tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appspans, "MOST_OPEN", 2)
    with (
        tracer.start_as_current_span("one"),
        tracer.start_as_current_span("two"),
        tracer.start_as_current_span("three"),
    ):
        client.chat.completions.create(**CHAT)
    with tracer.start_as_current_span("later"):
        client.chat.completions.create(**CHAT)
    assert sorted(span["name"] for span in traced.spans()) == ["chat gpt-4o", "chat gpt-4o", "later"]


def test_threads_at_once_each_have_their_own(traced: Traced, client: openai.OpenAI, tracer: Tracer) -> None:
    def work(number: int) -> None:
        with tracer.start_as_current_span(f"request {number}"):
            client.chat.completions.create(**CHAT)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans = traced.spans()
    names = {span["span_id"]: span["name"] for span in spans}
    parents = sorted(names[span["parent_span_id"]] for span in spans if span["name"] == "chat gpt-4o")
    assert parents == [f"request {number}" for number in range(8)]


def test_switched_off_nothing_is_watched() -> None:
    processor = LedgerSpanProcessor()
    provider = TracerProvider()
    provider.add_span_processor(processor)
    with provider.get_tracer("app").start_as_current_span("request"):
        assert processor._open == {}
    provider.shutdown()

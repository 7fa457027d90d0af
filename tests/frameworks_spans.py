"""Frameworks that trace themselves, beside ours: their chains and agents are rows without money, a call is one charge.

Run by `tools/frameworks.py` in an environment of its own. All spans go to our collector in one batch, which is where a
call could be charged twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import spanledger
from spanledger_cli.demo.provider import LocalProvider
from spanledger_collector.inspect import not_counted_reason
from spanledger_collector.rows import convert
from tracing import Traced, switched_on


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


Run = Callable[[str], object]


@contextmanager
def _on(instrumentor: Any, tracer_provider: TracerProvider) -> Iterator[None]:
    instrumentor.instrument(tracer_provider=tracer_provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def _chain(url: str) -> object:
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="gpt-4o", base_url=f"{url}/v1", api_key="none", max_retries=0)
    return (ChatPromptTemplate.from_template("Hello {name}") | model).invoke({"name": "Ada"})


@contextmanager
def langchain_by_openinference(tracer_provider: TracerProvider) -> Iterator[Run]:
    from openinference.instrumentation.langchain import LangChainInstrumentor

    with _on(LangChainInstrumentor(), tracer_provider):
        yield _chain


@contextmanager
def langchain_by_openllmetry(tracer_provider: TracerProvider) -> Iterator[Run]:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    with _on(LangchainInstrumentor(), tracer_provider):
        yield _chain


@contextmanager
def openai_agents_by_openinference(tracer_provider: TracerProvider) -> Iterator[Run]:
    import agents
    import openai
    from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    def run(url: str) -> object:
        model = agents.OpenAIResponsesModel("gpt-5.4", openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none"))
        return agents.Runner.run_sync(agents.Agent(name="helper", model=model), "Hello").final_output

    with _on(OpenAIAgentsInstrumentor(), tracer_provider):
        yield run


@contextmanager
def pydantic_ai_itself(tracer_provider: TracerProvider) -> Iterator[Run]:
    from pydantic_ai import Agent
    from pydantic_ai.capabilities import Instrumentation
    from pydantic_ai.models.instrumented import InstrumentationSettings
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    tracing = Instrumentation(settings=InstrumentationSettings(tracer_provider=tracer_provider))

    def run(url: str) -> object:
        model = OpenAIChatModel("gpt-4o", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="none"))
        return Agent(model, name="helper", capabilities=[tracing]).run_sync("Hello").output

    yield run


WAYS = [
    langchain_by_openinference,
    langchain_by_openllmetry,
    openai_agents_by_openinference,
    pydantic_ai_itself,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_their_spans_are_rows_without_money(way: Any, traced: Traced, provider: LocalProvider) -> None:
    exporter, tracer_provider = InMemorySpanExporter(), TracerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
    with way(tracer_provider) as run:
        # OpenLLMetry leaves a context behind in which it is silent.
        assert copy_context().run(run, provider.url)
        with tracer_provider.get_tracer("app").start_as_current_span("request"):
            assert copy_context().run(run, provider.url)

    assert spanledger.flush(20)
    bodies = [request.body.SerializeToString() for request in traced.sink.received]
    bodies.append(encode_spans(exporter.get_finished_spans()).SerializeToString())
    rows = convert(bodies, [time.time_ns()] * len(bodies), any_date=True).rows.to_pylist()
    ours = [row["span_id"] for row in rows if row["dialect"] == "spanledger"]
    assert len(ours) == len(provider.billed) == 2
    assert [row["span_id"] for row in rows if row["cost_usd"] is not None] == ours
    assert [row["span_id"] for row in rows if not_counted_reason(row) is None] == ours
    assert sorted(row["duplicate_of"] for row in rows if row["duplicate_of"]) == sorted(ours)
    steps = [row for row in rows if row["role"] != "inference" and row["name"] != "request"]
    assert len(steps) >= len(ours)

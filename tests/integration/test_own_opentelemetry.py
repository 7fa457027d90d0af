"""The application has OpenTelemetry of its own: our spans are complete, and its traces are what they are without us.

Each case is a process of its own, because a global provider can be set once.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from otlp_sink import OtlpSink
from patience import PATIENT
from spanledger_cli.demo.provider import LocalProvider

BEGIN = """
import base64, os, sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator

class Ids(IdGenerator):
    number = 0
    def generate_span_id(self):
        Ids.number += 1
        return Ids.number
    def generate_trace_id(self):
        return self.generate_span_id() << 64

class Lines(SpanExporter):
    def export(self, spans):
        for span in spans:
            span._start_time = span._end_time = 1  # the clock is all that differs from run to run
        print(base64.b64encode(encode_spans(spans).SerializeToString()).decode(), flush=True)
        return SpanExportResult.SUCCESS

def own(sampler=sampling.ALWAYS_ON):
    resource = Resource({"service.name": "app"})
    provider = TracerProvider(sampler=sampler, id_generator=Ids(), resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(Lines()))
    return provider

def call(client, times=1):
    for number in range(times):
        with trace.get_tracer("app").start_as_current_span(f"request {number}"):
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello"}])

"""
CLIENT = """
import openai
client = openai.OpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="none")
"""
USE_OWN = "trace.set_tracer_provider(own())\n"
REMOTE = """
trace.set_tracer_provider(own(sampling.ParentBased(sampling.ALWAYS_ON)))
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry import context
unsampled = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}
context.attach(TraceContextTextMapPropagator().extract(unsampled))
call(client)
"""


def sampled(ratio: float) -> str:
    return f"trace.set_tracer_provider(own(sampling.TraceIdRatioBased({ratio})))\n"


CASES = {
    "provider before us": USE_OWN + CLIENT + "call(client, 2)",
    "provider after us": CLIENT + USE_OWN + "call(client, 2)",
    "provider after the first call": CLIENT + "call(client)\n" + USE_OWN + "call(client)",
    "no provider": CLIENT + "call(client, 2)",
    "nothing is sampled": sampled(0) + CLIENT + "call(client, 2)",
    "a half is sampled": sampled(0.5) + CLIENT + "call(client, 8)",
    "unsampled remote parent": CLIENT + REMOTE,
    "shut down before the end": USE_OWN + CLIENT + "call(client)\ntrace.get_tracer_provider().shutdown()\ncall(client)",
}
CALLS = {"a half is sampled": 8, "unsampled remote parent": 1}


class Places:
    """Where a program sends, and whom it asks."""

    def __init__(self, provider: LocalProvider, sink: OtlpSink, folder: Path) -> None:
        self._provider = provider
        self.sink = sink
        self._folder = folder

    def run(self, program: str, *command: str, **more: str) -> list[str]:
        """Run a program; the bodies that its own exporter wrote."""
        path = self._folder / "app.py"
        path.write_text(PATIENT + BEGIN + program, "utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
        environment = {
            **kept,
            "PROVIDER": self._provider.url,
            "SPANLEDGER_ENDPOINT": self.sink.url,
            "SPANLEDGER_HOME": str(self._folder / "home"),
            **more,
        }
        done = subprocess.run(
            [*(command or (sys.executable,)), str(path)],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    with LocalProvider(seed=1) as provider, OtlpSink() as sink:
        yield Places(provider, sink, tmp_path)


def own_spans(lines: list[str]) -> list[Any]:
    return [
        span
        for line in lines
        for resource_spans in TracesData.FromString(base64.b64decode(line)).resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


@pytest.mark.parametrize("case", CASES)
def test_ours_are_complete_and_theirs_are_as_without_us(case: str, places: Places) -> None:
    without = places.run(CASES[case])
    assert places.sink.spans() == []
    own = places.run(CASES[case], SPANLEDGER_ENABLED="1", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")

    assert own == without
    ours = places.sink.spans()
    assert len(ours) == CALLS.get(case, 2)
    assert {(span["name"], span["status"], span["attributes"]["gen_ai.usage.input_tokens"] > 0) for span in ours} == {
        ("chat gpt-4o", "UNSET", True)
    }
    assert all(span["attributes"]["spanledger.cost.pico_usd"] > 0 for span in ours)
    sampled = {span.trace_id.hex(): span.span_id.hex() for span in own_spans(own)}
    for span in ours[:1] if case == "shut down before the end" else ours:
        has_parent = span["attributes"].get("spanledger.parent_sampled", True) and span["parent_span_id"] != ""
        assert has_parent == (span["trace_id"] in sampled)
        assert sampled.get(span["trace_id"], span["parent_span_id"]) == span["parent_span_id"]


def test_an_unsampled_parent_is_named_and_said_to_be_unsampled(places: Places) -> None:
    places.run(CASES["unsampled remote parent"], SPANLEDGER_ENABLED="1")
    (span,) = places.sink.spans()
    assert (span["trace_id"], span["attributes"]["spanledger.parent_sampled"]) == (
        "0af7651916cd43dd8448eb211c80319c",
        False,
    )


def test_otel_sdk_disabled_switches_us_off(places: Places) -> None:
    places.run(CASES["provider before us"], SPANLEDGER_ENABLED="1", OTEL_SDK_DISABLED="true")
    assert places.sink.spans() == []


def test_endpoint_otel_takes_theirs(places: Places) -> None:
    places.run(
        CASES["no provider"],
        SPANLEDGER_ENABLED="1",
        SPANLEDGER_ENDPOINT="otel",
        OTEL_EXPORTER_OTLP_ENDPOINT=places.sink.url,
    )
    assert len(places.sink.spans()) == 2


def test_opentelemetry_instrument_finds_us(places: Places) -> None:
    command = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    program = CLIENT + "call(client)"
    places.run(
        program,
        command,
        sys.executable,
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        # What else is installed here is not what is looked at.
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="openai,anthropic",
    )
    assert [span["name"] for span in places.sink.spans()] == ["chat gpt-4o"]


def test_official_instrumentor_writes_our_price_by_the_completion_hook(places: Places) -> None:
    """Its span says what ours says of the same call."""
    hooked = """
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
provider = own()
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument(tracer_provider=provider)
AnthropicInstrumentor().instrument(tracer_provider=provider)
import anthropic
import openai
import spanledger
client = openai.OpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="none")
claude = anthropic.Anthropic(base_url=os.environ["PROVIDER"], api_key="none")
hello = [{"role": "user", "content": "Hello " * 6000}]
for model in ("gpt-4o", "gpt-4o", "no-such-model"):
    client.chat.completions.create(model=model, messages=hello)
asked = {"stream": True, "stream_options": {"include_usage": True}}
list(client.chat.completions.create(model="gpt-4o", messages=hello, **asked))
client.responses.create(model="gpt-5.4", input="Hello")
cached = [{"type": "text", "text": "Hello " * 6000, "cache_control": {"type": "ephemeral"}}]
for _ in range(2):
    claude.messages.create(model="claude-haiku-4-5", max_tokens=50, system=cached, messages=hello[:1])
client.embeddings.create(model="text-embedding-3-small", input="Hello")
spanledger.flush(60)
"""
    lines = places.run(
        hooked,
        SPANLEDGER_ENABLED="1",
        OTEL_BSP_SCHEDULE_DELAY="20",
        OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK="spanledger",
    )
    theirs = {span.span_id.hex(): span for span in own_spans(lines)}
    compared = [
        (
            _costs(ours["attributes"]),
            _costs({item.key: item.value for item in theirs[ours["parent_span_id"]].attributes}),
        )
        for ours in places.sink.spans()
    ]
    assert len(compared) == 8
    assert all(ours == written for ours, written in compared[:-1])
    assert [ours is None for ours, _ in compared] == [False, False, True, False, False, False, False, False]
    # The official one calls no hook for embeddings.
    assert compared[-1][1] is None


def _costs(attributes: dict[str, Any]) -> tuple[Any, ...] | None:
    names = ("gen_ai.usage.cost", "spanledger.cost.pico_usd", "spanledger.cost.source", "spanledger.price.id")
    if not set(names) & attributes.keys():
        return None
    values = (attributes[name] for name in names)
    return tuple(
        getattr(value, value.WhichOneof("value")) if hasattr(value, "WhichOneof") else value for value in values
    )

"""A process with another instrumentation on, and ours too or not: the cases of the SDK matrix, and all spans of each.

The parent reads a JSON object a line on stdout; see `Told`. Each peer is switched on in the way its own page says,
`before` ours or `after` it. Without names of cases, all of them are run.

    python tests/beside_worker.py PEER alone|before|after [CASE...]
"""

from __future__ import annotations

import asyncio
import base64
import gc
import importlib
import inspect
import json
import os
import re
import sys
import tempfile
from typing import TYPE_CHECKING, Any, TypedDict

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

if TYPE_CHECKING:
    from matrix_cases import Bench, Case
    from otlp_sink import OtlpSink
    from spanledger_cli.demo.plans import BilledCall

INSTRUMENTORS = {
    "otel": (
        "opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor",
        "opentelemetry.instrumentation.genai.anthropic:AnthropicInstrumentor",
    ),
    "openinference": (
        "openinference.instrumentation.openai:OpenAIInstrumentor",
        "openinference.instrumentation.anthropic:AnthropicInstrumentor",
    ),
    "openllmetry": (
        "opentelemetry.instrumentation.openai:OpenAIInstrumentor",
        "opentelemetry.instrumentation.anthropic:AnthropicInstrumentor",
    ),
    "logfire": (),
    "anthropic": (),
}
"""Peer to its instrumentors."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+|127\.0\.0\.1:\d+")


class Told(TypedDict):
    """One case."""

    name: str
    result: str
    """What the application got."""
    ours: list[str]
    """OTLP bodies, base64."""
    foreign: list[str]
    billed: list[dict[str, Any]]
    """The truth: tokens of each call that the provider charges for."""
    faults: dict[str, int]
    """Our own."""


def instrument(peer: str, provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """Switch a peer on."""
    if peer == "logfire":
        logfire = importlib.import_module("logfire")
        to = [SimpleSpanProcessor(exporter)]
        logfire.configure(send_to_logfire=False, console=False, inspect_arguments=False, additional_span_processors=to)
        logfire.instrument_openai()
        logfire.instrument_anthropic()
    for name in INSTRUMENTORS[peer]:
        module, _, kind = name.partition(":")
        getattr(importlib.import_module(module), kind)().instrument(tracer_provider=provider)


def main(peer: str, order: str, *names: str) -> None:
    """Run the cases."""
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "true" if peer == "anthropic" else "false"
    os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "20"
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    if peer != "logfire":  # which sets its own
        trace.set_tracer_provider(provider)
    with tempfile.TemporaryDirectory() as home:
        os.environ["SPANLEDGER_HOME"] = home
        run(peer, order, names, provider, exporter)


def run(
    peer: str, order: str, names: tuple[str, ...], provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """Switch both on in the order asked for, and tell of each case."""
    from otlp_sink import OtlpSink
    from spanledger.otel import SpanledgerInstrumentor

    with OtlpSink() as sink:
        os.environ["SPANLEDGER_ENDPOINT"] = sink.url
        if order == "after":
            SpanledgerInstrumentor().instrument()
        instrument(peer, provider, exporter)
        if order == "before":
            SpanledgerInstrumentor().instrument()

        # Imported here, because they import the SDKs.
        from matrix_anthropic import ANTHROPIC
        from matrix_cases import Bench
        from matrix_openai import OPENAI
        from spanledger_cli.demo.provider import LocalProvider

        with LocalProvider(seed=7) as truth:
            for case in [*OPENAI, *ANTHROPIC]:
                if not names or case.name in names:
                    before = len(truth.billed)
                    result = outcome(case, Bench(truth))
                    told = tell(case.name, result, sink, exporter, truth.billed[before:])
                    print(json.dumps(told, default=str), flush=True)


def outcome(case: Case, bench: Bench) -> str:
    """Run a case, and say what the application got."""
    try:
        result: Any = case.run(bench)
        result = asyncio.run(result) if inspect.iscoroutine(result) else result
    except Exception as error:  # the peer's doing, if it happens without us too
        result = f"raised {error!r}"
    gc.collect()
    return _ADDRESS.sub("", repr(result))


def tell(name: str, result: str, sink: OtlpSink, exporter: InMemorySpanExporter, billed: list[BilledCall]) -> Told:
    """Collect the spans of a case, and forget them."""
    import spanledger
    from spanledger import faults

    spanledger.flush(20)
    finished = exporter.get_finished_spans()
    told = Told(
        name=name,
        result=result,
        ours=[encoded(request.body.SerializeToString()) for request in sink.received],
        foreign=[encoded(encode_spans(finished).SerializeToString())] if finished else [],
        billed=[call.usage._asdict() for call in billed],
        faults=faults.counts(),
    )
    exporter.clear()
    sink.received.clear()
    return told


def encoded(body: bytes) -> str:
    """Return bytes as JSON can carry them."""
    return base64.b64encode(body).decode()


if __name__ == "__main__":
    main(*sys.argv[1:])

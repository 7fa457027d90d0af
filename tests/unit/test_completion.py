"""The completion hook prices what stands on a span of OpenTelemetry's SDK, as the ledger would."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanledger import faults, names
from spanledger.attributes import usage_attributes
from spanledger.otel import CompletionHook
from spanledger.pricing import price
from spanledger.usage import Usage

AT_NS = 1_795_000_000_000_000_000
CALL = {
    names.OPERATION: "chat",
    names.PROVIDER: "anthropic",
    names.REQUEST_MODEL: "claude-haiku-4-5",
    names.RESPONSE_MODEL: "claude-haiku-4-5",
}
USAGES = (
    Usage.from_totals(1000, 100),
    Usage.from_totals(4520, 130, cache_read_tokens=3000, cache_write_5m_tokens=1500, reasoning_tokens=30),
    Usage.from_totals(4520, 130, cache_write_5m_tokens=100, cache_write_1h_tokens=200),
    Usage.from_totals(0, 0),
)


def hooked(attributes: Mapping[str, str | int]) -> dict[str, object]:
    """Return what the hook adds to a span with these attributes."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = provider.get_tracer("official").start_span("chat", attributes=attributes, start_time=AT_NS)
    CompletionHook().on_completion(inputs=["what the user said"], outputs=[], system_instruction=[], span=span)
    span.end()
    (ended,) = exporter.get_finished_spans()
    assert isinstance(ended, ReadableSpan)
    return {name: value for name, value in (ended.attributes or {}).items() if name not in attributes}


@pytest.mark.parametrize("usage", USAGES)
def test_cost_is_that_of_the_ledger(usage: Usage) -> None:
    counts = {name: value for name, value in usage_attributes(usage).items() if isinstance(value, int)}
    priced = price("anthropic", "claude-haiku-4-5", usage, AT_NS)
    assert priced.cost_pico is not None
    assert hooked({**CALL, **counts}) == {
        names.COST_USD: priced.cost_pico / 1e12,
        names.COST_PICO_USD: priced.cost_pico,
        names.COST_SOURCE: priced.cost_source,
        names.PRICE_ID: priced.price_id,
    }


def test_service_tier_of_the_answer_is_heeded() -> None:
    counts = {names.INPUT_TOKENS: 1000, names.OUTPUT_TOKENS: 100}
    gpt: dict[str, str | int] = {
        **CALL,
        **counts,
        names.PROVIDER: "openai",
        names.REQUEST_MODEL: "gpt-5.4",
        names.RESPONSE_MODEL: "gpt-5.4",
    }
    plain, flex = hooked(gpt), hooked({**gpt, "openai.response.service_tier": "flex"})
    assert str(flex[names.PRICE_ID]).endswith("+service_tier=flex")
    assert flex[names.COST_PICO_USD] != plain[names.COST_PICO_USD]


@pytest.mark.parametrize(
    "attributes",
    [
        CALL,
        {**CALL, names.INPUT_TOKENS: 10, names.OUTPUT_TOKENS: 1, names.OPERATION: "invoke_agent"},
        {**CALL, names.INPUT_TOKENS: 10, names.OUTPUT_TOKENS: 1, names.OPERATION: "fetch_response"},
        {**CALL, names.INPUT_TOKENS: 10, names.OUTPUT_TOKENS: 1, names.RESPONSE_MODEL: "nobody-knows"},
        {**CALL, names.INPUT_TOKENS: 10, names.OUTPUT_TOKENS: 1, names.CACHE_READ_TOKENS: 11},
    ],
)
def test_what_is_no_call_or_has_no_price_stays_as_it_is(attributes: dict[str, str | int]) -> None:
    attributes = {**attributes, names.REQUEST_MODEL: attributes[names.RESPONSE_MODEL]}
    assert hooked(attributes) == {}


@pytest.mark.parametrize("span", [None, object()])
def test_a_span_that_is_none_is_no_fault(span: object) -> None:
    before = faults.counts()
    CompletionHook().on_completion(span=span)
    assert faults.counts() == before


def test_an_ended_span_is_left_alone() -> None:
    provider = TracerProvider()
    span = provider.get_tracer("official").start_span("chat", attributes={**CALL, names.INPUT_TOKENS: 10})
    span.end()
    CompletionHook().on_completion(span=span)
    assert isinstance(span, ReadableSpan)
    assert names.COST_PICO_USD not in (span.attributes or {})

"""Records become OpenTelemetry spans here, priced, through a tracer provider of our own.

The provider is private: never the global one, never sampled down, without the limits that an application may set for
its own spans, since a ledger that misses calls or cuts amounts is none. Everything here runs on the ledger's thread.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from . import faults, names
from .book import shipped_book
from .pricing import PriceContext, price
from .record import Attributes, Metered, Place, Record
from .settings import Settings

_KINDS: Final = {"client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_NO_LIMITS: Final = SpanLimits(
    max_events=SpanLimits.UNSET,
    max_links=SpanLimits.UNSET,
    max_span_attributes=SpanLimits.UNSET,
    max_event_attributes=SpanLimits.UNSET,
    max_link_attributes=SpanLimits.UNSET,
    max_span_attribute_length=SpanLimits.UNSET,
)


class SpanMaker:
    """Makes OTLP bodies from records."""

    def __init__(self, settings: Settings) -> None:
        self._ids = _DrawnIds()
        self._ended = _Ended()
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=_resource(settings),
            shutdown_on_exit=False,
            id_generator=self._ids,
            span_limits=_NO_LIMITS,
        )
        provider.add_span_processor(self._ended)
        self._tracer = provider.get_tracer(names.SCOPE, version("spanledger"))
        shipped_book()  # read now, while nobody waits

    def encode(self, records: list[Record]) -> bytes:
        """Return an ExportTraceServiceRequest with a span for each record that can be encoded."""
        try:
            return self._encode(records)
        except Exception as error:
            if len(records) == 1:
                faults.report("call lost from the ledger, it cannot be encoded", error)
                return b""
            # One after the other, so that only the culprit is lost; such bodies join by concatenation.
            return b"".join(self.encode([record]) for record in records)

    def _encode(self, records: list[Record]) -> bytes:
        self._ended.take()
        for record in records:
            self._make(record)
        return encode_spans(self._ended.take()).SerializeToString()

    def _make(self, record: Record) -> None:
        self._ids.place = record.place
        span = self._tracer.start_span(
            record.name,
            context=_parent(record.place),
            kind=_KINDS[record.kind],
            attributes=record.attributes,
            start_time=record.start_ns,
        )
        if record.metered is not None:
            span.set_attributes(cost_attributes(record.metered, record.start_ns))
        for event in record.events:
            span.add_event(event.name, dict(event.attributes), event.time_ns)
        if record.error is not None:
            span.set_status(Status(StatusCode.ERROR, record.error))
        span.end(record.end_ns)


def cost_attributes(metered: Metered, at_ns: int) -> Attributes:
    """Price a call; an unpriced one has no cost attributes at all, because unknown is not zero."""
    priced = price(
        metered.provider,
        metered.model,
        metered.usage,
        at_ns,
        PriceContext(service_tier=metered.service_tier, speed=metered.speed, region=metered.region),
        request_model=metered.request_model,
    )
    if priced.cost_pico is None or priced.price_id is None:
        return {}
    return {
        names.COST_USD: priced.cost_pico / 1e12,
        names.COST_PICO_USD: priced.cost_pico,
        names.COST_SOURCE: priced.cost_source,
        names.PRICE_ID: priced.price_id,
    }


def _resource(settings: Settings) -> Resource:
    """Describe this process; without `Resource.create`, which starts threads and so fails while the process ends."""
    ours = {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": version("opentelemetry-sdk"),
        "telemetry.distro.name": names.SCOPE,
        "telemetry.distro.version": version("spanledger"),
        "service.name": settings.service or "unknown_service",
    }
    if settings.environment:
        ours["deployment.environment.name"] = settings.environment
    return Resource(ours).merge(OTELResourceDetector().detect())


def _parent(place: Place) -> Context:
    if place.parent_id is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if place.parent_sampled else TraceFlags.DEFAULT)
    parent = SpanContext(place.trace_id, place.parent_id, is_remote=False, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(parent), Context())


class _DrawnIds(IdGenerator):
    """Gives a span the ids that were drawn when its work started."""

    place = Place(0, 0)

    def generate_span_id(self) -> int:
        return self.place.span_id

    def generate_trace_id(self) -> int:
        return self.place.trace_id


class _Ended(SpanProcessor):
    """Keeps ended spans until they are encoded."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.append(span)

    def take(self) -> list[ReadableSpan]:
        """Return the spans ended since the last time."""
        spans, self._spans = self._spans, []
        return spans

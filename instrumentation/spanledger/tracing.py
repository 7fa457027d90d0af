"""Records become OTLP spans here, priced. Everything here runs on the ledger's thread.

No tracer provider of OpenTelemetry's has a part in it: the application's own may sample, limit or shut down as it
likes, and a ledger that misses calls or cuts amounts is none.
"""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import unquote

from . import faults, names
from .book import shipped_book
from .otlp import encode_request, encode_span
from .pricing import PriceContext, price
from .record import Attributes, Finished, Metered
from .redaction import content_attributes
from .settings import Settings


class SpanMaker:
    """Makes OTLP bodies from records."""

    def __init__(self, settings: Settings, key_id: str | None = None) -> None:
        try:
            release = version("spanledger")
        except PackageNotFoundError:  # in a zipapp, or copied into an application
            release = "unknown"
        self._scope = (names.SCOPE, release)
        self._resource = _resource(settings, release)
        if key_id is not None:
            self._resource[names.FEATURES_KEY_ID] = key_id
        try:
            shipped_book()  # now, while nobody waits
        except Exception as error:
            faults.report("calls recorded without a price", error)

    def encode(self, finished: list[Finished]) -> bytes:
        """Return an ExportTraceServiceRequest with a span for each piece of work that can be encoded."""
        spans = []
        for work in finished:
            try:
                record = work.record()
                more = _cost_attributes(record.metered, record.start_ns) if record.metered is not None else {}
                if record.content is not None:
                    more = {**more, **content_attributes(record.content)}
                spans.append(encode_span(record, more))
            except Exception as error:
                faults.report("call lost from the ledger, it cannot be encoded", error)
        return encode_request(self._resource, self._scope, spans) if spans else b""


def _cost_attributes(metered: Metered, at_ns: int) -> Attributes:
    try:
        return cost_attributes(metered, at_ns)
    except Exception as error:  # the collector prices every call again
        faults.report("calls recorded without a price", error)
        return {}


def cost_attributes(metered: Metered, at_ns: int) -> Attributes:
    """Price a call; an unpriced one has no cost attributes at all, because unknown is not zero."""
    priced = price(
        metered.provider,
        metered.model,
        metered.usage,
        at_ns,
        PriceContext(metered.processing, metered.service_tier, metered.speed, metered.region),
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


def _resource(settings: Settings, release: str) -> dict[str, str]:
    """Describe this process; what OTEL_RESOURCE_ATTRIBUTES says wins, save for the name in OTEL_SERVICE_NAME."""
    described = {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": names.SCOPE,
        "telemetry.sdk.version": release,
        "service.name": settings.service or "unknown_service",
    }
    if settings.environment:
        described["deployment.environment.name"] = settings.environment
    for item in filter(None, os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")):
        key, found, value = item.partition("=")
        if found and key.strip():
            described[key.strip()] = unquote(value.strip())
    if settings.service:
        described["service.name"] = settings.service
    return described

"""Records become OTLP spans here, priced. Everything here runs on the ledger's thread.

No tracer provider of OpenTelemetry's has a part in it: the application's own may sample, limit or shut down as it
likes, and a ledger that misses calls or cuts amounts is none.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING
from urllib.parse import unquote

from . import base_file, contract, faults, names
from .attributes import usage_attributes
from .beside import instrumentations
from .book import current_book
from .cost import priced_by_book
from .estimate import Estimates
from .otlp import encode_request, encode_span
from .pricing import Priced
from .record import Attributes, Finished, Metered, Record, lose
from .redaction import content_attributes
from .settings import Settings

if TYPE_CHECKING:
    from .guard.admission import Admission
    from .guard.paid_later import PaidLater


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
        self._estimates = Estimates()
        base_file.use_or_report(settings)
        try:
            current_book()  # now, while nobody waits
        except Exception as error:
            faults.report("calls recorded without a price", error)
        try:
            _use_contract(settings)
        except Exception as error:  # the collector prices every call again
            faults.report("calls priced by the list", error, expected=True)

    def encode(self, finished: list[Finished]) -> bytes:
        """Return an ExportTraceServiceRequest with a span for each piece of work that can be encoded."""
        spans = []
        for work in finished:
            try:
                record = work.record()
                metered = self._weighed(record)
                more = self._money(metered, record.start_ns) if metered is not None else {}
                if record.admission is not None and record.admission.held:
                    settle(record.admission, metered, more)
                if record.tally is not None:
                    _tell(record, more)
                if record.content is not None:
                    more = {**more, **content_attributes(record.content)}
                spans.append(encode_span(record, more))
            except Exception as error:
                faults.report("call lost from the ledger, it cannot be encoded", error)
                lose(work)
        return encode_request(self._described(), self._scope, spans) if spans else b""

    def _described(self) -> dict[str, str]:
        """Describe this process as it is now: another instrumentation may come at any time."""
        others = instrumentations()
        return {**self._resource, names.BESIDE: others} if others else self._resource

    def _weighed(self, record: Record) -> Metered | None:
        """Return what the price of a call depends on, with an estimate of what its provider left out."""
        metered = record.metered
        try:
            return self._weigh(record, metered) if metered is not None else None
        except Exception as error:
            faults.report("calls recorded without an estimate", error)
            return metered

    def _money(self, metered: Metered, at_ns: int) -> Attributes:
        """Price a call."""
        try:
            return cost_attributes(metered, at_ns)
        except Exception as error:  # the collector prices every call again
            faults.report("calls recorded without a price", error)
            return {}

    def _weigh(self, record: Record, metered: Metered) -> Metered:
        """Estimate the usage where it is not final, and learn from it where it is."""
        evidence, known = metered.evidence, metered.usage
        if evidence is None or known.state == "inconsistent":
            return metered
        if known.state == "reported":
            self._estimates.learn(metered.provider, metered.request_model, known, evidence)
            return metered
        found = self._estimates.complete(metered.provider, metered.request_model, metered.model, known, evidence)
        if found is None:
            return metered
        usage, method = found
        if evidence.answered:
            record.attributes.update(usage_attributes(usage))
            record.attributes[names.USAGE_METHOD] = method
        return metered._replace(usage=usage)


def settle(admission: Admission | PaidLater, metered: Metered | None, money: Attributes) -> None:
    """Settle a call whose tokens had to be counted here first."""
    pico = money.get(names.COST_PICO_USD)
    answered = metered is not None and _is_answered(metered)
    usage = metered.usage if metered is not None and answered else None
    admission.end(usage, pico if isinstance(pico, int) else None, billed=True)


def _tell(record: Record, money: Attributes) -> None:
    """Tell the step that this is part of what it cost."""
    pico = money.get(names.COST_PICO_USD, record.attributes.get(names.COST_PICO_USD))
    is_unknown = pico is None and record.error is None and names.USAGE_STATE in record.attributes
    if record.tally is not None and (is_unknown or pico is not None):
        record.tally.add(pico if isinstance(pico, int) else None)


def cost_attributes(metered: Metered, at_ns: int) -> Attributes:
    """Price a call; an unpriced one has no cost attributes at all, because unknown is not zero.

    What a provider states is what it bills, so that goes before the book.
    """
    priced = priced_by_book(metered, at_ns)
    found: Attributes = _retry_attributes(priced, metered.uncertain_attempts) if metered.uncertain_attempts else {}
    if metered.stated_pico is not None:
        found[names.COST_USD] = metered.stated_pico / 1e12
        found[names.COST_PICO_USD] = found[names.STATED_COST_PICO_USD] = metered.stated_pico
        found[names.COST_SOURCE] = "provider"
    elif priced.cost_pico is not None and priced.price_id is not None and _is_answered(metered):
        found[names.COST_USD] = priced.cost_pico / 1e12
        found[names.COST_PICO_USD] = priced.cost_pico
        found[names.COST_SOURCE] = priced.cost_source
        found[names.PRICE_ID] = priced.price_id
    return _avoided(found) if metered.served else found


def _avoided(cost: Attributes) -> Attributes:
    """Say of an answer from our cache what it would have cost; its own cost, nothing, stands on it already."""
    pico = cost.get(names.COST_PICO_USD)
    return {names.AVOIDED_PICO_USD: pico} if pico is not None else {}


def _is_answered(metered: Metered) -> bool:
    return metered.evidence is None or metered.evidence.answered


def _retry_attributes(priced: Priced, attempts: int) -> Attributes:
    """Estimate what failed attempts cost, if they were billed: the call's input each; their output is not known."""
    if priced.cost_pico is None:
        return {}
    parts = priced.cost_input_pico, priced.cost_cache_read_pico, priced.cost_cache_write_pico
    return {names.RETRY_COST_PICO_USD: attempts * sum(part or 0 for part in parts)}


def _use_contract(settings: Settings) -> None:
    path = contract.named(settings)
    # Most programs have none, and do without what reads one.
    contract.use(import_module(".contract_file", __package__).read_contract(path) if path else contract.NONE)


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

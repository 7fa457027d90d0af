"""Outcomes: how work ended and what it was worth, said on the spot or later, from any process.

Later means by what the work is known by, its session or its trace; a span of its own carries such an outcome.
"""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation

import _spanledger_boot as switch

from . import faults, ledger, names, tagging
from .record import Attributes, AttributeValue, Event, Place, Record, place_below
from .spans import OpenSpan, current

Amount = Decimal | int | float | str


def outcome(
    name: str,
    *,
    success: bool | None = None,
    value_usd: Amount | None = None,
    session_id: str | None = None,
    trace_id: str | None = None,
) -> None:
    """Say how work ended, and what it was worth in US dollars.

    Without a session or a trace (32 hex digits) it is the work under way: the outcome goes on the innermost open ledger
    span; where there is none, on a span of its own in the current trace.
    """
    try:
        if not switch.on or (worker := ledger.start()) is None:
            return
        open_span = current.get()
        if (
            open_span is None
            or session_id is not None
            or trace_id is not None
            or not open_span.add(_event(name, success, value_usd))
        ):
            record = outcome_record(name, success, value_usd, session_id, trace_id)
            ledger.add(record)
            place = record.place
        else:
            place = open_span.place
        if success is not None and worker.gate is not None and worker.gate.router is not None:
            session = session_id if trace_id is not None else session_id or tagging.current.get().get(names.SESSION_ID)
            worker.gate.router.outcome(success, session, f"{place.trace_id:032x}")
    except Exception as error:
        faults.report("outcome not recorded", error)


def outcome_record(
    name: str, success: bool | None, value_usd: Amount | None, session_id: str | None, trace_id: str | None
) -> Record:
    """Make the span that carries an outcome; raises ValueError for a trace id that is none."""
    event = _event(name, success, value_usd)
    attributes: Attributes = {**tagging.current.get()}
    if session_id is not None:
        attributes[names.SESSION_ID] = session_id
    alone = OpenSpan("outcome " + str(event.attributes[names.EVALUATION_NAME]), attributes)
    alone.events.append(event)
    if trace_id is not None:
        alone.place = _place_in(trace_id)
    return alone.record(None)


def _place_in(trace_id: str) -> Place:
    number = int(trace_id, 16) if len(trace_id) == 32 else 0
    if not number:
        raise ValueError(f"trace id {trace_id!r}: expected 32 hex digits, not all of them 0")
    return Place(number, place_below(None).span_id)


def _event(name: str, success: bool | None, value_usd: Amount | None) -> Event:
    attributes: dict[str, AttributeValue] = {names.EVALUATION_NAME: str(name)}
    if success is not None:
        attributes[names.EVALUATION_LABEL] = "success" if success else "failure"
        attributes[names.EVALUATION_SCORE] = 1.0 if success else 0.0
    if value_usd is not None:
        try:
            # By way of text, so that 0.1 means a tenth.
            value = Decimal(str(value_usd))
            if value.is_finite():
                attributes[names.OUTCOME_VALUE_USD] = f"{value:f}"
        except InvalidOperation as error:
            faults.report(f"value of outcome {name} left out, not a number", error)
    return Event(names.EVALUATION_EVENT, time.time_ns(), attributes)

"""Outcomes: how work ended and what evaluations said of it, from events on spans and from log events.

OpenTelemetry has one event for both, `gen_ai.evaluation.result`, and `spanledger.outcome` sends it too. An outcome is
known by what it says, so that one which is sent again is the same; why a judge judged so is text of a model, and not
kept here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from spanledger import names

from .agent_events import Attributes, first_text, hashed, ids_of, moment_of, time_of
from .tables import OUTCOMES
from .wire import JsonValue

OutcomeRow = dict[str, JsonValue | Decimal | datetime]
_SCORE: Final = (Decimal("1e-6"), Decimal("1e12"))
_MONEY: Final = (Decimal("1e-12"), Decimal("1e6"))
"""Step and limit of what a column can hold."""
_FROM_LOGS: Final[Mapping[str, tuple[str, ...]]] = {
    "response_id": (names.RESPONSE_ID,),
    "service_name": ("service.name",),
    "session_id": (names.SESSION_ID, "gen_ai.conversation.id"),
    "user_id": (names.USER_ID, "enduser.id"),
    "team_id": (names.TEAM_ID,),
    "customer_id": (names.CUSTOMER_ID,),
    "feature": (names.FEATURE,),
}
"""Column -> attributes of a log record, or else of its resource; a span has them as columns."""


def outcome_table(rows: list[OutcomeRow]) -> pa.Table:
    """Return outcomes as a table of `OUTCOMES`."""
    return pa.Table.from_pylist(rows, OUTCOMES.schema)


def outcomes_of_spans(spans: pa.Table) -> Iterator[OutcomeRow]:
    """Yield the outcomes that stand in the events of rows of `spans`."""
    told = pc.fill_null(pc.match_substring(spans["events"], f'"{names.EVALUATION_EVENT}"'), False)
    about = ("trace_id", "span_id", *_FROM_LOGS)
    for row in spans.filter(told).select([*about, "scope_name", "ingested_at", "events"]).to_pylist():
        for event in json.loads(row["events"]):
            if event["name"] == names.EVALUATION_EVENT:
                known = {name: row[name] for name in about}
                when = datetime.fromisoformat(event["time"])
                yield _outcome(known, row["scope_name"], when, row["ingested_at"], event["attributes"])


def outcome_of_log(
    record: LogRecord, scope: str, own: Attributes, resource: Attributes, received_ns: int
) -> OutcomeRow:
    """Return the outcome that a log event tells of the span that it names; `own` are its attributes."""
    trace_id, span_id = ids_of(record)
    known: OutcomeRow = {"trace_id": trace_id, "span_id": span_id}
    known |= {name: first_text((own, resource), keys) for name, keys in _FROM_LOGS.items()}
    return _outcome(known, scope or None, moment_of(time_of(record, own)), moment_of(received_ns), own)


def _outcome(
    known: OutcomeRow, source: str | None, when: datetime, ingested_at: datetime, said: Attributes
) -> OutcomeRow:
    name, label, score, worth = (
        said.get(key)
        for key in (names.EVALUATION_NAME, names.EVALUATION_LABEL, names.EVALUATION_SCORE, names.OUTCOME_VALUE_USD)
    )
    told = [known["trace_id"], known["span_id"], known["session_id"], when.isoformat(), name, label, score, worth]
    return {
        **known,
        "outcome_id": hashed(*(str(part) for part in told))[:16].hex(),
        "name": None if name is None else str(name),
        "label": None if label is None else str(label),
        "score": _decimal(score, *_SCORE),
        "value_usd": _decimal(worth, *_MONEY),
        "source": source,
        "occurred_at": when,
        "ingested_at": ingested_at,
    }


def _decimal(value: JsonValue, step: Decimal, limit: Decimal) -> Decimal | None:
    """Return a number exactly as it is written, None for one that is none or too large."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(str(value))
        return number.quantize(step, ROUND_HALF_UP) if abs(number) < limit else None
    except InvalidOperation:
        return None

"""OTLP bodies in files -> the rows they would become, as plain JSON objects.

Each file is a batch of its own, so what one call shows doesn't depend on which files stand beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from .bodies import read_body
from .controls import REFUSING
from .errors import MalformedError
from .row import TEXT_MAP, UNIT_MAP
from .signals import convert_batch
from .tables import OUTCOMES, READINGS, SPANS, LakeTable
from .wal import Record, Signal
from .wire import JsonValue

_NOTHING: Final[Mapping[Signal, str]] = {
    "traces": "no spans in it",
    "logs": "no event of a coding agent and no outcome in it",
    "metrics": "no metric that counts tokens or cost in it",
}
_NOT_A_CALL: Final = {"fetch_response": "retrieve", "count_tokens": "free", "moderation": "free"}


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a file holds."""

    rows: list[dict[str, JsonValue]]
    """Of a span: its columns, and `file`, `counted`, `not_counted_reason`. Of an outcome or a reading: its columns, and
    `file`, `table`."""
    faults: list[str]
    """Why something in it is no row."""


def inspect_file(path: Path, signal: Signal = "traces") -> Inspected:
    """Return the rows of one OTLP body, protobuf or JSON, whatever their dates.

    Raises:
        OSError: the file can't be read.
    """
    body = path.read_bytes()
    try:
        if path.suffix == ".json" or body.lstrip()[:1] == b"{":
            body = b"".join(one.data for one in read_body(body) if one.signal == signal)
    except MalformedError as error:
        return Inspected([], [str(error)])
    produced = convert_batch([Record(time.time_ns(), body, signal)], any_date=True)
    rows = [_span(row, path) for row in produced.of(SPANS).to_pylist()]
    if signal != "traces":
        beside = (OUTCOMES, READINGS)
        rows += [_beside(row, path, table) for table in beside for row in produced.of(table).to_pylist()]
    faults = [reason for _, reason in produced.dead]
    return Inspected(rows, faults if faults or rows else [_NOTHING[signal]])


def not_counted_reason(row: dict[str, object]) -> str | None:
    """Say why a row is not a charge; None for one that is, priced or not."""
    if row["duplicate_of"] is not None:
        return "duplicate"
    if row["guard_action"] in REFUSING and row["cost_usd"] == 0:
        return "refused"
    if row["role"] == "inference" or row["cost_usd"] is not None:
        return None
    if row["unpriced_reason"] == "aggregate":
        return "aggregate"
    return _NOT_A_CALL.get(str(row["operation"]), "not_inference")


def _span(row: dict[str, object], path: Path) -> dict[str, JsonValue]:
    reason = not_counted_reason(row)
    return {"file": str(path), "counted": reason is None, "not_counted_reason": reason, **_shown(row, SPANS)}


def _beside(row: dict[str, object], path: Path, table: LakeTable) -> dict[str, JsonValue]:
    return {"file": str(path), "table": table.name, **_shown(row, table)}


def _shown(row: dict[str, object], table: LakeTable) -> dict[str, JsonValue]:
    shown: dict[str, JsonValue] = {}
    for field in table.schema:
        value = row[field.name]
        is_map = field.type in (TEXT_MAP, UNIT_MAP)
        shown[field.name] = {str(key): _json(item) for key, item in _pairs(value)} if is_map else _json(value)
    return shown


def _pairs(value: object) -> Iterator[tuple[object, object]]:
    if isinstance(value, list):
        yield from value


def _json(value: object) -> JsonValue:
    """Return decimals as text, times as RFC 3339 with Z."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, list):
        return [_json(item) for item in value]
    return value if value is None or isinstance(value, int | float) else str(value)

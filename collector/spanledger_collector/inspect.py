"""OTLP bodies in files -> the rows they would become, as plain JSON objects.

Each file is a batch of its own, so what one call shows doesn't depend on which files stand beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .errors import MalformedError
from .otlp_json import read_json
from .row import SCHEMA, TEXT_MAP, UNIT_MAP
from .rows import convert
from .wire import JsonValue

_NOT_A_CALL: Final = {"fetch_response": "retrieve", "count_tokens": "free", "moderation": "free"}


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a file holds."""

    rows: list[dict[str, JsonValue]]
    """Columns of the row, and `file`, `counted`, `not_counted_reason`."""
    faults: list[str]
    """Why something in it is no row."""


def inspect_file(path: Path) -> Inspected:
    """Return the rows of one OTLP body, protobuf or JSON, whatever their dates.

    Raises:
        OSError: the file can't be read.
    """
    body = path.read_bytes()
    try:
        if path.suffix == ".json" or body.lstrip()[:1] == b"{":
            body = read_json(body, ExportTraceServiceRequest).SerializeToString()
    except MalformedError as error:
        return Inspected([], [str(error)])
    converted = convert([body], [time.time_ns()], any_date=True)
    faults = [dead.reason for dead in converted.dead]
    if not faults and not converted.rows.num_rows:
        faults.append("no spans in it")
    return Inspected([_shown(row, path) for row in converted.rows.to_pylist()], faults)


def not_counted_reason(row: dict[str, object]) -> str | None:
    """Say why a row is not a charge; None for one that is, priced or not."""
    if row["duplicate_of"] is not None:
        return "duplicate"
    if row["role"] == "inference" or row["cost_usd"] is not None:
        return None
    if row["unpriced_reason"] == "aggregate":
        return "aggregate"
    return _NOT_A_CALL.get(str(row["operation"]), "not_inference")


def _shown(row: dict[str, object], path: Path) -> dict[str, JsonValue]:
    reason = not_counted_reason(row)
    shown: dict[str, JsonValue] = {"file": str(path), "counted": reason is None, "not_counted_reason": reason}
    for field in SCHEMA:
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

"""Records of all signals -> rows of all tables: log events and traces become spans together, metrics readings.

What one record can't give must not cost the others theirs, so a fault that takes a batch down is narrowed to the
records that cause it: halves are tried, and only those that fail alone are set aside.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import pyarrow as pa
from google.protobuf.message import DecodeError

from .logs import read_logs
from .outcomes import OutcomeRow, outcome_table, outcomes_of_spans
from .readings import ReadingRow, read_metrics, reading_table
from .rows import LAST_NS, NEWEST_NS, OLDEST_NS, Dead, convert
from .tables import OUTCOMES, READINGS, SPANS, LakeTable
from .wal import Record

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Produced:
    """What became of some records."""

    tables: dict[str, pa.Table]
    """Name of a table of the lake to rows of it, where there are any."""
    dead: list[tuple[bytes, str]] = field(default_factory=list)
    """What can't be converted, and why."""

    def of(self, table: LakeTable) -> pa.Table:
        """Return the rows of one table."""
        return self.tables.get(table.name, table.schema.empty_table())


@dataclass(slots=True)
class _Sorted:
    """Records by what they become."""

    bodies: list[bytes] = field(default_factory=list)
    """Trace requests."""
    received_ns: list[int] = field(default_factory=list)
    outcomes: list[OutcomeRow] = field(default_factory=list)
    readings: list[ReadingRow] = field(default_factory=list)
    dead: list[tuple[bytes, str]] = field(default_factory=list)


def convert_records(records: Sequence[Record], billing: Mapping[str, str] = MappingProxyType({})) -> Produced:
    """Return what becomes of `records`; never fails for one of them. `billing` is that of `rows.convert`."""
    try:
        return convert_batch(records, billing)
    except Exception as error:
        if len(records) == 1:
            return Produced({}, [(records[0].payload, _words(error))])
        LOG.warning("%d records can't be converted together, trying halves: %s", len(records), error)
        middle = len(records) // 2
        return join([convert_records(half, billing) for half in (records[:middle], records[middle:])])


def join(parts: Sequence[Produced]) -> Produced:
    """Return several results as one."""
    tables = defaultdict[str, list[pa.Table]](list)
    for part in parts:
        for name, rows in part.tables.items():
            tables[name].append(rows)
    return Produced(
        {name: pa.concat_tables(rows) for name, rows in tables.items()},
        [entry for part in parts for entry in part.dead],
    )


def convert_batch(
    records: Sequence[Record], billing: Mapping[str, str] = MappingProxyType({}), *, any_date: bool = False
) -> Produced:
    """Return what becomes of `records`, together; `any_date` is for looking at them.

    Raises:
        Exception: one of them is more than the code can cope with.
    """
    now_ns = time.time_ns()
    dates = (0, LAST_NS) if any_date else (max(now_ns - OLDEST_NS, 0), now_ns + NEWEST_NS)
    found = _sort(records, dates)
    tables = {}
    if found.bodies:
        converted = convert(found.bodies, found.received_ns, now_ns=now_ns, any_date=any_date, billing=billing)
        tables[SPANS.name] = converted.rows
        found.outcomes += outcomes_of_spans(converted.rows)
        found.dead += [(found.bodies[one.body_index], one.reason) for one in converted.dead if one.spans is None]
        found.dead += _by_reason(converted.dead)
    if found.outcomes:
        tables[OUTCOMES.name] = outcome_table(found.outcomes)
    if found.readings:
        tables[READINGS.name] = reading_table(found.readings)
    return Produced(tables, found.dead)


def _sort(records: Sequence[Record], dates: tuple[int, int]) -> _Sorted:
    found = _Sorted()
    for record in records:
        try:
            _sort_in(found, record, dates)
        except DecodeError as error:
            found.dead.append((record.payload, f"not an OTLP {record.signal} request: {error}"))
    return found


def _sort_in(found: _Sorted, record: Record, dates: tuple[int, int]) -> None:
    body = record.payload
    if record.signal == "metrics":
        found.readings += read_metrics(body, record.received_ns, *dates)
        return
    if record.signal == "logs":
        read = read_logs(body, record.received_ns, *dates)
        found.outcomes += read.outcomes
        found.dead += [(alone, "an outcome dated more than 400 days ago or a day ahead") for alone in read.refused]
        if not read.spans.resource_spans:
            return
        body = read.spans.SerializeToString()
    found.bodies.append(body)
    found.received_ns.append(record.received_ns)


def _by_reason(dead: Sequence[Dead]) -> list[tuple[bytes, str]]:
    """Join requests by reason: a client with a wrong clock would fill the disk with files otherwise."""
    joined = defaultdict[str, list[bytes]](list)
    for one in dead:
        if one.spans is not None:
            joined[one.reason].append(one.spans)
    return [(b"".join(requests), reason) for reason, requests in joined.items()]


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

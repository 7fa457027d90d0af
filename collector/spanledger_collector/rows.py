"""OTLP bodies -> priced rows: the whole way of a batch inside the converter process.

Nothing here can fail for one bad span: what can't become a row comes back in `dead`, with its bytes and a reason.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from . import loop
from .duplicates import mark_duplicates
from .normalise import normalise
from .plans import price_all

try:
    from . import columns
except ImportError:  # no ptars for this platform: the loop does the same, three times slower
    columns = None  # type: ignore[assignment]

LOG = logging.getLogger(__name__)
DAY_NS: Final = 86_400 * 10**9
OLDEST_NS: Final = 400 * DAY_NS
NEWEST_NS: Final = DAY_NS
LAST_NS: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Dead:
    """What can't become a row."""

    body_index: int
    """Which of the bodies it came in."""
    spans: bytes | None
    """The spans of the body with this reason as a request of their own, to be replayed; None for the whole body."""
    reason: str


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of a batch."""

    rows: pa.Table
    """`row.SCHEMA`, priced, in the order of the wire."""
    dead: list[Dead]


def convert(
    bodies: Sequence[bytes],
    received_ns: Sequence[int],
    *,
    now_ns: int | None = None,
    any_date: bool = False,
    billing: Mapping[str, str] = MappingProxyType({}),
) -> Converted:
    """Turn OTLP trace bodies (protobuf) into priced rows; the bodies together are one batch.

    Args:
        bodies: ExportTraceServiceRequest bytes.
        received_ns: When each body was taken in, nanoseconds since 1970.
        now_ns: The clock, for spans dated outside [now - 400 days, now + 1 day]; None for the real one.
        any_date: Take spans of any date, to look at them.
        billing: Pattern of a service's name -> usage or plan, for calls that don't say themselves who pays.
    """
    raw, dead = read(bodies)
    raw, refused = _refuse(raw, bodies, None if any_date else now_ns or time.time_ns())
    return Converted(price_all(mark_duplicates(normalise(raw, received_ns, billing))), dead + refused)


def read(bodies: Sequence[bytes]) -> tuple[pa.Table, list[Dead]]:
    """Return the raw table of the bodies that can be read, and those that can't.

    One unreadable body sends the whole batch through the loop, which sorts it out body by body.
    """
    if columns is not None:
        try:
            return columns.read_bodies(bodies), []
        except (ValueError, DecodeError, pa.ArrowException) as error:
            LOG.info("reading %d bodies one by one: %s", len(bodies), error)
    return _read_one_by_one(bodies)


def _read_one_by_one(bodies: Sequence[bytes]) -> tuple[pa.Table, list[Dead]]:
    readable: list[int] = []
    dead: list[Dead] = []
    for index, body in enumerate(bodies):
        try:
            ExportTraceServiceRequest.FromString(body)
        except DecodeError as error:
            dead.append(Dead(index, None, f"not an OTLP trace request: {error}"))
        else:
            readable.append(index)
    return loop.read_bodies([bodies[index] for index in readable], readable), dead


def _refuse(raw: pa.Table, bodies: Sequence[bytes], now_ns: int | None) -> tuple[pa.Table, list[Dead]]:
    """Take out the spans that have no usable id, or no usable date where there is a clock."""
    start = raw["start_ns"].to_numpy()
    oldest, newest = (0, LAST_NS) if now_ns is None else (max(now_ns - OLDEST_NS, 0), now_ns + NEWEST_NS)
    early, late = start < oldest, start > newest
    nameless = ~_good_ids(raw["trace_id"], 32) | ~_good_ids(raw["span_id"], 16)
    reasons = {
        "trace or span id isn't 16 and 8 bytes with any bit set": nameless,
        "dated more than 400 days ago": early & ~nameless,
        "dated more than a day ahead": late & ~nameless,
    }
    bad = nameless | early | late
    if not bad.any():
        return raw, []
    body, position = raw["body"].to_numpy(), raw["position"].to_numpy()
    dead = []
    for reason, hit in ((reason, hit) for reason, hit in reasons.items() if hit.any()):
        numbers, first = np.unique(body[hit], return_index=True)
        for number, places in zip(numbers.tolist(), np.split(position[hit], first[1:]), strict=True):
            dead.append(Dead(number, _only(bodies[number], places.tolist()), reason))
    return raw.filter(pa.array(~bad)), sorted(dead, key=lambda one: one.body_index)


def _good_ids(ids: pa.ChunkedArray, digits: int) -> npt.NDArray[np.bool_]:
    good = pc.and_(pc.equal(pc.utf8_length(ids), digits), pc.not_equal(ids, "0" * digits))
    return np.asarray(good.to_numpy(), np.bool_)


def _only(body: bytes, positions: Sequence[int]) -> bytes:
    """Return some spans of a body as a request of their own, under their own resources and scopes."""
    wanted, position = set(positions), 0
    alone = ExportTraceServiceRequest()
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        home = ResourceSpans(resource=resource_spans.resource, schema_url=resource_spans.schema_url)
        for scope_spans in resource_spans.scope_spans:
            spans = [span for place, span in enumerate(scope_spans.spans, position) if place in wanted]
            position += len(scope_spans.spans)
            if spans:
                home.scope_spans.add(scope=scope_spans.scope, schema_url=scope_spans.schema_url, spans=spans)
        if home.scope_spans:
            alone.resource_spans.append(home)
    return alone.SerializeToString()

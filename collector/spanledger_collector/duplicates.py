"""One call, one charge: when several emitters saw the same call in one batch, one of them keeps the money.

The others stay as rows, with `duplicate_of` naming the span that is charged. What lies in different batches is found
at the commit if it came lately (`recent`), else by the settle stage. A provider's id of the answer identifies a call if
it is long enough; a short one (Ollama numbers answers from 0 to 998) only together with one span lying inside the
other, or both in one trace. What can be said without an id stands in `nameless`, and spans of which one emitter makes
two for a call in `halves`.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .controls import CACHED
from .dialects import BY_NAME, OTEL
from .halves import half_losers
from .nameless import nameless_losers
from .row import MONEY_PARTS

LONG_ID: Final = 16
_STREAM_SLIP: Final = 1
"""OpenLLMetry 0.62 counts one output token too many on Anthropic streams."""
_NEIGHBOURS: Final = 32
_CHARGE: Final = ("unpriced_reason", "cost_source", "price_id", "matched_model", "cost_usd", *MONEY_PARTS)
"""What a call that is charged elsewhere doesn't have."""
LOOKED_AT: Final = (
    "trace_id",
    "span_id",
    "provider",
    "response_id",
    "response_model",
    "input_tokens",
    "output_tokens",
    "usage_state",
    "dialect",
    "scope_name",
    "service_name",
    "start_time",
    "duration_us",
)
_READ: Final = (*LOOKED_AT, "billing_basis")


@dataclass(frozen=True, slots=True)
class _Call:
    """What identifies a call, of one row."""

    row: int
    trace_id: str
    span_id: str
    response_id: str
    response_model: str | None
    input_tokens: int | None
    output_tokens: int | None
    rank: int
    scope: str | None
    service: str | None
    start_us: int
    end_us: int
    replayed: bool
    """Whether a cache of ours answered: it repeats nothing; what another emitter saw of it in its trace repeats it."""


def mark_duplicates(rows: pa.Table) -> pa.Table:
    """Return the rows with `duplicate_of` filled, and neither `unpriced_reason` nor money on those."""
    losers = find_losers(rows)
    if not losers:
        return rows
    winners = np.full(rows.num_rows, -1)
    winners[list(losers)] = list(losers.values())
    return charge_elsewhere(rows, rows["span_id"].combine_chunks().take(pa.array(winners, mask=winners < 0)))


def charge_elsewhere(rows: pa.Table, charged: pa.Array) -> pa.Table:
    """Return the rows with `duplicate_of` and without money where `charged` names the span that has it."""
    marked = pc.is_valid(charged)
    columns = {"duplicate_of": pc.coalesce(charged, rows["duplicate_of"])}
    for name in _CHARGE:
        columns[name] = pc.if_else(marked, pa.scalar(None, rows.schema.field(name).type), rows[name])
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
    return rows


def find_losers(rows: pa.Table) -> dict[int, int]:
    """Return the rows whose call another row stands for, each with that row; what they are marked with is not read."""
    losers = find_losers_by_id(rows)
    losers |= nameless_losers(rows, losers.keys())
    losers |= half_losers(rows, losers)
    return losers


def find_losers_by_id(rows: pa.Table) -> dict[int, int]:
    """Return those of `find_losers` that the provider's id of the answer tells; `LOOKED_AT`, role and billing_basis."""
    return {loser: winner for group in _groups(rows) for loser, winner in _losers(group)}


def _groups(rows: pa.Table) -> Iterator[list[_Call]]:
    """Yield the inferences that share provider and response id with another."""
    identified = pc.and_(pc.equal(rows["role"], "inference"), pc.is_valid(rows["response_id"]))
    places = np.flatnonzero(identified.to_numpy())
    if not len(places):
        return
    keys = pc.binary_join_element_wise(pc.fill_null(rows["provider"], ""), rows["response_id"], "\n").take(
        pa.array(places)
    )
    codes = keys.combine_chunks().dictionary_encode().indices.to_numpy()
    shared = np.bincount(codes)[codes] > 1
    by_call: dict[int, list[int]] = {}
    for code, place in zip(codes[shared].tolist(), places[shared].tolist(), strict=True):
        by_call.setdefault(code, []).append(place)
    for group in by_call.values():
        yield _calls(rows, group)


def _calls(rows: pa.Table, places: list[int]) -> list[_Call]:
    calls = []
    for place, row in zip(places, rows.select(_READ).take(pa.array(places)).to_pylist(), strict=True):
        start_us = int(row["start_time"].timestamp() * 1_000_000)
        counted = row["usage_state"] != "estimated"  # two who guess need not guess the same
        calls.append(
            _Call(
                row=place,
                trace_id=row["trace_id"],
                span_id=row["span_id"],
                response_id=row["response_id"],
                response_model=row["response_model"],
                input_tokens=row["input_tokens"] if counted else None,
                output_tokens=row["output_tokens"] if counted else None,
                rank=BY_NAME.get(row["dialect"] or "", OTEL).rank,
                scope=row["scope_name"],
                service=row["service_name"],
                start_us=start_us,
                end_us=start_us + (row["duration_us"] or 0),
                replayed=row["billing_basis"] == CACHED,
            )
        )
    return sorted(calls, key=_precedence)


def _losers(calls: list[_Call]) -> Iterator[tuple[int, int]]:
    """Yield (row, row of the winner) for the calls that another of the group stands for; best rank first."""
    if len({(call.scope, call.service) for call in calls}) == 1:
        return
    winners: list[_Call] = []
    for call in calls:
        # An id that thousands of calls share, as of a mock, identifies none: only those next in time are looked at.
        place = bisect(winners, call.start_us, key=_start)
        near = winners[max(place - _NEIGHBOURS, 0) : place + _NEIGHBOURS]
        winner = min((other for other in near if _same(call, other)), key=_precedence, default=None)
        if winner is None or call.replayed:
            winners.insert(place, call)
        else:
            yield call.row, winner.row


def _start(call: _Call) -> int:
    return call.start_us


def _precedence(call: _Call) -> tuple[int, int, str]:
    return call.rank, call.start_us, call.span_id


def _same(one: _Call, other: _Call) -> bool:
    if (one.scope, one.service) == (other.scope, other.service):
        return False
    if (one.replayed or other.replayed) and one.trace_id != other.trace_id:
        return False
    return (
        _agree(one.response_model, other.response_model)
        and _agree(one.input_tokens, other.input_tokens)
        and _near(one.output_tokens, other.output_tokens)
        and one.start_us <= other.end_us
        and other.start_us <= one.end_us
        and (len(one.response_id) >= LONG_ID or one.trace_id == other.trace_id or _inside(one, other))
    )


def _inside(one: _Call, other: _Call) -> bool:
    """Whether one wraps the other within one service."""
    outer, inner = (one, other) if one.start_us <= other.start_us else (other, one)
    return one.service == other.service and inner.end_us <= outer.end_us


def _agree(one: object, other: object) -> bool:
    return one is None or other is None or one == other


def _near(one: int | None, other: int | None) -> bool:
    return one is None or other is None or abs(one - other) <= _STREAM_SLIP

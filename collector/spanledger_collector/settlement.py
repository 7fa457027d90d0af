"""What whole traces say about their calls, which no part of one can: who is charged, for whom, and who is a repeat.

The one pure function `settle` takes rows as they were booked and what was settled of them before, and returns only
the decisions that change. Each is made afresh from what was booked, so it doesn't matter in which order, in how many
parts or on which days a trace came in; what has money keeps it, because a later price never changes what was
charged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .ancestry import Flags, Places, nearest, parents_of, places_of, version_keys
from .dialects import PLAN_PROVIDERS
from .duplicates import LOOKED_AT as SEEN_BY_ID, find_losers
from .nameless import LOOKED_AT as SEEN_WITHOUT_ID
from .plans import price_all
from .pricing import READ as PRICED_BY
from .rawspans import flags, is_word, known
from .row import MONEY, MONEY_PARTS, TABLE_SCHEMA, TEXT, TIME
from .tables import SETTLED, SETTLEMENTS

INHERITED: Final = ("user_id", "team_id", "customer_id", "feature", "session_id")
_CHARGE: Final = tuple(name for name in SETTLED if name not in {"duplicate_of", *INHERITED})
VERSION: Final = ("dt", "trace_id", "span_id", "ingested_at")
"""What names a row of `spans`."""

SPAN_COLUMNS: Final = ("trace_id", "span_id", "parent_span_id", "start_time", *INHERITED)
"""Columns that are looked at of every span of a trace."""
_ALSO: Final = ("role", "status", "aggregate_cost_usd", "attributes", "resource")
CALL_COLUMNS: Final = tuple(
    name
    for name in TABLE_SCHEMA.names
    if name in {*VERSION, *SETTLED, *SEEN_BY_ID, *SEEN_WITHOUT_ID, *PRICED_BY, *_ALSO}
)
"""Columns that are looked at of calls."""
_USED: Final = pa.array(["reported", "estimated", "inconsistent"])
"""Values of usage_state that tell of tokens or units."""
PRICEABLE_LATER: Final = pa.array(["unknown_provider", "unknown_model", "no_price"])
"""Reasons that another state of the price book may take away."""


@dataclass(frozen=True, slots=True)
class Traces:
    """Rows of `spans` as they were booked, each span once."""

    spans: pa.Table
    """Every span of the traces that are settled: `SPAN_COLUMNS`."""
    calls: pa.Table
    """Those of them that are or may be charged (see `may_be_charged`), and calls of other traces that may be the same
    calls: `CALL_COLUMNS`."""
    settled: pa.Table
    """The latest settlements of calls among them; others are ignored."""


def may_be_charged(rows: pa.Table) -> Flags:
    """Say which rows belong into `Traces.calls`: calls, agents that claim usage, and paid tools."""
    return is_word(rows["role"], "inference") | is_word(rows["unpriced_reason"], "aggregate") | known(rows["cost_usd"])


def settle(traces: Traces, settled_at: datetime) -> pa.Table:
    """Return the settlements that change what counts now, as rows of `tables.SETTLEMENTS` with `dt`.

    `settled_at` has to be later than that of every earlier settlement.
    """
    if not traces.calls.num_rows:
        return SETTLEMENTS.full_schema.empty_table()
    calls = _Calls(traces)
    marks = _marks(calls)
    charged, agents = _charged(calls, marks)
    wanted = {"duplicate_of": marks, **_tags(calls, marks, charged), **_money(calls, marks, charged)}
    return _decisions(calls, wanted, agents & charged, settled_at)


class _Calls:
    """The calls with what was settled of them, and where they stand in their traces."""

    def __init__(self, traces: Traces) -> None:
        self.booked = traces.calls
        self.spans = traces.spans
        self.place = places_of(self.booked["trace_id"], self.booked["span_id"], self.spans)
        self.own = self.place >= 0
        """Whether a call is of the traces that are settled; of others it is only said whose repeat they are."""
        self.parents = parents_of(self.spans)
        found = _versions_in(self.booked, traces.settled)
        rows = pa.array(found, mask=found < 0)
        self.settled_at = traces.settled["settled_at"].take(rows).combine_chunks()
        self.now = {
            name: pc.if_else(
                pa.array(found >= 0),
                traces.settled[name].take(rows).combine_chunks(),
                self.booked[name].combine_chunks(),
            )
            for name in SETTLED
        }
        """What counts now, by column."""


def _versions_in(rows: pa.Table, settled: pa.Table) -> Places:
    found = pc.index_in(version_keys(rows), value_set=version_keys(settled))
    return np.asarray(pc.fill_null(found, -1).to_numpy(), np.int64)


# Repeats


def _marks(calls: _Calls) -> pa.Array:
    """Return the span that is charged in place of each call.

    Where the one that stood for a call so far isn't among the rows, that can't be judged, and stays. A call of another
    trace changes only by what the traces at hand have to do with it.
    """
    winners = find_losers(calls.booked)
    held: list[str | None] = calls.now["duplicate_of"].to_pylist()
    span_ids: list[str] = calls.booked["span_id"].to_pylist()
    place_of = {span_id: row for row, span_id in enumerate(span_ids)} if any(held) else {}
    marks = dict[int, int | str]()
    """Row to the row, or the span that isn't here, that is charged for it."""
    for row in sorted({*winners, *(row for row, mark in enumerate(held) if mark)}):
        winner, holder = winners.get(row), held[row]
        if holder is not None and holder not in place_of:
            marks[row] = holder
        elif calls.own[row] or any(calls.own[one] for one in (winner, place_of.get(holder or "")) if one is not None):
            marks |= {} if winner is None else {row: winner}
        elif holder is not None:
            marks[row] = place_of[holder]
    texts: list[str | None] = [None] * len(span_ids)
    for row in marks:
        texts[row] = _end_of(row, marks, span_ids)
    return pa.array(texts, TEXT)


def _end_of(row: int, marks: Mapping[int, int | str], span_ids: list[str]) -> str:
    """Return the span that has the money, where one stands for another that stands for a third."""
    mark, seen = marks[row], {row}
    while isinstance(mark, int) and mark in marks and mark not in seen:
        seen.add(mark)
        mark = marks[mark]
    return mark if isinstance(mark, str) else span_ids[mark]


# Who is charged


def _charged(calls: _Calls, marks: pa.Array) -> tuple[Flags, Flags]:
    """Return which calls and agents carry money, and which rows are agents that claim usage."""
    inference, repeat = is_word(calls.booked["role"], "inference"), known(marks)
    agents = is_word(calls.booked["unpriced_reason"], "aggregate")
    used = inference & (flags(pc.is_in(calls.booked["usage_state"], _USED)) | repeat)
    above = np.zeros(calls.spans.num_rows, np.bool_)
    above[calls.place[agents & calls.own]] = True
    below = calls.place[(used | agents) & calls.own]
    # One step up from each: an agent is covered by the nearest usage below it, and covers those above in its turn.
    covered = nearest(calls.parents[below], calls.parents, above)
    above[covered[covered >= 0]] = False
    innermost = calls.own & above[calls.place] if len(above) else np.zeros(len(agents), np.bool_)
    return (inference & ~repeat) | (agents & innermost), agents


def _tags(calls: _Calls, marks: pa.Array, charged: Flags) -> dict[str, pa.Array]:
    """Return whom each charge is for: a tag that it lacks is that of the nearest span above that has it.

    A repeat is charged to nobody and has its own tags, whichever trace it was that made it one.
    """
    leaves = charged | (known(calls.booked["cost_usd"]) & ~is_word(calls.booked["role"], "inference"))
    heirs, as_booked = pa.array(leaves & calls.own), pa.array(calls.own | known(marks))
    tags = {}
    for name in INHERITED:
        source = nearest(calls.place, calls.parents, known(calls.spans[name]))
        inherited = calls.spans[name].take(pa.array(source, mask=source < 0)).combine_chunks()
        plain = pc.if_else(as_booked, calls.booked[name].combine_chunks(), calls.now[name])
        tags[name] = pc.if_else(heirs, inherited, plain)
    return tags


# Money


def _money(calls: _Calls, marks: pa.Array, charged: Flags) -> dict[str, pa.Array]:
    """Return the columns of the charge: none for a repeat, what stands where there is a price, else a new try."""
    booked = {name: calls.booked[name].combine_chunks() for name in _CHARGE}
    kept = charged & (known(calls.now["cost_usd"]) | known(calls.now["equivalent_usd"])) | ~calls.own & ~known(marks)
    money = {name: pc.if_else(pa.array(kept), calls.now[name], booked[name]) for name in _CHARGE}
    reason = money["unpriced_reason"]
    lacking = flags(pc.is_in(reason, PRICEABLE_LATER)) | is_word(reason, "aggregate")
    lacking |= known(calls.booked["duplicate_of"]) & ~known(reason)
    tried = charged & ~known(money["cost_usd"]) & lacking
    if tried.any():
        fresh = _price(calls.booked.filter(pa.array(tried)))
        money = {name: pc.replace_with_mask(money[name], pa.array(tried), fresh[name]) for name in _CHARGE}
    repeats = pa.array(known(marks))
    for name in _CHARGE:
        if name != "billing_basis":
            money[name] = pc.if_else(repeats, pa.scalar(None, money[name].type), money[name])
    return money


def _price(rows: pa.Table) -> dict[str, pa.Array]:
    """Return the charge of rows by their tokens, else by what an agent's span claims."""
    agent = pa.array(is_word(rows["role"], "agent"))
    plans = pc.is_in(rows["provider"], pa.array(sorted(PLAN_PROVIDERS)))
    basis = pc.coalesce(rows["billing_basis"], pc.if_else(plans, "plan", "usage"))
    columns = {name: pa.nulls(rows.num_rows, TEXT) for name in ("unpriced_reason", "cost_source", "duplicate_of")}
    columns["role"] = pa.repeat(pa.scalar("inference"), rows.num_rows)
    columns["billing_basis"] = pc.if_else(agent, basis, rows["billing_basis"])
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
    priced = price_all(rows)
    charge = {name: priced[name].combine_chunks() for name in _CHARGE}
    failed = pc.and_(
        pc.equal(charge["unpriced_reason"], "no_usage"), pc.equal(rows["status"], "error").combine_chunks()
    )
    charge["unpriced_reason"] = pc.if_else(pc.fill_null(failed, False), "error", charge["unpriced_reason"])
    return _claimed(charge, rows["aggregate_cost_usd"].combine_chunks())


def _claimed(charge: dict[str, pa.Array], claims: pa.Array) -> dict[str, pa.Array]:
    by_usage = pc.fill_null(pc.equal(charge["billing_basis"], "usage"), False)
    use = pc.and_(by_usage, pc.and_(pc.is_null(charge["cost_usd"]), pc.is_valid(claims)))
    zero = pa.scalar(Decimal(0), MONEY)
    says: dict[str, pa.Array | pa.Scalar] = {
        **dict.fromkeys(MONEY_PARTS, zero),
        "cost_usd": claims,
        "cost_other": claims,
        "unpriced_reason": pa.scalar(None, TEXT),
        "cost_source": pa.scalar("declared"),
    }
    return charge | {name: pc.if_else(use, value, charge[name]) for name, value in says.items()}


# What changes


def _decisions(calls: _Calls, wanted: Mapping[str, pa.Array], agents: Flags, settled_at: datetime) -> pa.Table:
    changed = np.any([differ(wanted[name], calls.now[name]) for name in SETTLED], axis=0)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {name: calls.booked[name] for name in (*VERSION, "start_time")}
    columns |= wanted
    columns["settled_at"] = pa.repeat(pa.scalar(settled_at, TIME), len(changed))
    columns["replaces"] = calls.settled_at
    columns["reason"] = _reasons(calls, wanted, agents)
    schema = SETTLEMENTS.full_schema
    return pa.table([columns[name] for name in schema.names], schema=schema).filter(pa.array(changed))


def _reasons(calls: _Calls, wanted: Mapping[str, pa.Array], agents: Flags) -> pa.Array:
    """Return in words what a settlement makes of a row."""
    unlike = {name: differ(wanted[name], calls.booked[name].combine_chunks()) for name in SETTLED}
    repeat = unlike["duplicate_of"]
    said = {
        "aggregate": agents,
        "duplicate": repeat & known(wanted["duplicate_of"]),
        "inherited": np.any([unlike[name] for name in INHERITED], axis=0),
        "priced": unlike["cost_usd"] & ~agents & known(wanted["cost_usd"]),
    }
    codes = sum((of_row.astype(np.int64) << place for place, of_row in enumerate(said.values())), np.int64(0))
    words = [
        ",".join(word for place, word in enumerate(said) if code >> place & 1) or "booked"
        for code in range(2 ** len(said))
    ]
    return pa.array(words, TEXT).take(pa.array(codes))


def differ(one: pa.Array, other: pa.Array) -> Flags:
    """Say where two columns are not the same; NULL is the same as NULL."""
    unlike: Flags = flags(pc.fill_null(pc.not_equal(one, other), False)) | (known(one) != known(other))
    return unlike

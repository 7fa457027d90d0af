"""Pricing again what has been booked, after a price was put right or a contract came late.

Rows of `spans` are never changed. A new price is a settlement, so that all views show it and what is decided later
keeps it; what it was before and is now stands in `corrections`. Whoever reprices again finds nothing to change, and who
was stopped half-way goes on with the days that are left. What the book has no price for any more keeps the one it had.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from .ancestry import version_keys
from .lake import DataFile, append_files, append_unless_changed, file_path, open_table, write_days
from .plans import price_all
from .pricing import READ
from .rawspans import flags, is_word, known
from .row import MONEY_PARTS, PARTITION, TEXT, TIME
from .settlement import VERSION, differ
from .tables import CORRECTIONS, SETTLED, SETTLEMENTS, SPANS
from .traces import Snapshot

_WRITER: Final = "reprice"
_BATCH_ROWS: Final = 122_880
_MONEY: Final = ("cost_usd", *MONEY_PARTS, "equivalent_usd")
_CHARGE: Final = (*_MONEY, "unpriced_reason", "cost_source", "price_id", "matched_model")
_READ: Final = tuple(dict.fromkeys((*VERSION, *READ, *SETTLED, "role")))
_BY_LIST: Final = pa.array(["list", "contract"])
_PRICEABLE: Final = pa.array(["unknown_provider", "unknown_model", "no_price"])
_TICK: Final = timedelta(microseconds=1)
_CHANGES: Final = pa.schema(
    [
        ("provider", pa.string()),
        ("model", pa.string()),
        ("calls", pa.int64()),
        ("old_usd", pa.decimal128(38, 12)),
        ("new_usd", pa.decimal128(38, 12)),
    ]
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which calls are priced again."""

    first: date = date.min
    last: date = date.max
    """UTC days, inclusive."""
    provider: str = "*"
    model: str = "*"
    """Patterns (`*`, `?`), of the provider and of the model that answered or was asked for."""


@dataclass(slots=True)
class Repriced:
    """What changes on one day, or has changed."""

    dt: date
    calls: int = 0
    """Looked at."""
    changes: pa.Table = field(default_factory=lambda: _CHANGES.empty_table())
    """One row a model: provider, model, calls, old_usd, new_usd."""
    without_price: int = 0
    """Calls that have a price, and would have none by today's book: they keep it."""


def reprice(
    lake: Path, wanted: Wanted, *, dry_run: bool = False, looked: Callable[[int], None] = lambda _rows: None
) -> Iterator[Repriced]:
    """Price the calls of each day again by the book and the contract in force, and yield what changed, day by day.

    A day is one commit. `looked` is told how many rows were looked at since the last time.
    """
    for dt in Snapshot(lake).days():
        if wanted.first <= dt <= wanted.last:
            while (done := _reprice_day(lake, dt, wanted, dry_run, looked)) is None:
                pass  # somebody has settled meanwhile: by what is decided now
            yield done


def rows_between(lake: Path, wanted: Wanted) -> int:
    """Return how many rows `reprice` is going to look at."""
    return sum(file.rows for file in Snapshot(lake).spans_of(wanted.first, wanted.last))


def _reprice_day(lake: Path, dt: date, wanted: Wanted, dry_run: bool, looked: Callable[[int], None]) -> Repriced | None:
    settlements = open_table(lake, SETTLEMENTS)
    snapshot = Snapshot(lake)
    settled = snapshot.settled_on(dt)
    now = _moment(settled)
    done, decisions = Repriced(dt), [SETTLEMENTS.full_schema.empty_table()]
    changed = [_changed_schema().empty_table()]
    for rows in _batches(lake, snapshot.spans_of(dt, dt)):
        looked(rows.num_rows)
        found = _price_again(snapshot.without_superseded(rows, dt), settled, wanted)
        done.calls += found.calls
        done.without_price += found.without_price
        decisions.append(_decisions(found, now))
        changed.append(found.changed())
    all_changed = pa.concat_tables(changed)
    done.changes = _by_model(all_changed)
    if not dry_run and all_changed.num_rows and not _commit(lake, settlements, decisions, all_changed, now):
        return None
    return done


def _commit(lake: Path, settlements: DeltaTable, decisions: list[pa.Table], changed: pa.Table, now: datetime) -> bool:
    """Write what changed, then what counts from now on: who dies in between finds the same again."""
    version, name = int(now.timestamp() * 1_000_000), uuid.uuid4().hex
    rows = changed.append_column("priced_at", pa.repeat(pa.scalar(now, TIME), changed.num_rows))
    empty = {one.name: pa.nulls(rows.num_rows, one.type) for one in CORRECTIONS.full_schema}
    columns = empty | {one: rows[one] for one in rows.column_names if one in empty}
    columns["reason"] = pa.repeat(pa.scalar("repriced"), rows.num_rows)
    corrections = pa.table([columns[one] for one in CORRECTIONS.full_schema.names], schema=CORRECTIONS.full_schema)
    files = write_days(lake, f"reprice-{name}", corrections, CORRECTIONS)
    append_files(open_table(lake, CORRECTIONS), files, writer=_WRITER, version=version, table=CORRECTIONS)
    files = write_days(lake, f"reprice-{name}", pa.concat_tables(decisions), SETTLEMENTS)
    return append_unless_changed(settlements, files, writer=_WRITER, version=version, table=SETTLEMENTS)


def _moment(settled: pa.Table) -> datetime:
    """Return this moment, or one after the day's last settlement, should a clock have been ahead."""
    latest: datetime | None = pc.max(settled["settled_at"]).as_py()
    now = datetime.now(UTC)
    return now if latest is None else max(now, latest.astimezone(UTC) + _TICK)


def _batches(lake: Path, files: list[DataFile]) -> Iterator[pa.Table]:
    schema = pa.schema([SPANS.full_schema.field(name) for name in _READ])
    for file in files:
        with pq.ParquetFile(file_path(lake, file)) as parquet:
            names = [name for name in schema.names if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=names):
                rows = pa.Table.from_batches([batch])
                columns = {one.name: pa.nulls(rows.num_rows, one.type) for one in schema}
                columns |= {name: rows[name] for name in names}
                columns[PARTITION] = pa.repeat(pa.scalar(file.dt, pa.date32()), rows.num_rows)
                yield pa.table([columns[name] for name in schema.names], schema=schema)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a batch of rows comes to."""

    rows: pa.Table
    """Those that change, as booked."""
    now: dict[str, pa.Array]
    """What counts for them now, by column of SETTLED."""
    fresh: dict[str, pa.Array]
    """What they cost by today's book."""
    settled_at: pa.Array
    reason: pa.Array
    calls: int
    without_price: int

    def changed(self) -> pa.Table:
        """Return what changed, with the columns of `corrections` that it fills, and `provider` and `model`."""
        model = pc.coalesce(self.fresh["matched_model"], self.rows["response_model"], self.rows["request_model"])
        columns = {
            **{name: self.rows[name] for name in (*VERSION, "provider")},
            "model": model,
            "old_price_id": self.now["price_id"],
            "old_cost_usd": self.now["cost_usd"],
            **{name: self.fresh[name] for name in ("price_id", "cost_usd", *MONEY_PARTS, "unpriced_reason")},
        }
        schema = _changed_schema()
        return pa.table([columns[name] for name in schema.names], schema=schema)


def _changed_schema() -> pa.Schema:
    known_fields = {one.name: one for one in (*SPANS.full_schema, *CORRECTIONS.full_schema)}
    known_fields["model"] = pa.field("model", TEXT)
    names = (*VERSION, "provider", "model", "old_price_id", "old_cost_usd", "price_id", "cost_usd", *MONEY_PARTS)
    return pa.schema([known_fields[name] for name in (*names, "unpriced_reason")])


def _price_again(rows: pa.Table, settled: pa.Table, wanted: Wanted) -> _Found:
    place = pc.index_in(version_keys(rows), value_set=version_keys(settled))
    is_settled = pc.is_valid(place)
    now = {
        name: pc.if_else(is_settled, settled[name].take(place).combine_chunks(), rows[name].combine_chunks())
        for name in SETTLED
    }
    chosen = _candidates(rows, now) & _chosen(rows, wanted)
    picked = pa.array(chosen)
    rows, place = rows.filter(picked), place.filter(picked)
    now = {name: column.filter(picked) for name, column in now.items()}
    fresh = _fresh(rows, now["billing_basis"])
    lost = known(now["cost_usd"]) & ~known(fresh["cost_usd"]) & ~known(fresh["equivalent_usd"])
    unlike = np.any([differ(now[name], fresh[name]) for name in _MONEY], axis=0)
    kept = pa.array(unlike & ~lost)
    return _Found(
        rows.filter(kept),
        {name: column.filter(kept) for name, column in now.items()},
        {name: column.filter(kept) for name, column in fresh.items()},
        settled["settled_at"].take(place.filter(kept)).combine_chunks(),
        settled["reason"].take(place.filter(kept)).combine_chunks(),
        int(chosen.sum()),
        int(lost.sum()),
    )


def _candidates(rows: pa.Table, now: dict[str, pa.Array]) -> np.ndarray:
    """Say which rows are charged by the list or a contract, or would be if there were a price."""
    by_list = flags(pc.is_in(now["cost_source"], value_set=_BY_LIST)) & known(now["cost_usd"])
    lacking = is_word(rows["role"], "inference") & flags(pc.is_in(now["unpriced_reason"], value_set=_PRICEABLE))
    return (by_list | lacking | known(now["equivalent_usd"])) & ~known(now["duplicate_of"])


def _chosen(rows: pa.Table, wanted: Wanted) -> np.ndarray:
    chosen = np.ones(rows.num_rows, np.bool_)
    models = pc.coalesce(rows["response_model"], rows["request_model"])
    for column, pattern in ((rows["provider"], wanted.provider), (models, wanted.model)):
        if pattern != "*":
            names = [
                name for name in pc.unique(column).to_pylist() if name and fnmatchcase(name.lower(), pattern.lower())
            ]
            chosen &= flags(pc.is_in(column, value_set=pa.array(names, TEXT)))
    return chosen


def _fresh(rows: pa.Table, billing_basis: pa.Array) -> dict[str, pa.Array]:
    """Return what rows cost by the book and the contract in force."""
    columns = dict.fromkeys(("unpriced_reason", "cost_source", "duplicate_of"), pa.nulls(rows.num_rows, TEXT))
    columns |= {"billing_basis": billing_basis, "role": pa.repeat(pa.scalar("inference"), rows.num_rows)}
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
    priced = price_all(rows)
    return {name: priced[name].combine_chunks() for name in _CHARGE}


def _decisions(found: _Found, now: datetime) -> pa.Table:
    booked = pc.equal(pc.fill_null(found.reason, "booked"), "booked")
    before = pc.if_else(booked, pa.scalar(None, TEXT), found.reason)
    again = pc.match_substring(pc.fill_null(before, ""), "repriced")
    joined = pc.binary_join_element_wise(before, pa.scalar("repriced"), ",", null_handling="skip")
    reason = pc.if_else(again, before, joined)
    columns = {name: found.rows[name] for name in (*VERSION, "start_time")} | found.now | found.fresh
    columns |= {
        "settled_at": pa.repeat(pa.scalar(now, TIME), found.rows.num_rows),
        "replaces": found.settled_at,
        "reason": reason,
    }
    schema = SETTLEMENTS.full_schema
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _by_model(changed: pa.Table) -> pa.Table:
    grouped = changed.group_by(["provider", "model"]).aggregate(
        [("span_id", "count"), ("old_cost_usd", "sum"), ("cost_usd", "sum")]
    )
    names = {"span_id_count": "calls", "old_cost_usd_sum": "old_usd", "cost_usd_sum": "new_usd"}
    named = grouped.rename_columns([names.get(name, name) for name in grouped.column_names])
    return pa.table([named[one.name].cast(one.type) for one in _CHANGES], schema=_CHANGES).sort_by(
        [("provider", "ascending"), ("model", "ascending")]
    )

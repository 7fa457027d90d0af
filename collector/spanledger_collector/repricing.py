"""Pricing again what has been booked, after a price was put right or a contract came late.

Rows of `spans` are never changed. A new price is a settlement, so that all views show it and what is decided later
keeps it; what it was before and is now stands in `corrections`. Whoever reprices again finds nothing to change, and who
was stopped half-way goes on with the days that are left. What the book has no price for any more keeps the one it had.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from spanledger.lake_path import LakePath

from .candidates import Candidates, Wanted, candidates
from .lake import DataFile, append_files, append_unless_changed, open_table, write_file
from .plans import price_all
from .rawspans import known
from .row import MONEY_PARTS, TEXT, TIME
from .settlement import VERSION, differ
from .tables import CORRECTIONS, SETTLED, SETTLEMENTS, LakeTable
from .traces import Snapshot

_WRITER: Final = "reprice"
_MONEY: Final = ("cost_usd", *MONEY_PARTS, "equivalent_usd")
_CHARGE: Final = (*_MONEY, "unpriced_reason", "cost_source", "price_id", "matched_model")
_TICK: Final = timedelta(microseconds=1)
_FILE_ROWS: Final = 491_520
"""Rows that are gathered for a file: a day of any length takes no more memory than its earlier decisions."""
_CHANGES: Final = pa.schema(
    [
        ("provider", pa.string()),
        ("model", pa.string()),
        ("calls", pa.int64()),
        ("old_usd", pa.decimal128(38, 12)),
        ("new_usd", pa.decimal128(38, 12)),
    ]
)


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
    lake: LakePath, wanted: Wanted, *, dry_run: bool = False, looked: Callable[[int], None] = lambda _rows: None
) -> Iterator[Repriced]:
    """Price the calls of each day again by the book and the contract in force, and yield what changed, day by day.

    A day is one commit. `looked` is told how many rows were looked at since the last time.
    """
    for dt in Snapshot(lake).days():
        if wanted.first <= dt <= wanted.last:
            while (done := _reprice_day(lake, dt, wanted, dry_run, looked)) is None:
                pass  # somebody has settled meanwhile: by what is decided now
            yield done


def rows_between(lake: LakePath, wanted: Wanted) -> int:
    """Return how many rows `reprice` is going to look at."""
    return sum(file.rows for file in Snapshot(lake).spans_of(wanted.first, wanted.last))


def _reprice_day(
    lake: LakePath, dt: date, wanted: Wanted, dry_run: bool, looked: Callable[[int], None]
) -> Repriced | None:
    settlements = open_table(lake, SETTLEMENTS)
    snapshot = Snapshot(lake)
    settled = snapshot.settled_on(dt)
    done, side = Repriced(dt), _Side(lake, _moment(settled))
    changes = [_CHANGES.empty_table()]
    for batch in candidates(snapshot, settled, dt, wanted, looked):
        found = _price_again(batch)
        done.calls += found.calls
        done.without_price += found.without_price
        if found.of.rows.num_rows:
            changes.append(_by_model(found))
            if not dry_run:
                side.add(found)
    done.changes = _summed(pa.concat_tables(changes))
    if not dry_run and done.changes.num_rows and not side.commit(settlements):
        return None
    return done


class _Side:
    """What a day's repricing says, in files that nobody sees until it is committed."""

    def __init__(self, lake: LakePath, now: datetime) -> None:
        self._lake = lake
        self._now = now
        name = f"reprice-{uuid.uuid4().hex}"
        self._corrections = _Files(lake, name, CORRECTIONS)
        self._decisions = _Files(lake, name, SETTLEMENTS)

    def add(self, found: _Found) -> None:
        """Take what changes in a batch of rows."""
        self._corrections.add(_corrections(found, self._now))
        self._decisions.add(_decisions(found, self._now))

    def commit(self, settlements: DeltaTable) -> bool:
        """Say what changed, then what counts from now on: who dies in between finds the same again.

        False where somebody has settled since `settlements` was read.
        """
        version = int(self._now.timestamp() * 1_000_000)
        table = open_table(self._lake, CORRECTIONS)
        append_files(table, self._corrections.all(), writer=_WRITER, version=version, table=CORRECTIONS)
        files = self._decisions.all()
        return append_unless_changed(settlements, files, writer=_WRITER, version=version, table=SETTLEMENTS)


class _Files:
    """Files of one table and day, written as their rows come."""

    def __init__(self, lake: LakePath, name: str, table: LakeTable) -> None:
        self._lake = lake
        self._name = name
        self._table = table
        self._rows = list[pa.Table]()
        self._written = list[DataFile]()

    def add(self, rows: pa.Table) -> None:
        self._rows.append(rows)
        if sum(one.num_rows for one in self._rows) >= _FILE_ROWS:
            self._write()

    def all(self) -> Sequence[DataFile]:
        """Write what is left, and return all files."""
        if self._rows:
            self._write()
        return self._written

    def _write(self) -> None:
        name = f"{self._name}-{len(self._written)}"
        self._written.append(write_file(self._lake, name, pa.concat_tables(self._rows), self._table))
        self._rows = []


def _moment(settled: pa.Table) -> datetime:
    """Return this moment, or one after the day's last settlement, should a clock have been ahead."""
    latest: datetime | None = pc.max(settled["settled_at"]).as_py()
    now = datetime.now(UTC)
    return now if latest is None else max(now, latest.astimezone(UTC) + _TICK)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a batch of rows comes to."""

    of: Candidates
    """Those that change."""
    fresh: dict[str, pa.Array]
    """What they cost by today's book."""
    calls: int
    without_price: int


def _price_again(batch: Candidates) -> _Found:
    fresh = _fresh(batch.rows, batch.now("billing_basis"))
    lost = known(batch.now("cost_usd")) & ~known(fresh["cost_usd"]) & ~known(fresh["equivalent_usd"])
    unlike = np.any([differ(batch.now(name), fresh[name]) for name in _MONEY], axis=0)
    kept = unlike & ~lost
    changed = {name: column.filter(pa.array(kept)) for name, column in fresh.items()}
    return _Found(batch.filter(kept), changed, len(kept), int(lost.sum()))


def _fresh(rows: pa.Table, billing_basis: pa.Array) -> dict[str, pa.Array]:
    """Return what rows cost by the book and the contract in force."""
    columns = dict.fromkeys(("unpriced_reason", "cost_source", "duplicate_of"), pa.nulls(rows.num_rows, TEXT))
    columns |= {"billing_basis": billing_basis, "role": pa.repeat(pa.scalar("inference"), rows.num_rows)}
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
    priced = price_all(rows)
    return {name: priced[name].combine_chunks() for name in _CHARGE}


def _decisions(found: _Found, now: datetime) -> pa.Table:
    of, rows = found.of, found.of.rows.num_rows
    columns: dict[str, pa.Array | pa.ChunkedArray] = {name: of.rows[name] for name in (*VERSION, "start_time")}
    columns |= {name: of.now(name) for name in SETTLED if name not in found.fresh}
    columns |= found.fresh
    columns |= {
        "settled_at": pa.repeat(pa.scalar(now, TIME), rows),
        "replaces": of.said("settled_at"),
        "reason": _reasons(of.said("reason")),
    }
    schema = SETTLEMENTS.full_schema
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _reasons(said: pa.Array) -> pa.Array:
    booked = pc.equal(pc.fill_null(said, "booked"), "booked")
    before = pc.if_else(booked, pa.scalar(None, TEXT), said)
    again = pc.match_substring(pc.fill_null(before, ""), "repriced")
    joined = pc.binary_join_element_wise(before, pa.scalar("repriced"), ",", null_handling="skip")
    return pc.if_else(again, before, joined)


def _corrections(found: _Found, now: datetime) -> pa.Table:
    of, rows = found.of, found.of.rows.num_rows
    columns: dict[str, pa.Array | pa.ChunkedArray] = {name: of.rows[name] for name in VERSION}
    columns |= {name: found.fresh[name] for name in ("price_id", "cost_usd", *MONEY_PARTS, "unpriced_reason")}
    columns |= {"old_price_id": of.now("price_id"), "old_cost_usd": of.now("cost_usd")}
    columns |= {"priced_at": pa.repeat(pa.scalar(now, TIME), rows), "reason": pa.repeat("repriced", rows)}
    schema = CORRECTIONS.full_schema
    columns |= {one.name: pa.nulls(rows, one.type) for one in schema if one.name not in columns}
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _by_model(found: _Found) -> pa.Table:
    rows = found.of.rows
    model = pc.coalesce(found.fresh["matched_model"], rows["response_model"], rows["request_model"])
    calls = pa.repeat(1, rows.num_rows)
    columns = [rows["provider"], model, calls, found.of.now("cost_usd"), found.fresh["cost_usd"]]
    return _summed(pa.table(columns, names=_CHANGES.names))


def _summed(changes: pa.Table) -> pa.Table:
    """Return one row a provider and model."""
    sums = ("calls", "old_usd", "new_usd")
    grouped = changes.group_by(["provider", "model"]).aggregate([(name, "sum") for name in sums])
    columns = [grouped["provider"], grouped["model"], *(grouped[f"{name}_sum"] for name in sums)]
    typed = [column.cast(one.type) for column, one in zip(columns, _CHANGES, strict=True)]
    return pa.table(typed, schema=_CHANGES).sort_by([("provider", "ascending"), ("model", "ascending")])

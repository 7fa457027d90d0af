"""Calls whose price may change: those of a day that a repricing asks for, with what counts of them now.

A day is read twice over: first the few narrow columns that say which rows are wanted at all, then the others, of row
groups that have such rows. What was settled is looked up for many rows at once, because making the table to look it
up in costs the most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from .ancestry import version_keys
from .pricing import READ
from .rawspans import Flags, flags, is_word, known
from .row import TEXT
from .settlement import PRICEABLE_LATER, VERSION
from .tables import SETTLED, SPANS
from .traces import Group, Snapshot

_BATCH_ROWS: Final = 122_880
_BY_LIST: Final = pa.array(["list", "contract"])


def _schema(*names: str) -> pa.Schema:
    return pa.schema([SPANS.full_schema.field(name) for name in dict.fromkeys(names)])


_NARROW: Final = _schema("role", "provider", "response_model", "request_model")
_VERSION: Final = _schema(*VERSION)
_ALL: Final = _schema(*VERSION, *_NARROW.names, *READ, *SETTLED)
_REST: Final = _schema(*(name for name in _ALL.names if name not in VERSION))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which calls are priced again."""

    first: date = date.min
    last: date = date.max
    """UTC days, inclusive."""
    provider: str = "*"
    model: str = "*"
    """Patterns (`*`, `?`), of the provider and of the model that answered or was asked for."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows of one day as booked, and the decisions of them that count."""

    rows: pa.Table
    """What prices depend on, and what a decision says."""
    settled: pa.Table
    """The day's decisions."""
    place: pa.Array
    """Which of them each row has, NULL for none."""

    def now(self, name: str) -> pa.Array:
        """Return a column of `tables.SETTLED` as it counts now."""
        booked = self.rows[name].combine_chunks()
        if self.place.null_count == len(self.place):
            return booked
        return pc.if_else(pc.is_valid(self.place), self.said(name), booked)

    def said(self, name: str) -> pa.Array:
        """Return a column of the decisions, NULL for rows without one."""
        return self.settled[name].take(self.place).combine_chunks()

    def filter(self, kept: Flags) -> Candidates:
        """Return some of them."""
        if kept.all():
            return self
        mask = pa.array(kept)
        return Candidates(self.rows.filter(mask), self.settled, self.place.filter(mask))


def candidates(
    snapshot: Snapshot, settled: pa.Table, dt: date, wanted: Wanted, looked: Callable[[int], None]
) -> Iterator[Candidates]:
    """Yield the calls of a day that are charged by the book or a contract, or would be if there were a price.

    `settled` are the decisions of the day that count; `looked` is told how many rows were looked at since the last
    time.
    """
    keys = version_keys(settled)
    for groups in snapshot.blocks(SPANS, dt):
        picked = list[tuple[Group, pa.Array]]()
        for group in groups:
            rows = _picked(group, wanted)
            looked(len(group))
            if rows.any():
                picked.append((group, pa.array(rows)))
        if picked:
            yield from _gathered(_of_block(snapshot, settled, keys, dt, picked))


def _picked(group: Group, wanted: Wanted) -> Flags:
    """Say which rows of a group may have a price, and are wanted."""
    rows = group.rows(_NARROW)
    picked = is_word(rows["role"], "inference") | known(rows["provider"])
    models = pc.coalesce(rows["response_model"], rows["request_model"])
    for column, pattern in ((rows["provider"], wanted.provider), (models, wanted.model)):
        if pattern != "*":
            names = [
                name for name in pc.unique(column).to_pylist() if name and fnmatchcase(name.lower(), pattern.lower())
            ]
            picked &= flags(pc.is_in(column, value_set=pa.array(names, TEXT)))
    return picked


def _of_block(
    snapshot: Snapshot, settled: pa.Table, keys: pa.Array, dt: date, picked: Sequence[tuple[Group, pa.Array]]
) -> Iterator[Candidates]:
    versions = [group.rows(_VERSION).filter(rows) for group, rows in picked]
    every = pa.concat_tables(versions)
    last = snapshot.last_versions(every, dt)
    place = pc.index_in(version_keys(every), value_set=keys) if len(keys) else pa.nulls(len(every), pa.int32())
    begin = 0
    for (group, rows), version in zip(picked, versions, strict=True):
        here = slice(begin, begin := begin + len(version))
        rest = group.rows(_REST).filter(rows)
        columns = {name: (version if name in VERSION else rest)[name] for name in _ALL.names}
        found = Candidates(pa.table(columns, schema=_ALL), settled, place[here])
        yield found.filter(last[here] & _may_change(found))


def _may_change(found: Candidates) -> Flags:
    """Say which rows are charged by the list or a contract, or would be if there were a price."""
    by_list = flags(pc.is_in(found.now("cost_source"), value_set=_BY_LIST)) & known(found.now("cost_usd"))
    lacking = flags(pc.is_in(found.now("unpriced_reason"), value_set=PRICEABLE_LATER))
    lacking &= is_word(found.rows["role"], "inference")
    return (by_list | lacking | known(found.now("equivalent_usd"))) & ~known(found.now("duplicate_of"))


def _gathered(parts: Iterable[Candidates]) -> Iterator[Candidates]:
    """Yield parts in batches, for there may be many small ones."""
    batch = list[Candidates]()
    for part in parts:
        batch.append(part)
        if sum(len(one.place) for one in batch) >= _BATCH_ROWS:
            yield _as_one(batch)
            batch = []
    if batch:
        yield _as_one(batch)


def _as_one(parts: Sequence[Candidates]) -> Candidates:
    rows = pa.concat_tables([part.rows for part in parts])
    return Candidates(rows, parts[0].settled, pa.concat_arrays([part.place for part in parts]))

"""Folding settlements into the rows that they are about: what counts stands in the row, what was booked beside it.

To look up what was decided about every row of a day costs several times as much as to read the day. When a day is
over its files are written anew (`rewrite`), and each row gets the columns that it was settled with. What they were
before stands in `as_booked`, a map of the columns that changed to their value as text (NULL for NULL), so nothing is
lost: whoever settles or prices again, or asks what was booked, unfolds.

The name of a folded file has a mark of the files of `settlements` and `superseded` that are in it. A reader compares it
with those that are live now, and so knows without opening a file whether more has been said since.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .ancestry import version_keys
from .lake import DataFile
from .row import AS_BOOKED, TEXT, TEXT_MAP
from .settlement import differ
from .tables import SETTLED

_NAME: Final = re.compile(r"/(day|older)-([0-9a-f]{16})-[^/]*\.parquet$")


def mark_of(said: Iterable[DataFile]) -> str:
    """Return the mark of the files in which something is said about the rows of a day."""
    paths = "\n".join(sorted(f"{file.table}/{file.path}" for file in said))
    return hashlib.sha256(paths.encode()).hexdigest()[:16]


NOTHING_SAID: Final = mark_of(())


def mark_in(path: str) -> str | None:
    """Return the mark in the name of a folded file; None where the file is as it was committed."""
    found = _NAME.search(path)
    return found[2] if found else None


def is_older(path: str) -> bool:
    """Say whether a file holds only rows that fuller copies have taken the place of."""
    found = _NAME.search(path)
    return found is not None and found[1] == "older"


def fold(rows: pa.Table, settled: pa.Table) -> pa.Table:
    """Return rows as `settled` (what counts of the settlements) makes them; `rows` are as booked."""
    if not settled.num_rows:
        return rows
    place = pc.index_in(version_keys(rows), value_set=version_keys(settled))
    decided = pc.is_valid(place)
    changed: dict[str, np.ndarray] = {}
    folded = rows
    for name in SETTLED:
        before = rows[name].combine_chunks()
        now = pc.if_else(decided, settled[name].take(place).combine_chunks(), before)
        changed[name] = np.flatnonzero(differ(now, before))
        folded = _with(folded, name, now)
    return _with(folded, AS_BOOKED, _as_booked(rows, changed))


def unfold(rows: pa.Table) -> pa.Table:
    """Return rows as they were booked; of SETTLED they may have some columns, and `as_booked` comes out NULL."""
    if AS_BOOKED not in rows.column_names or rows[AS_BOOKED].null_count == rows.num_rows:
        return rows
    entries = _entries(rows[AS_BOOKED])
    for name in set(SETTLED).intersection(rows.column_names):
        mine = entries.filter(pc.equal(entries["key"], name))
        if mine.num_rows:
            place = np.full(rows.num_rows, -1)
            place[mine["row"].to_numpy()] = np.arange(mine.num_rows)
            was = mine["value"].cast(rows.schema.field(name).type).take(pa.array(place, mask=place < 0))
            now = rows[name].combine_chunks()
            rows = _with(rows, name, pc.if_else(pa.array(place < 0), now, was.combine_chunks()))
    return _with(rows, AS_BOOKED, pa.nulls(rows.num_rows, TEXT_MAP))


def _as_booked(rows: pa.Table, changed: dict[str, np.ndarray]) -> pa.Array:
    """Return the map of what changed; `changed` is the rows that did, by column."""
    of_row = np.concatenate(list(changed.values()))
    order = np.argsort(of_row, kind="stable")
    names = np.repeat(np.arange(len(changed)), [len(places) for places in changed.values()])
    values = [rows[name].take(pa.array(places)).cast(TEXT).combine_chunks() for name, places in changed.items()]
    counts = np.bincount(of_row, minlength=rows.num_rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    keys = pa.array(list(changed), TEXT).take(pa.array(names[order]))
    items = pa.concat_arrays(values).take(pa.array(order))
    # An offset that is NULL makes its map NULL; the last one has to be there.
    masked = pa.array(offsets, pa.int32(), mask=np.append(counts == 0, False))
    return pa.MapArray.from_arrays(masked, keys, items).cast(TEXT_MAP)


def _entries(maps: pa.ChunkedArray) -> pa.Table:
    """Return what maps hold, an entry a row: `row`, `key`, `value`."""
    lists = maps.combine_chunks().cast(pa.list_(pa.struct([("key", TEXT), ("value", TEXT)])))
    flat = pc.list_flatten(lists)
    columns = [pc.list_parent_indices(lists), pc.struct_field(flat, 0), pc.struct_field(flat, 1)]
    return pa.table(columns, ["row", "key", "value"])


def _with(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    index = rows.schema.get_field_index(name)
    return rows.set_column(index, rows.schema.field(index), values)

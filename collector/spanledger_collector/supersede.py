"""What of a commit is new: repeats are dropped, fuller copies of spans take the place of what the lake holds.

A row of `spans` is never changed. The fuller copy is appended, and the older version is listed in `superseded`, by
which the views leave it out. That list is committed first and counts from the moment when `spans` holds the segment
that it names, so a reader sees one version and never both or none, whatever dies in between; writing it again does
no harm. Where money of a day that is over changes, `corrections` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spanledger.lake_path import LakePath

from .duplicates import charge_elsewhere
from .keys import KeyIndex, read_keys
from .lake import DataFile, file_path, write_file
from .row import MONEY_PARTS, TIME
from .storage import parquet
from .tables import CORRECTIONS, SUPERSEDED
from .versions import Pair, Version, find_versions, pairs_of, read_versions, versions_of
from .worker import LOG

_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Replaced:
    """A version in the lake, and the new one that takes its place."""

    dt: date
    pair: Pair
    old: Version
    new: Version


@dataclass(slots=True)
class Sifted:
    """What is left of some files to append, and what that replaces."""

    files: list[DataFile] = field(default_factory=list)
    replaced: list[Replaced] = field(default_factory=list)


def sift(lake: LakePath, files: Sequence[DataFile], held: Sequence[DataFile], index: KeyIndex) -> Sifted:
    """Leave out every row of which `held`, or what comes before it in `files`, has as full a copy.

    `index` knows the keys of `held`, or reads them.
    """
    sifted = Sifted()
    for file in files:
        fresh, replaced = _sift_file(lake, file, [*held, *sifted.files], index)
        if fresh is not None:
            sifted.files.append(fresh)
            sifted.replaced += replaced
            index.note(fresh)
    return sifted


def superseded_rows(replaced: Sequence[Replaced], writer: str, segment: int) -> pa.Table:
    """Return what `superseded` says of replaced versions: it counts once `writer` has committed `segment`."""
    now = datetime.now(UTC)
    rows = [
        {
            "dt": one.dt,
            "trace_id": one.pair[0],
            "span_id": one.pair[1],
            "ingested_at": one.old.ingested_at,
            "start_time": one.old.start_time,
            "superseded_by": one.new.ingested_at,
            "writer": writer,
            "segment": segment,
            "written_at": now,
        }
        for one in replaced
    ]
    return pa.Table.from_pylist(rows, schema=SUPERSEDED.full_schema)


def correction_rows(replaced: Sequence[Replaced]) -> pa.Table:
    """Return what `corrections` says of replaced versions: those whose day is over and whose money changes."""
    now = datetime.now(UTC)
    rows = [
        {
            "dt": one.dt,
            "trace_id": one.pair[0],
            "span_id": one.pair[1],
            "ingested_at": one.old.ingested_at,
            "reason": "resent",
            "corrected_by": one.new.ingested_at,
            "old_price_id": one.old.money["price_id"],
            "old_cost_usd": one.old.money["cost_usd"],
            **one.new.money,
            "priced_at": now,
        }
        for one in replaced
        if one.dt < now.date() and _costs(one.old) != _costs(one.new)
    ]
    return pa.Table.from_pylist(rows, schema=CORRECTIONS.full_schema)


def _costs(version: Version) -> list[object]:
    return [version.money[name] for name in ("cost_usd", *MONEY_PARTS)]


def _sift_file(
    lake: LakePath, file: DataFile, held: Sequence[DataFile], index: KeyIndex
) -> tuple[DataFile | None, list[Replaced]]:
    keys = read_keys(lake, file)
    day = index.day(file.dt, held)
    run = np.sort(keys)  # the search goes through sorted keys several times as fast
    is_new = not day.holds(run).any() and not (run[1:] == run[:-1]).any()
    known = None if is_new else day.holds(keys)
    day.add(run)
    if known is None:
        return file, []
    suspects = known | _repeated(keys)
    copies = read_versions(lake, file)
    wanted = copies.filter(pa.array(known))
    same_day = [other for other in held if other.dt == file.dt]
    older = find_versions(lake, wanted, same_day) if wanted.num_rows else {}
    choice = _choose(file.dt, copies, np.flatnonzero(suspects), older)
    return _write(lake, file, choice), choice.replaced


@dataclass(slots=True)
class _Choice:
    """What becomes of the rows of a file, by place."""

    keep: np.ndarray
    replaced: list[Replaced] = field(default_factory=list)
    moved: dict[int, datetime] = field(default_factory=dict)
    """Rows that need another ingested_at, to be told from the version that they replace."""
    charged: dict[int, str] = field(default_factory=dict)
    """Rows that another span is charged for, as for the version that they replace."""


def _choose(dt: date, copies: pa.Table, suspects: np.ndarray, older: dict[Pair, list[Version]]) -> _Choice:
    """Keep of each span the fullest copy, of equal ones the first; none that isn't fuller than all of `older`."""
    choice = _Choice(np.ones(copies.num_rows, dtype=np.bool_))
    rows = copies.take(pa.array(suspects))
    entries = list(zip(suspects.tolist(), pairs_of(rows), versions_of(rows), strict=True))
    seen = set[Pair]()
    for place, pair, copy in sorted(entries, key=lambda entry: -entry[2].fullness):
        olds = older.get(pair, [])
        if pair in seen or any(old.fullness >= copy.fullness or old.ingested_at is None for old in olds):
            choice.keep[place] = False
        elif olds:
            new = _successor(choice, place, copy, olds)
            choice.replaced += [Replaced(dt, pair, old, new) for old in olds]
        seen.add(pair)
    return choice


def _successor(choice: _Choice, place: int, copy: Version, olds: Sequence[Version]) -> Version:
    """Return a copy as it takes the place of all `olds`: under a time of its own, and charged where they are."""
    new = copy
    taken = [old.ingested_at for old in olds if old.ingested_at is not None]
    if new.ingested_at in taken:
        new = replace(new, ingested_at=max(taken) + _TICK)
        choice.moved[place] = max(taken) + _TICK
    charged = max(olds, key=lambda old: old.fullness).duplicate_of
    if charged and not new.duplicate_of:
        new = replace(new, duplicate_of=charged, money=dict.fromkeys(new.money))
        choice.charged[place] = charged
    return new


def _write(lake: LakePath, file: DataFile, choice: _Choice) -> DataFile | None:
    """Return the file with the rows that stay, as they stay; None where no row does."""
    dropped = int((~choice.keep).sum())
    if not (dropped or choice.moved or choice.charged):
        return file
    if dropped:
        LOG.info("%d repeated spans dropped", dropped)
    if not choice.keep.any():
        return None
    path = file_path(lake, file)
    rows = pq.read_table(parquet(path), partitioning=None)
    if choice.moved:
        moved = pc.coalesce(_column(choice.moved, rows.num_rows, TIME), rows["ingested_at"])
        rows = rows.set_column(rows.schema.get_field_index("ingested_at"), "ingested_at", moved)
    if choice.charged:
        rows = charge_elsewhere(rows, _column(choice.charged, rows.num_rows, pa.string()))
    return write_file(lake, f"{path.stem}-once", rows.filter(pa.array(choice.keep)))


def _column(values: dict[int, datetime] | dict[int, str], length: int, type_: pa.DataType) -> pa.Array:
    return pa.array([values.get(place) for place in range(length)], type_)


def _repeated(keys: np.ndarray) -> np.ndarray:
    """Say which keys stand more than once in the array."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[inverse] > 1

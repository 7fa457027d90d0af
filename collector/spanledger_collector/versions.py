"""Versions of a span's row: how much of the span each one has, and which the lake holds.

Most copies are an exporter's retries and have the same in them. Some emitters send a span while it is under way and
again when it has ended: the fuller one counts. `fullness` is a plain number, so that every collector decides alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spanledger.lake_path import LakePath

from .folding import unfold
from .lake import DataFile, file_path
from .row import AS_BOOKED, MONEY_PARTS
from .storage import parquet
from .worker import LOG

Pair = tuple[str, str]
"""trace_id and span_id."""
MONEY_COLUMNS: Final = ("price_id", "cost_usd", *MONEY_PARTS, "unpriced_reason")
"""What a correction says of a version."""
_WEIGHED: Final = ("duration_us", "input_tokens", "output_tokens", "usage_state", "duplicate_of", "cost_usd")
_COLUMNS: Final = (*dict.fromkeys(("trace_id", "span_id", "ingested_at", "start_time", *_WEIGHED, *MONEY_COLUMNS)),)
CUT: Final = timedelta(milliseconds=1)
"""By so much the log cuts the times of merged files."""


@dataclass(frozen=True, slots=True)
class Version:
    """One row of a span, as far as it matters which of them counts."""

    fullness: int
    ingested_at: datetime | None
    start_time: datetime
    duplicate_of: str | None
    money: dict[str, str | Decimal | None]
    """`MONEY_COLUMNS`."""


def versions_of(rows: pa.Table) -> list[Version]:
    """Return the versions that the rows are."""
    return [
        Version(weight, row["ingested_at"], row["start_time"], row["duplicate_of"], {n: row[n] for n in MONEY_COLUMNS})
        for weight, row in zip(fullness(rows).tolist(), rows.to_pylist(), strict=True)
    ]


def fullness(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Say how much of a span each row has: that it ended, then what it used, then what that cost or who pays it.

    What a repeat of another call has no money for isn't missing.
    """
    known = {name: rows[name].is_valid().to_numpy().astype(np.int64) for name in _WEIGHED}
    ended = pc.fill_null(pc.greater(rows["duration_us"], 0), False).to_numpy()
    reported = pc.fill_null(pc.equal(rows["usage_state"], "reported"), False).to_numpy()
    booked = known["cost_usd"] | known["duplicate_of"]
    weight: npt.NDArray[np.int64] = (
        8 * ended + 4 * (known["input_tokens"] + known["output_tokens"]) + 2 * reported + booked
    )
    return weight


def read_versions(lake: LakePath, file: DataFile) -> pa.Table:
    """Read of every row of a file what tells versions apart."""
    return pq.read_table(parquet(file_path(lake, file)), columns=list(_COLUMNS), partitioning=None)


def find_versions(lake: LakePath, wanted: pa.Table, files: Sequence[DataFile]) -> dict[Pair, list[Version]]:
    """Return the versions of spans that some files of one day hold; `wanted` has trace_id, span_id and start_time.

    They are looked for where the spans would be by their start, and only what isn't there among all the day's rows.
    """
    pairs = set(pairs_of(wanted))
    bounds = pc.min_max(wanted["start_time"])
    first, last = bounds["min"].as_py(), bounds["max"].as_py() + CUT
    near = [file for file in files if file.start_min <= last and file.start_max + CUT >= first]
    found = _search(lake, near, pairs, [("start_time", ">=", first), ("start_time", "<=", last)])
    missing = pairs - found.keys()
    return found | _search(lake, files, missing, []) if missing else found


def _search(
    lake: LakePath, files: Sequence[DataFile], pairs: Collection[Pair], within: list[tuple[str, str, object]]
) -> dict[Pair, list[Version]]:
    filters = [("span_id", "in", {span_id for _, span_id in pairs}), *within]
    found = defaultdict[Pair, list[Version]](list)
    for file in files:
        try:
            rows = unfold(_read(file_path(lake, file), filters))
        except FileNotFoundError:
            # Somebody else deleted it. Queries will say so; to stop taking spans would make it worse.
            LOG.warning("%s is in the log of the lake but not on disk; its spans can't be recognised", file.path)
            continue
        for pair, version in zip(pairs_of(rows), versions_of(rows), strict=True):
            if pair in pairs:
                found[pair].append(version)
    return dict(found)


def _read(path: LakePath, filters: list[tuple[str, str, object]]) -> pa.Table:
    present = set(pq.read_schema(parquet(path)).names)
    names = [name for name in (*_COLUMNS, AS_BOOKED) if name in present]  # files from before have no AS_BOOKED
    return pq.read_table(parquet(path), columns=names, filters=filters, partitioning=None)


def pairs_of(ids: pa.Table) -> list[Pair]:
    """Return the ids themselves, row by row."""
    return list(zip(ids["trace_id"].to_pylist(), ids["span_id"].to_pylist(), strict=True))

"""Which days the rollups have counted from just the files that are live; every other day is read from its spans.

A day that is counted has one file in each rollup, so that all of them begin where the others do; where two machines
have counted it at once it is counted again. One with calls that
are provisional holds for as long as the lake is settled no further.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from spanledger_collector.lake import DataFile
from spanledger_collector.rollups import MAKE, ROLLUPS, counted_from, fingerprint

Cells = dict[str, DataFile]
"""Name of a rollup to its file of one day."""


def fingerprints(
    spans: Iterable[DataFile], said: Iterable[DataFile], pending: Mapping[date, Iterable[str]]
) -> dict[date, str]:
    """Return by day what its rollups are counted from: its files, and those that say something of their rows.

    `pending` names by day what of that doesn't count yet.
    """
    files: dict[date, list[DataFile]] = defaultdict(list)
    for file in spans:
        files[file.dt].append(file)
    for file in said:
        if file.dt in files:
            files[file.dt].append(file)
    return {dt: fingerprint(of_day, pending.get(dt, ())) for dt, of_day in files.items()}


def counted_days(
    wanted: Mapping[date, str], rollups: Mapping[str, Sequence[DataFile]], settled_until_ms: int
) -> dict[date, Cells]:
    """Return the days of `wanted`, by what they have to be counted from, that are; each with its cells."""
    found: dict[date, Cells] = defaultdict(dict)
    for table in ROLLUPS:
        files = rollups.get(table.name, ())
        once = Counter(file.dt for file in files)
        for file in files:
            if once[file.dt] == 1 and file.dt in wanted and holds(file, wanted[file.dt], settled_until_ms):
                found[file.dt][table.name] = file
    return {dt: cells for dt, cells in found.items() if len(cells) == len(ROLLUPS)}


def holds(file: DataFile, wanted: str, settled_until_ms: int) -> bool:
    """Say whether a file of a rollup is what its day would be counted as now."""
    said = counted_from(file)
    if said is None or said.make != MAKE or said.files != wanted:
        return False
    if said.provisional_until_ms < 0:
        return said.settled_until_ms <= settled_until_ms
    return said.settled_until_ms == settled_until_ms

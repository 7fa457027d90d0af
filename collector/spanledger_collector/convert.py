"""The converter process: sealed segments of the write-ahead log become Parquet files in the lake.

It only writes files; the committer makes them visible. It runs at low priority, so that taking spans in comes
first. What can't be converted goes whole to `dead/` with its reason and never blocks the segment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pyarrow.compute as pc

from spanledger.lake_path import LakePath
from spanledger.settings import load, parse_billing

from .catalog import TABLES, committed_anywhere
from .dead import bury
from .figures import StageFigures
from .lake import write_days
from .signals import Produced, convert_records, join
from .staging import manifest_path, write_manifest
from .tables import SPANS
from .trial import open_trial
from .wal import Record, is_set_back, read_segment, renew_id, segments, wal_dir, wal_id
from .worker import LOG, run


def make_step(home: Path, lake: LakePath) -> Callable[[], bool]:
    """Return the step of the loop: convert the oldest segment that isn't staged, if there is one."""
    wal = wal_dir(home)
    billing = parse_billing(load().billing, "SPANLEDGER_BILLING")
    os.nice(10)
    if is_set_back(wal, committed_anywhere(lake, wal_id(wal))):
        LOG.warning("%s is older than what the lake has of it; it goes on under a new id", wal)
        renew_id(wal)

    figures = StageFigures(home, "convert")

    def step() -> bool:
        for number, path in segments(wal):
            if not manifest_path(home, number).exists() and path.exists():  # in this order: the log is deleted first
                _count(figures, convert_segment(home, lake, number, path, billing))
                figures.publish(busy=True)
                return True
        figures.publish()
        return False

    return step


def _count(figures: StageFigures, produced: Produced) -> None:
    for name, rows in produced.tables.items():
        figures.add("rows_total", rows.num_rows, name)
    reasons = pc.value_counts(produced.of(SPANS)["unpriced_reason"].drop_null())
    for reason in reasons.to_pylist():
        figures.add("unpriced_total", reason["counts"], reason["values"])
    figures.add("dead_letters_total", len(produced.dead))


def convert_segment(
    home: Path, lake: LakePath, number: int, path: Path, billing: Mapping[str, str] = MappingProxyType({})
) -> Produced:
    """Convert one sealed segment and stage it; doing it again gives the same files."""
    contents = read_segment(path)
    produced = _convert_alive(home, number, contents.records, billing)
    damaged = [(damage.data, f"damaged at byte {damage.offset} of {path.name}") for damage in contents.damages]
    dead = produced.dead + damaged
    name = f"{wal_id(wal_dir(home))}-{number:010d}"
    if dead:
        bury(home / "dead", name, dead)
        LOG.warning("%d records of segment %d went to %s", len(dead), number, home / "dead")
    files = [file for table in TABLES for file in write_days(lake, name, produced.of(table), table)]
    write_manifest(home, number, files)
    return replace(produced, dead=dead)


def _convert_alive(home: Path, number: int, records: Sequence[Record], billing: Mapping[str, str]) -> Produced:
    """Convert the records, but for those that earlier processes died of."""
    trial = open_trial(home, number, len(records))
    parts = list[Produced]()
    try:
        for index, (first, end) in enumerate(trial.stretches):
            if first in trial.deadly:
                parts.append(Produced({}, [(records[first].payload, f"{trial.deaths} processes died of it")]))
                continue
            trial.attempt(index)
            parts.append(convert_records(records[first:end], billing))
    finally:
        trial.over()
    return join(parts)


if __name__ == "__main__":
    run("convert", make_step)

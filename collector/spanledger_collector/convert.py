"""The converter process: sealed segments of the write-ahead log become Parquet files in the lake.

It only writes files; the committer makes them visible. It runs at low priority, so that taking spans in comes
first. What can't be converted goes whole to `dead/` with its reason and never blocks the segment.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from .catalog import committed_anywhere
from .dead import bury
from .lake import write_days
from .row import SCHEMA
from .rows import Dead, convert
from .staging import manifest_path, write_manifest
from .trial import open_trial
from .wal import Record, is_set_back, read_segment, renew_id, segments, wal_dir, wal_id
from .worker import LOG, run


def make_step(home: Path, lake: Path) -> Callable[[], bool]:
    """Return the step of the loop: convert the oldest segment that isn't staged, if there is one."""
    wal = wal_dir(home)
    os.nice(10)
    if is_set_back(wal, committed_anywhere(lake, wal_id(wal))):
        LOG.warning("%s is older than what the lake has of it; it goes on under a new id", wal)
        renew_id(wal)

    def step() -> bool:
        for number, path in segments(wal):
            if not manifest_path(home, number).exists() and path.exists():  # in this order: the log is deleted first
                convert_segment(home, lake, number, path)
                return True
        return False

    return step


def convert_segment(home: Path, lake: Path, number: int, path: Path) -> None:
    """Convert one sealed segment and stage it; doing it again gives the same files."""
    contents = read_segment(path)
    rows, dead = _convert_alive(home, number, contents.records)
    dead += [(damage.data, f"damaged at byte {damage.offset} of {path.name}") for damage in contents.damages]
    name = f"{wal_id(wal_dir(home))}-{number:010d}"
    if dead:
        bury(home / "dead", name, dead)
        LOG.warning("%d records of segment %d went to %s", len(dead), number, home / "dead")
    write_manifest(home, number, write_days(lake, name, rows))


def _convert_alive(home: Path, number: int, records: Sequence[Record]) -> tuple[pa.Table, list[tuple[bytes, str]]]:
    """Convert the records, but for those that earlier processes died of."""
    trial = open_trial(home, number, len(records))
    parts, dead = [SCHEMA.empty_table()], list[tuple[bytes, str]]()
    try:
        for index, (first, end) in enumerate(trial.stretches):
            if first in trial.deadly:
                dead.append((records[first].payload, f"{trial.deaths} processes died of it"))
                continue
            trial.attempt(index)
            rows, unusable = convert_records(records[first:end])
            parts.append(rows)
            dead += unusable
    finally:
        trial.over()
    return pa.concat_tables(parts), dead


def convert_records(records: Sequence[Record]) -> tuple[pa.Table, list[tuple[bytes, str]]]:
    """Return the rows of `records`, and what can't be converted with the reason.

    A fault that takes the whole batch down is narrowed to the records that cause it: halves are tried, and only
    those that fail alone are set aside.
    """
    if not records:
        return SCHEMA.empty_table(), []
    bodies = [record.payload for record in records]
    try:
        converted = convert(bodies, [record.received_ns for record in records])
    except Exception as error:
        if len(records) == 1:
            return SCHEMA.empty_table(), [(bodies[0], f"{type(error).__name__}: {error}")]
        LOG.warning("%d records can't be converted together, trying halves: %s", len(records), error)
        parts = [convert_records(half) for half in (records[: len(records) // 2], records[len(records) // 2 :])]
        return pa.concat_tables([rows for rows, _ in parts]), [entry for _, dead in parts for entry in dead]
    dead = [(bodies[one.body_index], one.reason) for one in converted.dead if one.spans is None]
    return converted.rows, dead + _by_reason(converted.dead)


def _by_reason(dead: Sequence[Dead]) -> list[tuple[bytes, str]]:
    """Join requests by reason: a client with a wrong clock would fill the disk with files otherwise."""
    joined = defaultdict[str, list[bytes]](list)
    for one in dead:
        if one.spans is not None:
            joined[one.reason].append(one.spans)
    return [(b"".join(requests), reason) for reason, requests in joined.items()]


if __name__ == "__main__":
    run("convert", make_step)

"""Whether rollups say what their spans do: every day that counts as counted is counted once more, and compared."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from spanledger.lake_path import LakePath
from spanledger_collector.rollups import ROLLUPS
from spanledger_collector.tables import SETTLEMENTS, SUPERSEDED, LakeTable

from .connection import load_query
from .counting import open_counting, portions
from .snapshot import Snapshot, Snapshots


@dataclass(frozen=True, slots=True)
class Difference:
    """A rollup's day that isn't what its spans come to."""

    rollup: str
    dt: date
    rows: int
    """Cells that are there and shouldn't be, or should be and aren't; one with another value is both."""


@dataclass(frozen=True, slots=True)
class CountedDay:
    """A day whose cells hold."""

    dt: date
    snapshot: Snapshot

    def __str__(self) -> str:
        return f"rollups of {self.dt}"

    def differences(self) -> list[Difference]:
        """Count the day again; returns what differs."""
        return list(_differences(self.snapshot, [self.dt]))


def counted_now(lake: LakePath) -> list[CountedDay]:
    """Return the days of a lake that are counted as they are now."""
    snapshot = Snapshots(lake, (SUPERSEDED, SETTLEMENTS)).now()
    return [CountedDay(dt, snapshot) for dt in sorted(snapshot.counted())]


def check_rollups(lake: LakePath) -> list[Difference]:
    """Count every counted day of a lake again; returns what differs, in any column, money to the pico-dollar.

    Days that aren't counted are read from their spans by every question, and can't differ.

    Raises:
        duckdb.Error: a file can't be read.
    """
    snapshot = Snapshots(lake, (SUPERSEDED, SETTLEMENTS)).now()
    counted = sorted(snapshot.counted())
    return sorted(
        (one for days in portions(snapshot, counted) for one in _differences(snapshot, days)),
        key=lambda one: (one.dt, one.rollup),
    )


def _differences(snapshot: Snapshot, days: Sequence[date]) -> Iterator[Difference]:
    cells = snapshot.files_beside({dt: snapshot.counted(dt, dt)[dt] for dt in days}, days[0], days[-1]).cells
    with tempfile.TemporaryDirectory(prefix="spanledger-") as scratch, open_counting(snapshot, days, scratch) as opened:
        for table in ROLLUPS:
            opened.execute("set variable cells = $cells", {"cells": cells[table.name]})
            for dt, rows in _compare(opened, table):
                yield Difference(table.name, dt, rows)


def _compare(opened: duckdb.DuckDBPyConnection, table: LakeTable) -> list[tuple[date, int]]:
    opened.execute("create or replace temp table counted_again as " + load_query(f"rollups/{table.name}"))
    return opened.execute(load_query("differences")).fetchall()

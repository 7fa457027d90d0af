"""When rows come up: how many a query would find, watched while a load runs."""

from __future__ import annotations

import contextlib
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_load import Told
from sampling import sampling
from spanledger_collector.lake import live_files, open_for_reading


@dataclass(frozen=True, slots=True)
class Look:
    """What a query would have found at a time."""

    at: float
    """Seconds since 1970."""
    rows: int
    files: int


def look(lake: Path) -> Look:
    """Ask the table's log, as every query does."""
    table = open_for_reading(lake)
    files = live_files(table) if table else []
    return Look(time.time(), sum(file.rows for file in files), len(files))


@contextlib.contextmanager
def watching_rows(lake: Path, every_s: float = 0.05) -> Iterator[list[Look]]:
    """Look again and again while the block runs, and once at its end."""
    with sampling(lambda: look(lake), every_s) as seen:
        yield seen
    seen.append(look(lake))


def lags_of(told: Told, seen: Sequence[Look], before: int) -> list[float]:
    """Return the seconds from each acknowledgement to its rows, as rows come in order; `before` rows were there."""
    counts = [look.rows for look in seen]
    total, lags = before, []
    for at, spans in sorted(told.acknowledged_at):
        total += spans
        lags.append(max(0.0, seen[min(bisect_left(counts, total), len(seen) - 1)].at - at))
    return lags

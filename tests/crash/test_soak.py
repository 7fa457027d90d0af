"""Hours in minutes: at a steady load nothing grows, neither memory nor the lag of the rows nor the number of files.

The short form runs for 40 seconds, and again where something grew, as it also does when the machine gets slower
meanwhile; with SPANLEDGER_PROVE set, for ten minutes, or for SPANLEDGER_SOAK_S seconds, and once. It begins when
some spans have become rows, however long the stages took to load what they need. Memory is looked at by process, and by
the median of the last third of the time beside that of the middle third: in the first third caches fill, pools grow and
the day's keys are read. The process of the jobs ends with each merge, so only its peak says something.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from deltalake import DeltaTable

from agent_load import start_client, told_by
from collector_process import Collector, collecting
from process_tree import memory_by_name
from queryable import lags_of, look, watching_rows
from sampling import sampling
from spanledger_collector.lake import live_files, open_table, table_path
from spanledger_collector.maintain import MOST_SMALL_FILES
from spanledger_collector.serve import STAGES

PROVING = bool(os.environ.get("SPANLEDGER_PROVE"))
SECONDS = int(os.environ.get("SPANLEDGER_SOAK_S", "600" if PROVING else "40"))
TRIES = 1 if PROVING else 3
RATE = 5_000
FIRST_SPANS = 3 * RATE
MOST_GROWTH_A_MINUTE = 10_000_000
"""Of all processes that stay; the day's keys alone are 8 bytes a span, so 2.4 MB a minute."""
UNSTEADY = 0 if PROVING else 40_000_000
"""What a collector may still grow by after a third of a minute."""
MOST_BYTES = 1_000_000_000
Value = TypeVar("Value")
MOST_FILES_A_MERGE = 60
"""Commits while a merge is prepared and done."""


def test_at_a_steady_load_nothing_grows(tmp_path: Path) -> None:
    growing: list[str] = []
    for number in range(TRIES):
        (tmp_path / str(number)).mkdir()
        growing = soak(tmp_path / str(number))
        if not growing:
            break
    assert growing == []


def soak(folder: Path) -> list[str]:
    """Run a collector at a steady load, and say what grew."""
    with collecting(folder) as collector:
        flags = ("--seconds", str(SECONDS), "--rate", str(RATE), "--connections", "4")
        pid = collector.process.pid
        first = told_by(start_client(collector.http_port, "--spans", str(FIRST_SPANS), "--rate", str(RATE)))
        collector.wait_for_commit()
        with watching_rows(collector.lake, 0.5) as rows, sampling(lambda: memory_by_name(pid), 0.5) as memory:
            told = told_by(start_client(collector.http_port, *flags))
            collector.wait_for_commit()
        stored = look(collector.lake).rows
        log = list((collector.home / "wal").glob("*.wal*"))
    lags = lags_of(told, rows, first.spans)
    early, late = (float(np.median(part)) for part in thirds(lags)[1:])
    steady = {name: growth([look.get(name, 0) for look in memory]) for name in ("serve", *STAGES)}
    grown = growth([sum(size for name, size in look.items() if name != "jobs") for look in memory])
    peak = max(sum(look.values()) for look in memory)
    shown = {
        "seconds": round(told.seconds),
        "spans": told.spans,
        "refused": told.refused,
        "memory_mb_middle_and_last_third": {
            name: [round(size / 1e6) for size in sizes] for name, sizes in steady.items()
        },
        "memory_mb_per_minute": {name: a_minute(sizes) for name, sizes in (("all", grown), *steady.items())},
        "memory_mb_peak": round(peak / 1e6),
        "memory_mb_peak_of_jobs": round(max(look.get("jobs", 0) for look in memory) / 1e6),
        "lag_s_middle_and_last_third": [round(early, 2), round(late, 2)],
        "lag_s_p99": round(float(np.percentile(lags, 99)), 2),
        "live_files_at_most": max(look.files for look in rows),
        "files_on_disk": files_on_disk(collector),
        "log_entries": len(list((table_path(collector.lake) / "_delta_log").glob("*.json"))),
        "load_average": round(os.getloadavg()[2], 1),
    }
    print(f"evidence: {json.dumps(shown)}")
    assert (stored, log, told.refused) == (first.spans + told.spans, [], {})
    assert peak < MOST_BYTES
    assert max(look.files for look in rows) <= MOST_SMALL_FILES + MOST_FILES_A_MERGE
    growing = {
        "memory": grown[1] - grown[0] >= UNSTEADY + MOST_GROWTH_A_MINUTE * SECONDS / 3 / 60,
        "lag": late >= 2 * early + 5,  # it piles up; how long it is, is the machine's
    }
    return [name for name, grew in growing.items() if grew]


def thirds(values: Sequence[Value]) -> list[Sequence[Value]]:
    """Return what comes in the first, the middle and the last third."""
    third = len(values) // 3
    return [values[:third], values[third : 2 * third], values[2 * third :]]


def growth(memory: Sequence[int]) -> tuple[float, float]:
    """Return the medians of the middle and the last third, bytes."""
    _, middle, last = thirds(memory)
    return float(np.median(middle)), float(np.median(last))


def a_minute(sizes: tuple[float, float]) -> float:
    """Return how fast memory grew from one third to the next, MB a minute."""
    return round((sizes[1] - sizes[0]) / 1e6 / (SECONDS / 3 / 60), 2)


def files_on_disk(collector: Collector) -> dict[str, int]:
    """Return how many data files there are, live and replaced."""
    table: DeltaTable = open_table(collector.lake)
    there = len(list(table_path(collector.lake).glob("dt=*/*.parquet")))
    live = len(live_files(table))
    return {"live": live, "replaced": there - live}

"""Hours in minutes: at a steady load nothing grows, neither memory nor the lag of the rows nor the number of files.

The short form runs for a minute; with SPANLEDGER_PROVE set, for ten.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from deltalake import DeltaTable

from agent_load import start_client, told_by
from collector_process import Collector, collecting
from process_tree import watching_memory
from queryable import lags_of, look, watching_rows
from spanledger_collector.lake import live_files, open_table, table_path
from spanledger_collector.maintain import MOST_SMALL_FILES

SECONDS = 600 if os.environ.get("SPANLEDGER_PROVE") else 60
RATE = 5_000
WARM_UP = 0.2
"""Part of the time in which caches fill, pools grow and the day's keys are read."""
MOST_GROWTH = 0.2
"""Of the memory, from the first half after the warm-up to the second; the day's keys alone are 8 bytes a span."""
MOST_BYTES = 1_000_000_000


def test_at_a_steady_load_nothing_grows(tmp_path: Path) -> None:
    with collecting(tmp_path) as collector:
        flags = ("--seconds", str(SECONDS), "--rate", str(RATE), "--connections", "4")
        with watching_rows(collector.lake, 0.5) as rows, watching_memory(collector.process.pid, 0.5) as memory:
            told = told_by(start_client(collector.http_port, *flags))
            collector.wait_for_commit()
        stored = look(collector.lake).rows
        log = list((collector.home / "wal").glob("*.wal*"))
    lags = lags_of(told, rows, 0)
    first, second = halves(memory)
    early, late = halves(lags)
    shown = {
        "seconds": round(told.seconds),
        "spans": told.spans,
        "refused": told.refused,
        "memory_mb_first_half": round(first / 1e6),
        "memory_mb_second_half": round(second / 1e6),
        "memory_mb_peak": round(max(memory) / 1e6),
        "memory_mb_per_minute": round(slope_per_minute(memory) / 1e6, 2),
        "lag_s_first_half": round(early, 2),
        "lag_s_second_half": round(late, 2),
        "lag_s_p99": round(float(np.percentile(lags, 99)), 2),
        "live_files_at_most": max(look.files for look in rows),
        "files_on_disk": files_on_disk(collector),
        "log_entries": len(list((table_path(collector.lake) / "_delta_log").glob("*.json"))),
    }
    print(f"evidence: {json.dumps(shown)}")
    assert (stored, log, told.refused) == (told.spans, [], {})
    assert second < first * (1 + MOST_GROWTH) + 50_000_000
    assert max(memory) < MOST_BYTES
    assert late < 2 * early + 5  # it doesn't pile up; how long it is, is the machine's
    assert max(look.files for look in rows) <= MOST_SMALL_FILES + 60  # a merge takes its time, and commits go on


def halves(values: list[int] | list[float]) -> tuple[float, float]:
    """Return the medians of the first and the second half of what comes after the warm-up."""
    steady = values[int(len(values) * WARM_UP) :]
    middle = len(steady) // 2
    return float(np.median(steady[:middle])), float(np.median(steady[middle:]))


def slope_per_minute(memory: list[int]) -> float:
    """Return how fast the memory grows after the warm-up, bytes a minute."""
    steady = memory[int(len(memory) * WARM_UP) :]
    minutes = np.linspace(0, SECONDS * (1 - WARM_UP) / 60, len(steady))
    return float(np.polyfit(minutes, steady, 1)[0])


def files_on_disk(collector: Collector) -> dict[str, int]:
    """Return how many data files there are, live and replaced."""
    table: DeltaTable = open_table(collector.lake)
    there = len(list(table_path(collector.lake).glob("dt=*/*.parquet")))
    live = len(live_files(table))
    return {"live": live, "replaced": there - live}

"""Commits in a row, with maintenance in step: what one costs, and a question, must not grow with how many there were.

Segments of a few traces are staged as the converter stages them, and the product's own committer commits them one by
one; its maintainer has small files merged, days that are over written anew, and Delta's log cleaned. In life that is
one commit a second. Here they follow at once, so the maintainer's clock goes by commits, and the log is kept not for
half an hour but for 1,800 commits. Replaced files alone stay for a real hour, as queries may have them open.

    python benchmarks/commits.py [--commits 10000] [--windows 10] [--days 90] [--log-seconds 1800]
    python benchmarks/commits.py --commits 86400     # as many as a day has; an hour or more
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from committing import Bench
from made.population import populate
from made.rows import day_rows
from made.traces import make_day
from spanledger_analytics.connection import Ledger
from spanledger_analytics.drill import users
from spanledger_analytics.scope import EVERYTHING
from spanledger_analytics.spend import days
from spanledger_collector.commit import Committer
from spanledger_collector.lake import add_files, live_files, open_table, table_path, write_days
from spanledger_collector.maintain import Maintainer
from waiting import wait_until

A_COMMIT: Final = 20
"""Traces of a segment."""
LOG_S: Final = 1_800
"""What the log is kept for in life: so many commits at one a second."""
TOMBSTONES_S: Final = 7_200
"""And what it says of files that are no longer live."""
TODAY: Final = datetime.now(UTC).date()
QUESTIONS_A_WINDOW: Final = 20


class Source:
    """Makes the rows of segments, out of those of one day."""

    def __init__(self) -> None:
        people = populate(10_000_000)
        spans = make_day(people, 1, 400 * A_COMMIT, 0.0)
        self._rows = day_rows(people, spans, TODAY, fingerprints=False)
        ends = np.flatnonzero(np.diff(spans.trace)) + 1
        self._cuts = [0, *ends[A_COMMIT - 1 :: A_COMMIT].tolist(), spans.rows]

    def segment(self, number: int) -> pa.Table:
        """Return rows with ids that no other segment has."""
        place = number % (len(self._cuts) - 1)
        rows = self._rows.slice(self._cuts[place], self._cuts[place + 1] - self._cuts[place])
        mark = pa.scalar(f"{number:08x}")
        for name in ("trace_id", "span_id", "parent_span_id", "response_id"):
            index = rows.schema.get_field_index(name)
            changed = pc.utf8_replace_slice(rows[name], start=0, stop=8, replacement=mark.as_py())
            rows = rows.set_column(index, rows.schema.field(index), changed)
        return rows


def make_history(lake: Path, source: Source, count: int) -> None:
    """Write one small file for each of the days before today."""
    files = []
    for back in range(1, count + 1):
        rows = source.segment(2**31 - back)
        for name in ("start_time", "ingested_at"):
            index = rows.schema.get_field_index(name)
            moved = pc.subtract(rows[name], pa.scalar(timedelta(days=back), pa.duration("us")))
            rows = rows.set_column(index, rows.schema.field(index), moved)
        files += write_days(lake, f"before-{back}", rows)
    if files:
        add_files(lake, files, writer="history", version=0)


def hasten(lake: Path, seconds_a_commit: float, log_s: int) -> None:
    """Keep what is kept by time for as many commits as it would be at one a second."""
    kept = {"delta.logRetentionDuration": log_s, "delta.deletedFileRetentionDuration": TOMBSTONES_S}
    open_table(lake).alter.set_table_properties(
        {name: f"interval {max(10, round(seconds * seconds_a_commit))} seconds" for name, seconds in kept.items()}
    )


def measure(commits: int, windows: int, history: int, log_s: int) -> list[dict[str, Any]]:
    """Return the figures of each window."""
    source = Source()
    found = []
    with tempfile.TemporaryDirectory(prefix="spanledger-commits-") as folder:
        bench = Bench(Path(folder))
        make_history(bench.lake, source, history)
        committer, ledger = Committer(bench.home, bench.lake), Ledger(bench.lake, EVERYTHING)
        done = 0
        maintainer = Maintainer(bench.lake, lambda: float(done))
        begun, spent = time.monotonic(), time.process_time()
        for number in range(windows):
            first = number * commits // windows
            took = []
            for one in range(first, (number + 1) * commits // windows):
                took.append(commit(bench, committer, source, one))
                done = one
                maintainer.step()
            if number == 0:
                hasten(bench.lake, (time.monotonic() - begun) / len(took), log_s)
            cpu = (time.process_time() - spent) / len(took)
            found.append(figures(bench.lake, ledger, took, cpu, first + len(took)))
            spent = time.process_time()
            print(f"commits: {json.dumps(found[-1])}", file=sys.stderr, flush=True)
        wait_until(lambda: not maintainer.step() and maintainer._jobs is None, timeout_s=600, what="the last jobs")
        check(ledger, source, commits)
    return found


def commit(bench: Bench, committer: Committer, source: Source, number: int) -> float:
    """Stage a segment and commit it; return the seconds that the commit took."""
    bench.seal(number)
    bench.stage(number, source.segment(number))
    start = time.perf_counter()
    if not committer.step():
        raise SystemExit(f"segment {number} was not committed")
    return time.perf_counter() - start


def figures(lake: Path, ledger: Ledger, took: list[float], cpu: float, commits: int) -> dict[str, Any]:
    """Return what the commits of a window took, and what the lake is like at its end."""
    log = sizes(table_path(lake) / "_delta_log")
    asked = {"days": lambda: days(ledger, TODAY - timedelta(days=29), TODAY), "users": lambda: users(ledger, TODAY, 10)}
    return {
        "commits": commits,
        "commit_p50_ms": _ms(took, 50),
        "commit_p95_ms": _ms(took, 95),
        "commit_max_ms": _ms(took, 100),
        "cpu_ms_with_staging": round(cpu * 1000, 1),
        **{f"{name}_p50_ms": _ms([_timed(ask) for _ in range(QUESTIONS_A_WINDOW)], 50) for name, ask in asked.items()},
        "live_files": len(live_files(open_table(lake))),
        "files_on_disk": sum(1 for _ in table_path(lake).glob("dt=*/*.parquet")),
        "log_files": len(log),
        "log_mb": round(sum(log) / 1e6, 1),
    }


def sizes(folder: Path) -> list[int]:
    """Return the bytes of each file; some are deleted meanwhile."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += [path.stat().st_size] if path.is_file() else []
    return found


def check(ledger: Ledger, source: Source, commits: int) -> None:
    """End the benchmark unless all that was committed is there once."""
    wanted = sum(source.segment(number).num_rows for number in range(commits))
    frame = ledger.ask("coverage", first=TODAY, last=TODAY)
    if frame["spans"].item() != wanted:
        raise SystemExit(f"{wanted} spans were committed; {frame['spans'].item()} are there")


def _timed(ask: Any) -> float:
    start = time.perf_counter()
    ask()
    return time.perf_counter() - start


def _ms(seconds: list[float], of_100: float) -> float:
    return round(float(np.percentile(seconds, of_100)) * 1000, 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--windows", type=int, default=10, help="parts that figures are given of")
    parser.add_argument("--days", type=int, default=90, help="of history")
    parser.add_argument("--log-seconds", type=int, default=LOG_S, help="what the log is kept for, at a commit a second")
    options = parser.parse_args()
    told = {
        "windows": measure(options.commits, options.windows, options.days, options.log_seconds),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("deltalake", "duckdb", "pyarrow")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }
    print(f"evidence: {json.dumps(told)}" if os.environ.get("SPANLEDGER_PROVE") else json.dumps(told, indent=1))


if __name__ == "__main__":
    main()

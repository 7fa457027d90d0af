"""What an evaluation of alerts costs, as the lake grows: CPU of all rules of docs/alerts.md together.

    python benchmarks/alerts.py [--spans 1000000 10000000] [--folder DIR] [--evaluations 200]

Lakes are those of benchmarks/queries.py: 180 days, maintained, made from a fixed seed where they aren't there. The
clock begins at noon of the last day and goes on by 20 seconds an evaluation. CPU of all threads is told, not wall time.
`first` is the evaluation of a process that starts, `usual` the median of the others, `hour` those at which an hour's
past is asked, `quarter` those at which the sums of budgets are.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from made.files import LAST, Made, about, made_lake
from queries import cache_folder
from spanledger_analytics.alerts.evaluate import evaluate
from spanledger_analytics.alerts.lookout import Lookout
from spanledger_analytics.alerts.rules_file import read_rules
from spanledger_analytics.alerts.store import Store
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.calendar import Calendar
from spanledger_analytics.scope import EVERYTHING

EVERY: Final = timedelta(seconds=20)
NOON: Final = datetime.combine(LAST, datetime.min.time(), UTC) + timedelta(hours=12)
RULES: Final = """
[[rule]]
name = "velocity"
kind = "velocity"
by = "team"
[[rule]]
name = "velocity of all"
kind = "velocity"
[[rule]]
name = "budget"
kind = "budget"
by = "team"
usd = "1000"
[[rule]]
name = "anomaly"
kind = "anomaly"
by = "feature"
[[rule]]
name = "unpriced"
kind = "unpriced"
[[rule]]
name = "retry"
kind = "retry"
[[rule]]
name = "cache"
kind = "cache"
by = "feature"
[[rule]]
name = "session"
kind = "session"
usd = "20"
times = 20
[[rule]]
name = "silence"
kind = "silence"
by = "team"
"""


def cpu_s() -> float:
    """Return the CPU seconds of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(lake: Path, home: Path, evaluations: int) -> dict[str, Any]:
    """Evaluate again and again over a lake that doesn't change, and return what that took."""
    path = home / "alerts.toml"
    path.write_text(RULES, "utf-8")
    rules, store = read_rules(path), Store(home)
    lookout = Lookout(Ledger(lake, EVERYTHING), Calendar())
    took: list[tuple[datetime, float]] = []
    readings = 0
    for number in range(evaluations):
        now, before = NOON + number * EVERY, cpu_s()
        seen = evaluate(rules, lookout, store, now)
        took.append((now, (cpu_s() - before) * 1000))
        readings = sum(len(one.readings) for one in seen)
        if troubles := [one.trouble for one in seen if one.trouble]:
            raise SystemExit(f"rules could not look: {troubles}")
    hour = [ms for now, ms in took[1:] if now.minute == 5 and now.second == 0]
    quarter = [ms for now, ms in took[1:] if now.minute % 15 == 0 and now.second == 0]
    usual = [ms for _, ms in took[1:]]
    return {
        "spans": about(lake)["rows"],
        "readings": readings,
        "first_ms": round(took[0][1]),
        "usual_ms": round(statistics.median(usual), 1),
        "hour_ms": [round(ms) for ms in hour],
        "quarter_ms": [round(ms) for ms in quarter],
        "mean_ms": round(statistics.mean(usual), 1),
        "percent_of_a_core": round(statistics.mean(usual) / EVERY.total_seconds() / 10, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--spans", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--folder", type=Path, default=cache_folder() / "lakes")
    parser.add_argument("--evaluations", type=int, default=200, help="An hour has 180.")
    options = parser.parse_args()
    found = {}
    for spans in options.spans:
        with tempfile.TemporaryDirectory() as home:
            found[f"{spans:,}"] = measure(made_lake(options.folder, Made(spans)), Path(home), options.evaluations)
    print(json.dumps({"lakes": found, "rules": RULES.count("[[rule]]"), "python": platform.python_version()}, indent=2))


if __name__ == "__main__":
    main()

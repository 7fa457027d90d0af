"""What an evaluation of alerts costs, as the lake grows: CPU of rules of every kind, together and one by one.

    python benchmarks/alerts.py [--spans 1000000 10000000] [--folder DIR] [--evaluations 20]

Lakes are those of benchmarks/queries.py: 180 days, maintained, made from a fixed seed where they aren't there; with
`--lake` one that is there; what alerts kept of it is deleted. The clock begins at noon of the last day. CPU of all
threads is told, not wall time, in milliseconds: `first` where nothing is kept, `started` of a process that begins again
after it, `hour` where an hour has become the past, `quarter` where the sums of budgets are asked again, `usual` the
median of all others. By rule, what is asked for several of them counts for the first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import tempfile
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from made.files import LAST, Made, about, made_lake
from queries import cache_folder
from spanledger_analytics.alerts.evaluate import evaluate
from spanledger_analytics.alerts.lookout import Lookout
from spanledger_analytics.alerts.reading import Reading
from spanledger_analytics.alerts.rules import Rule, Rules
from spanledger_analytics.alerts.rules_file import read_rules
from spanledger_analytics.alerts.store import Store
from spanledger_analytics.connection import Ledger
from spanledger_analytics.kept import FOLDER
from spanledger_analytics.reports.calendar import Calendar
from spanledger_analytics.scope import EVERYTHING

EVERY: Final = timedelta(seconds=20)
NOON: Final = datetime.combine(LAST, datetime.min.time(), UTC) + timedelta(hours=12)
HOURS: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 65))
"""After noon: the last hour is the past."""
QUARTERS: Final = tuple(timedelta(minutes=minutes) for minutes in (15, 30, 45, 60))
AN_HOUR: Final = timedelta(hours=1) // EVERY
"""Evaluations that it has."""
RULES: Final = "".join(
    f'[[rule]]\nname = "{kind}{f" by {by}" if by else ""}"\nkind = "{kind}"\n'
    + (f'by = "{by}"\n' if by else "")
    + {"budget": 'usd = "1000"\n', "session": 'usd = "20"\ntimes = 20\n'}.get(kind, "")
    for kind, by in (
        *(("velocity", by) for by in ("", "team", "user", "customer", "session", "tag.plan")),
        *(("budget", by) for by in ("team", "customer", "tag.plan")),
        *(("anomaly", by) for by in ("feature", "customer", "tag.plan")),
        *(("unpriced", ""), ("retry", ""), ("cache", "feature"), ("cache", "tag.plan")),
        *(("session", ""), ("silence", "team"), ("silence", "customer")),
    )
)


def cpu_s() -> float:
    """Return the CPU seconds of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Measured:
    """Evaluates over a lake that doesn't change, and notes what that takes."""

    def __init__(self, lake: Path, home: Path) -> None:
        path = home / "alerts.toml"
        path.write_text(RULES, "utf-8")
        rules = read_rules(path)
        self.lake, self.home, self.readings = lake, home, 0
        self.took: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        """Milliseconds by what the moment was, and by rule; `all` is the whole evaluation."""
        self._moment = ""
        self.rules: Rules = replace(rules, rules=tuple(map(self._timed, rules.rules)))
        self.start()

    def start(self) -> None:
        """Begin as a process does."""
        self.lookout = Lookout(Ledger(self.lake, EVERYTHING), Calendar())
        self.store = Store(self.home)

    def evaluate(self, now: datetime, moment: str) -> None:
        """Evaluate once."""
        self._moment, before = moment, cpu_s()
        seen = evaluate(self.rules, self.lookout, self.store, now)
        self.took[moment]["all"].append((cpu_s() - before) * 1000)
        self.readings = sum(len(one.readings) for one in seen)
        if troubles := [one.trouble for one in seen if one.trouble]:
            raise SystemExit(f"rules could not look: {troubles}")

    def _timed(self, rule: Rule) -> Rule:
        def readings(terms: Any, asking: Rule, lookout: Lookout) -> list[Reading]:
            before = cpu_s()
            found = rule.kind.readings(terms, asking, lookout)
            self.took[self._moment][rule.name].append((cpu_s() - before) * 1000)
            return found

        return replace(rule, kind=replace(rule.kind, readings=readings))


def measure(lake: Path, home: Path, evaluations: int) -> dict[str, Any]:
    """Evaluate again and again, and return what that took."""
    for folder in (lake / FOLDER).glob("alert-*"):
        shutil.rmtree(folder)
    one = Measured(lake, home)
    one.evaluate(NOON, "first")
    for number in range(1, evaluations + 1):
        one.evaluate(NOON + number * EVERY / 2, "usual")
    for after in sorted((*HOURS, *QUARTERS)):
        one.evaluate(NOON + after, "hour" if after in HOURS else "quarter")
        one.evaluate(NOON + after + EVERY, "usual")
    one.store.close()
    one.start()
    one.evaluate(NOON + max(HOURS) + 2 * EVERY, "started")
    kept = [path.stat().st_size for path in (lake / FOLDER).glob("alert-*/*.parquet")]
    mean = _mean(one.took)
    return {
        "spans": about(lake)["rows"],
        "readings": one.readings,
        "all": _told(one.took, "all"),
        "mean_ms": round(mean, 1),
        "percent_of_a_core": round(mean / EVERY.total_seconds() / 10, 2),
        "rules": {rule.name: _told(one.took, rule.name) for rule in one.rules.rules},
        "kept_mb": round(sum(kept) / 2**20, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _told(took: dict[str, dict[str, list[float]]], name: str) -> dict[str, float]:
    return {
        f"{moment}_ms": round(statistics.median(took[moment][name]), 1)
        for moment in ("first", "started", "hour", "quarter", "usual")
    }


def _mean(took: dict[str, dict[str, list[float]]]) -> float:
    """Return the mean of an hour's evaluations."""
    said = {moment: statistics.mean(took[moment]["all"]) for moment in ("hour", "quarter", "usual")}
    usual = AN_HOUR - 1 - len(QUARTERS)
    return (said["hour"] + said["quarter"] * len(QUARTERS) + said["usual"] * usual) / AN_HOUR


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--spans", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--folder", type=Path, default=cache_folder() / "lakes")
    parser.add_argument("--lake", type=Path, nargs="*", default=[], help="Made lakes to look at as they are.")
    parser.add_argument("--evaluations", type=int, default=20, help="Usual ones, in a row.")
    options = parser.parse_args()
    lakes = options.lake or [made_lake(options.folder, Made(spans)) for spans in options.spans]
    found = {}
    for lake in lakes:
        with tempfile.TemporaryDirectory() as home:
            found[lake.name] = measure(lake, Path(home), options.evaluations)
    versions = {name: version(name) for name in ("duckdb", "polars", "deltalake")}
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), **versions}
    print(json.dumps({"lakes": found, "machine": machine}, indent=2))


if __name__ == "__main__":
    main()

"""How long the reports that pages of the dashboard show take, at 10 or 100 million spans.

The lake is that of `queries.py`, made from a fixed seed and maintained by the product. First what the collector's
process keeps of each day is kept, for `--days` back (`keeping` says what that costs a day); then each report is asked
of windows that end on one of the last full days, without a filter and with one of a team, a feature or a model.

Rules of a policy had to do with none of its calls unless `--controlled` says with which share: without that the reports
of the page Controls find nothing.

    python benchmarks/reports.py [--full] [--root-tags 0] [--draws 20] [--days 92]
    python benchmarks/reports.py --controlled 0.02 --pages controls
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from made.files import LAST, Made, about, made_lake
from queries import cache_folder, machine
from spanledger_analytics.connection import Ledger
from spanledger_analytics.kept import answered, lacking
from spanledger_analytics.reports.ahead import AHEAD
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question, parse_by, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING
from spanledger_analytics.spend import filter_values

SEED: Final = 11
SHOWN: Final = (
    # page, report, --by, days, whether it can be asked with the filters of the page
    ("overview", "spend", "day,model", 30, True),
    ("overview", "forecast", "", 30, True),
    ("overview", "movers", "model", 7, True),
    ("overview", "unit-cost", "", 7, False),
    ("attribution", "concentration", "team", 30, True),
    ("attribution", "concentration", "user", 30, False),
    ("attribution", "concentration", "customer", 30, False),
    ("attribution", "spend", "team,feature,model", 30, True),
    ("attribution", "tag-coverage", "", 30, True),
    ("attribution", "margin", "customer", 30, False),
    ("compare", "compare", "team", 7, True),
    ("efficiency", "cache-health", "feature", 7, True),
    ("efficiency", "cache-breaks", "", 2, True),
    ("efficiency", "drivers", "feature", 7, True),
    ("efficiency", "efficiency", "feature,model", 7, True),
    ("efficiency", "growth", "", 7, True),
    ("efficiency", "loops", "", 7, True),
    ("alerts", "anomalies", "model,feature,team", 7, False),
    ("controls", "refusals", "", 7, True),
    ("controls", "avoided", "feature", 7, True),
    ("controls", "routes", "", 7, True),
    ("controls", "decisions", "", 7, True),
)
TOLD: Final[dict[str, dict[str, bool]]] = {"efficiency": {"findings_only": True}}
"""Options of the page."""
TARGET_MS: Final = 300
"""p95 at 100 million spans on 2 cores."""
FILTERS: Final = ("", "team", "feature", "model")


def keep(ledger: Ledger, days: int) -> dict[str, Any]:
    """Keep what the collector's process does; return CPU seconds a day by question, and the highest memory."""
    spent: dict[str, list[float]] = {asked.name: [] for asked, _ in AHEAD}
    for back, (asked, most) in itertools.product(range(days), AHEAD):
        day = LAST - timedelta(days=back)
        if back < most and lacking(ledger, asked, [day]):
            say(f"keeping {asked.name} of {day}")
            start = time.process_time()
            answered(ledger, asked, day, day)
            spent[asked.name].append(time.process_time() - start)
    each = {name: round(float(np.median(took)), 2) for name, took in spent.items() if took}
    return {"cpu_s_a_day": each, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def draws(ledger: Ledger, days: int, count: int, *, filtered: bool) -> Iterator[tuple[Period, list[str]]]:
    """Yield windows and conditions, from a fixed seed."""
    chance = random.Random(SEED)  # noqa: S311 - of draws
    known = filter_values(ledger, LAST - timedelta(days=6), LAST).sort("cost_usd", descending=True, nulls_last=True)
    for number in range(count):
        last = LAST - timedelta(days=chance.randrange(4))
        name = FILTERS[number % len(FILTERS)] if filtered else ""
        offered = [row["value"] for row in known.to_dicts() if row["dimension"] == name and row["value"]][:10]
        yield Period(last - timedelta(days=days - 1), last), [f"{name}={chance.choice(offered)}"] if name else []


def figures(ask: Callable[[Period, list[str]], object], asked: list[tuple[Period, list[str]]]) -> dict[str, Any]:
    """Ask all of them, the first once more before; return milliseconds."""
    ask(*asked[0])
    wall, cpu = [], []
    for one in asked:
        begun, spent = time.perf_counter(), time.process_time()
        ask(*one)
        wall.append((time.perf_counter() - begun) * 1000)
        cpu.append((time.process_time() - spent) * 1000)
    return {
        "p50_ms": round(float(np.percentile(wall, 50)), 1),
        "p95_ms": round(float(np.percentile(wall, 95)), 1),
        "cpu_p50_ms": round(float(np.percentile(cpu, 50)), 1),
        "cpu_p95_ms": round(float(np.percentile(cpu, 95)), 1),
    }


def measure(ledger: Ledger, count: int, pages: Sequence[str]) -> dict[str, Any]:
    """Return the figures of each report of some pages."""
    found: dict[str, Any] = {}
    for page, name, by, days, filtered in SHOWN:
        if page not in pages:
            continue
        say(f"{page}: {name} --by {by or '(none)'}")
        asked = list(draws(ledger, days, count, filtered=filtered))

        def ask(period: Period, where: list[str], name: str = name, by: str = by) -> object:
            return REPORTS[name].answer(
                ledger, Question(period, parse_by(by), parse_where(where)), **TOLD.get(name, {})
            )

        found[f"{page}: {name}{' by ' + by if by else ''}, {days} days"] = figures(ask, asked)
    return found


def say(what: str) -> None:
    """Tell on stderr what is being done."""
    print(f"reports: {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--full", action="store_true", help="100 million spans")
    parser.add_argument("--root-tags", type=float, default=0.3, help="share of calls that inherit tags; 0 for none")
    parser.add_argument("--controlled", type=float, default=0.0, help="share of calls that rules had to do with")
    parser.add_argument("--pages", nargs="+", default=sorted({page for page, *_ in SHOWN}), help="those to be measured")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--days", type=int, default=92, help="that something is kept of")
    parser.add_argument("--folder", type=Path, default=cache_folder() / "lakes")
    options = parser.parse_args()
    spans = 100_000_000 if options.full else options.spans
    lake = made_lake(options.folder, Made(spans, root_tags=options.root_tags, controlled=options.controlled))
    ledger = Ledger(lake, EVERYTHING)
    told = {
        "lake": about(lake),
        "keeping": keep(ledger, options.days),
        "reports": measure(ledger, options.draws, options.pages),
        "p95_target_at_100_million_ms": TARGET_MS,
        **machine(),
    }
    print(f"evidence: {json.dumps(told)}" if os.environ.get("SPANLEDGER_PROVE") else json.dumps(told, indent=1))


if __name__ == "__main__":
    main()

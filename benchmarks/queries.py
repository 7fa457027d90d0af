"""How long questions take at 10 and at 100 million spans: ours through the product's own functions, beside others.

The lake is made from a fixed seed on first use and kept in the cache folder: 180 days, traces of users of teams and
customers with sessions, agents, tools and prompt caches, priced by the real book (`made/`), then maintained by the
product: closed days written anew with what was settled, and counted. Others don't know of these sums. Each engine runs
in a process of its own: DuckDB through the functions of our pages and our views; chdb, polars (streaming), datafusion
from PyPI in a virtual environment made on first use, on the same files, each told the files of the days asked about or
pruning folders of days by itself. Every question is asked of all in turn with the same parameters, warm, and the
answers have to be equal. A peer that takes long is asked less often; `asked` says how often.

    python benchmarks/queries.py [--full] [--root-tags 0] [--draws 50] [--peers chdb,polars,datafusion]
    python benchmarks/queries.py --growth [--full]    # the same at 1 and 10 (and 100) million, and 1,000 empty days
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import venv
from collections.abc import Iterator
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from asked.draws import QUESTIONS, STEPS, Asked, draw, questions
from made.files import LAST, Made, about, made_lake
from spanledger_analytics.snapshot import Snapshots
from spanledger_collector.tables import SETTLEMENTS

PEERS: Final = {"chdb": "4.4.0", "polars": "2.1.0", "datafusion": "55.0.0"}
OURS: Final = "spanledger"
WARM_UP: Final = 2
LEAST: Final = 3
"""Times that an engine is asked, however slow it is."""
TARGET_MS: Final = {**dict.fromkeys(STEPS, 100), "trace without date": 300, "group-by of 30 days": 1200}
"""p95 of ours at 100 million spans on 2 cores."""


class Engine:
    """A process that answers."""

    def __init__(self, name: str, lake: Path) -> None:
        self.name = name
        here = Path(__file__).parent
        python = sys.executable if name == OURS else str(peers_python())
        environment = dict(os.environ)
        if name != OURS:
            environment.pop("PYTHONPATH", None)
        command = [python, str(here / "asked" / "worker.py"), name, str(lake)]
        self.process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, asked: Asked) -> dict[str, Any]:
        """Return what the process says of a question."""
        if self.process.stdin is None or self.process.stdout is None:
            raise SystemExit("an engine without pipes")
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended while it was asked {asked['question']}; its words are above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        """End the process."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(60)


@contextlib.contextmanager
def engines(names: list[str], lake: Path) -> Iterator[list[Engine]]:
    """Run a process for each engine."""
    running = [Engine(name, lake) for name in names]
    try:
        yield running
    finally:
        for engine in running:
            engine.stop()


def measure(lake: Path, names: list[str], wanted: list[str], count: int, patience_s: float) -> dict[str, Any]:
    """Return the figures of each question, by engine."""
    draws = draw(lake, days_of(lake), count)
    with engines(names, lake) as running:
        return {name: ask_all(running, list(questions(lake, name, draws)), patience_s) for name in wanted}


def ask_all(running: list[Engine], asked: list[Asked], patience_s: float) -> dict[str, Any]:
    """Ask every engine in turn, ours first and always; end the benchmark where an answer differs from ours."""
    say(asked[0]["question"])
    answers: dict[str, list[dict[str, Any]]] = {engine.name: [] for engine in running}
    for question in [*(asked * WARM_UP)[:WARM_UP], *asked]:
        expected = None
        for engine in running:
            said = answers[engine.name]
            enough = sum(answer["wall"] for answer in said) > patience_s and len(said) >= WARM_UP + LEAST
            if engine.name == OURS or not enough:
                said.append(engine.ask(question))
                expected = said[-1]["rows"] if expected is None else expected
                refuse_difference(engine.name, question, expected, said[-1]["rows"])
    return {name: figures(said[WARM_UP:]) for name, said in answers.items()}


def refuse_difference(name: str, asked: Asked, expected: list[Any], found: list[Any]) -> None:
    """End the benchmark unless two answers are the same."""
    if expected != found:
        shown = {key: value for key, value in asked.items() if key not in ("spans", "settlements")}
        differing = [pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]]
        first = differing[0] if differing else (len(expected), len(found))
        raise SystemExit(f"{name} answers {shown} otherwise than {OURS}: {first[1]}, not {first[0]}")


def figures(said: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what an engine took for a question."""
    wall = [answer["wall"] * 1000 for answer in said]
    return {
        "p50_ms": round(float(np.percentile(wall, 50)), 1),
        "p95_ms": round(float(np.percentile(wall, 95)), 1),
        "cpu_p50_ms": round(float(np.percentile([answer["cpu"] * 1000 for answer in said], 50)), 1),
        "peak_mb": round(max(answer["peak"] for answer in said) / 1e6),
        "asked": len(said),
    }


def compared(found: dict[str, Any]) -> dict[str, Any]:
    """Return how much longer than ours the quickest other takes, and which it is, for each question."""
    best = {}
    for question, engines_of in found.items():
        others = {name: one["p50_ms"] for name, one in engines_of.items() if name != OURS}
        if others:
            name = min(others, key=lambda name: others[name])
            best[question] = {"quickest_other": name, "to_ours": round(others[name] / engines_of[OURS]["p50_ms"], 2)}
    return best


def days_of(lake: Path) -> list[date]:
    """Return the days of a generated lake."""
    count = about(lake)["made"]["days"]
    return [LAST - timedelta(days=count - 1 - place) for place in range(count)]


def bytes_per_span(lake: Path) -> dict[str, float]:
    """Return what the live files take of closed days and of all, and what settlements add."""
    snapshot = Snapshots(lake).now()
    rows = sum(file.rows for file in snapshot.spans)
    closed = [file for file in snapshot.spans if file.dt != LAST]
    return {
        "closed_days": round(sum(file.size for file in closed) / sum(file.rows for file in closed), 1),
        "all": round(sum(file.size for file in snapshot.spans) / rows, 1),
        "settlements": round(sum(file.size for file in snapshot.beside[SETTLEMENTS.name]) / rows, 1),
    }


def report(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, and return what is printed."""
    made = Made(options.spans, root_tags=options.root_tags, maintained=not options.as_written)
    lake = made_lake(options.folder, made)
    names = [OURS, *(peer for peer in options.peers.split(",") if peer)]
    wanted = options.only.split(",") if options.only else list(QUESTIONS)
    found = measure(lake, names, wanted, options.draws, options.patience)
    peak = {name: max(engines_of[name]["peak_mb"] for engines_of in found.values()) for name in names}
    return {
        "lake": about(lake),
        "bytes_per_span": bytes_per_span(lake),
        "bytes_per_span_with_fingerprints": bytes_per_span(made_lake(options.folder, some_days(made)))["closed_days"],
        "questions": found,
        "compared": compared(found),
        "peak_mb": peak,
        "p95_target_at_100_million_ms": TARGET_MS,
        **machine(),
    }


def some_days(made: Made) -> Made:
    """Return what is like a lake, with fingerprints, and a few days long."""
    days = 4
    return Made(made.spans * days // made.days, days, fingerprints=True)


def growth(options: argparse.Namespace) -> dict[str, Any]:
    """Ask our own questions of lakes of each size, and of one that is old and nearly empty beside one that is young."""
    sizes = [1_000_000, 10_000_000, *([100_000_000] if options.full else [])]
    lakes = {f"{size:,} spans": Made(size, root_tags=options.root_tags) for size in sizes}
    lakes |= {f"{days} days of 200 spans": Made(200 * days, days) for days in (100, 1_000)}
    table: dict[str, Any] = {}
    for name, made in lakes.items():
        lake = made_lake(options.folder, made)
        found = measure(lake, [OURS], list(QUESTIONS), options.draws, options.patience)
        table[name] = {question: engines_of[OURS] for question, engines_of in found.items()}
    return {"growth": table, **machine()}


def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    return {
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("duckdb", "deltalake", "polars", "pyarrow")} | {"peers": PEERS},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }


def cache_folder() -> Path:
    """Return where lakes and the peers' environment are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spanledger" / "benchmarks"


def peers_python() -> Path:
    """Return the peers' interpreter, making its environment if there is none."""
    folder = cache_folder() / "queries"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        say(f"installing the peers in {folder}")
        venv.create(folder, with_pip=True, clear=True)
        wanted = [f"{name}=={number}" for name, number in PEERS.items()]
        subprocess.run([python, "-m", "pip", "install", "--quiet", "pyarrow", *wanted], check=True)  # noqa: S603
        (folder / "complete").touch()
    return python


def say(what: str) -> None:
    """Tell on stderr what is being measured."""
    print(f"queries: {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--full", action="store_true", help="100 million spans")
    parser.add_argument("--growth", action="store_true", help="our own at every size")
    parser.add_argument("--root-tags", type=float, default=0.3, help="share of calls that inherit tags; 0 for none")
    parser.add_argument("--as-written", action="store_true", help="a lake that nobody maintains: no sums, all joined")
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--patience", type=float, default=60, help="seconds after which a peer is not asked again")
    parser.add_argument("--peers", default=",".join(PEERS), help="'' for none")
    parser.add_argument("--only", default="", help=", ".join(QUESTIONS))
    parser.add_argument("--folder", type=Path, default=cache_folder() / "lakes")
    options = parser.parse_args()
    if options.full:
        options.spans = 100_000_000
    found = growth(options) if options.growth else report(options)
    print(f"evidence: {json.dumps(found)}" if os.environ.get("SPANLEDGER_PROVE") else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

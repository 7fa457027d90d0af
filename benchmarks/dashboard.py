"""How long the dashboard takes, in a real browser: each step of the drill-down, the first load, ten sessions at once.

A reader's way at 10 million spans, by click: from 90 days to the hours of one, its users, their requests, one trace,
and back by the browser's Back, each time to another day, hour, user and request, drawn from the lake, so that nothing
was asked before. A step ends with the frame in which all of the level stands: its address, its chart or table, every
other figure, and its script has ended. Of a trace that is the waterfall with names, times and costs, the heading and
the numbers over it; what tells why it costs that is drawn after the waterfall, in places kept free, and timed by itself
("requests -> trace and its causes"). First loads are of a browser that has just been started.

Beside it, on 10,000 traces, the pages of arize-phoenix and mlflow, each in a virtual environment made on first use,
with the same spans sent to them over OTLP: the list of traces, a trace opened from it, and the cost of each day. What
they stored is kept in the cache folder for the day, as they take minutes to. All in turn in one browser.

    python benchmarks/dashboard.py [--spans 10000000] [--runs 20] [--sessions 10] [--no-peers]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from made.files import Made, about, made_lake
from queries import cache_folder, machine
from shown.brought import PEERS, say
from shown.browser import Times, Visit, browser, visit
from shown.ours import ON_OVERVIEW, OVERVIEW, Way, first_level, walk, walks, ways
from shown.peers import beside_peers
from shown.processes import Server, dashboard
from shown.times import figures

TARGETS: Final = {"a step, p95_ms": 300, "first load, p95_ms": 2500, "errors of 10 sessions at once": 0}
"""On 2 cores that have nothing else to do."""
FEW_DAYS: Final = 30
"""Of the lake beside peers."""
SPANS_A_TRACE: Final = 6.2


async def measure(lake: Path, runs: int, sessions: int, log: Path) -> dict[str, Any]:
    """Return the figures of our dashboard over a lake."""
    drawn = ways(lake, runs + sessions)
    with dashboard(lake, log) as server:
        memory: dict[str, float] = {"started": server.rss_mb()}
        say("the first visitor")
        first = (await first_load(server))["shown"]
        say(f"{sessions} sessions at once")
        at_once = await crowd(server, drawn[runs:], memory)
        say("steps")
        steps, cpu = await alone(server, drawn[:runs])
        say("first loads")
        loads = [await first_load(server) for _ in range(runs)]
    return {
        "steps": {step: figures(times) for step, times in steps.items()},
        "server_cpu_of_a_step_ms": cpu,
        "first_load": figures(loads),
        "first_visitor_of_a_server_ms": round(first),
        "sessions_at_once": at_once,
        "memory_mb": memory,
        "tracebacks": log.read_text("utf-8", "replace").count("Traceback"),
    }


async def first_load(server: Server) -> Times:
    """Open the overview in a browser that has just been started."""
    async with browser() as started, visit(started, server.address) as one:
        return await one.load(OVERVIEW, ON_OVERVIEW)


async def alone(server: Server, drawn: Sequence[Way]) -> tuple[dict[str, list[Times]], float]:
    """Go every way in one session; returns the times by step, and the server's CPU of a step in milliseconds."""
    async with browser() as started, visit(started, server.address) as one:
        await one.load(drawn[0].start, first_level())
        before = server.cpu_s()
        found = await walks(one, drawn)
        steps = sum(len(times) for times in found.values())
        return found, round((server.cpu_s() - before) * 1000 / steps, 1)


async def crowd(server: Server, drawn: Sequence[Way], memory: dict[str, float]) -> dict[str, Any]:
    """Open a session, then the others, and go every way at the same time; notes in `memory` what the server takes."""
    async with browser() as started, contextlib.AsyncExitStack() as stack:
        visits = [await stack.enter_async_context(visit(started, server.address)) for _ in drawn]
        await arrive(visits[0], drawn[0])
        await walk(visits[0], drawn[0])
        memory["1 session"] = server.rss_mb()
        await asyncio.gather(*(arrive(one, way) for one, way in zip(visits, drawn, strict=True)))
        times = await asyncio.gather(*(walk(one, way) for one, way in zip(visits, drawn, strict=True)))
        memory[f"{len(visits)} sessions"] = server.rss_mb()
        memory["a further session"] = round((server.rss_mb() - memory["1 session"]) / max(1, len(visits) - 1), 1)
        errors = [error for one in visits for error in (*one.errors, *one.foreign)]
        shown = [await one.page.locator("[data-testid=stException]").count() for one in visits]
    return {
        "sessions": len(visits),
        "errors": errors + [f"{count} exceptions on a page" for count in shown if count],
        "presses_lost": sum(one.lost for one in visits),
        "a step": figures([one for walked in times for one in walked.values()]),
    }


async def arrive(one: Visit, way: Way) -> None:
    """Open the overview, then the first level."""
    await one.load(OVERVIEW, ON_OVERVIEW)
    await one.load(way.start, first_level())


def report(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, and return what is printed."""
    load_before = os.getloadavg()
    lake = made_lake(options.folder, Made(options.spans))
    with tempfile.TemporaryDirectory() as scratch:
        found = asyncio.run(measure(lake, options.runs, options.sessions, Path(scratch) / "dashboard.log"))
        told = {"lake": about(lake), **found, "targets": TARGETS}
        if options.peers:
            few = made_lake(options.folder, Made(round(options.traces * SPANS_A_TRACE), FEW_DAYS))
            told["beside_peers"] = asyncio.run(beside_peers(few, options.runs, Path(scratch)))
    told |= machine()
    told["versions"] |= {name: version(name) for name in ("streamlit", "plotly", "playwright")} | {"peers": PEERS}
    told["load_average_before"] = [round(load, 1) for load in load_before]
    return told


def main() -> None:
    """Measure and print; 1 if a session met an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=20, help="of each step")
    parser.add_argument("--sessions", type=int, default=10, help="at once")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="ours alone")
    parser.add_argument("--traces", type=int, default=10_000, help="beside peers")
    parser.add_argument("--folder", type=Path, default=cache_folder() / "lakes", help="where lakes are kept")
    told = report(parser.parse_args())
    print(f"evidence: {json.dumps(told)}" if os.environ.get("SPANLEDGER_PROVE") else json.dumps(told, indent=1))
    sys.exit(bool(told["sessions_at_once"]["errors"] or told["tracebacks"]))


if __name__ == "__main__":
    main()

"""Take the pictures of docs/screenshots: every page and every level of the drill-down, light and dark.

Run it over a demo lake while `spanledger demo` runs, so that the live strip moves:

    python tools/screenshots.py [LAKE [FOLDER]]

The way down is the one a reader would take: the dearest full day, its dearest hour, that hour's dearest user, and
the latest hotel search for the trace. Budgets and alerts are those of a home of its own, whose rules are evaluated
before the pictures are taken; the policy, and what its store knows, are the demo's.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browsing import browser, dashboard, settle
from spanledger.settings import load, user_data_dir
from spanledger_analytics.alerts.watch import Watch
from spanledger_analytics.connection import connect
from spanledger_dashboard.application import places

OUT = Path(__file__).parents[1] / "docs" / "screenshots"
DEMO_LAKE = user_data_dir() / "spanledger" / "demo" / "lake"
WIDTH_PX = 1440
LOWEST_PX, TALLEST_PX = 780, 1400
LARGEST_BYTES = 300_000
RULES = """
[[rule]]
name = "monthly budget"
kind = "budget"
usd = "475"
actual = [80, 100]

[[rule]]
name = "unpriced calls"
kind = "unpriced"
percent = 1
"""
EVALUATIONS = 3
"""So often a rule has to trip until it fires, and once more."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture, taken in both colour schemes."""

    name: str
    path: str


def shots(lake: Path) -> list[Shot]:
    """Return what to photograph in a lake that holds more than a day of calls."""
    ledger = connect(lake)
    day = _first(ledger, "select dt from llm_calls where dt < current_date group by dt order by sum(cost_usd) desc")
    of_day = f"from llm_calls where dt = '{day}'"
    hour = _first(ledger, f"select hour(start_time) h {of_day} group by h order by sum(cost_usd) desc")
    of_hour = f"{of_day} and hour(start_time) = {hour}"
    user = _first(ledger, f"select user_id {of_hour} and user_id is not null group by 1 order by sum(cost_usd) desc")
    hotel = ledger.execute(
        "select trace_id, dt from spans where name ilike '%hotel%' and parent_span_id is null "
        "order by start_time desc limit 1"
    ).fetchall()
    trace, trace_day = hotel[0] if hotel else (_first(ledger, f"select trace_id {of_hour} order by cost_usd desc"), day)
    return [
        *(Shot(place.title.lower(), f"/{place.path}") for place in places()),
        Shot("day", f"/explore?d={day}"),
        Shot("hour", f"/explore?d={day}&h={hour}"),
        Shot("user", f"/explore?d={day}&h={hour}&u={user}"),
        Shot("trace", f"/explore?d={trace_day}&t={trace}"),
    ]


def _first(ledger: duckdb.DuckDBPyConnection, query: str) -> object:
    return ledger.execute(f"{query} limit 1").fetchall()[0][0]


def take(chrome: Browser, address: str, shot: Shot, scheme: str, out: Path) -> Path:
    """Take one picture and return its file."""
    context = chrome.new_context(
        viewport={"width": WIDTH_PX, "height": LOWEST_PX}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    page.goto(address + shot.path)
    settle(page)
    height = int(page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight"))
    page.set_viewport_size({"width": WIDTH_PX, "height": min(height, TALLEST_PX)})
    # What draws figures is loaded when the first is needed, and draws them anew at another width.
    page.wait_for_load_state("networkidle")
    settle(page)
    # The pointer and Streamlit's "running" sign have no place in a picture.
    page.wait_for_timeout(1500)
    file = out / f"{shot.name}-{scheme}.png"
    page.screenshot(path=file)
    context.close()
    if file.stat().st_size > LARGEST_BYTES:
        raise SystemExit(f"{file} has more than {LARGEST_BYTES:,} bytes; make the page shorter")
    return file


def watch(lake: Path, home: Path) -> None:
    """Have rules of ours evaluated over a lake, and keep in a home what they say."""
    os.environ |= {"SPANLEDGER_HOME": str(home), "SPANLEDGER_LAKE": str(lake)}
    rules = home / "alerts.toml"
    rules.write_text(RULES, "utf-8")
    minutes = itertools.count()
    watched = Watch(load(), rules, lambda: next(minutes) * 60.0)
    for _ in range(EVALUATIONS):
        watched.step()
    watched.stop()


def bring_policy(lake: Path, home: Path) -> None:
    """Copy the policy of a demo, and what its store knows, from the home beside its lake."""
    beside = lake.parent / "home"
    for path in [*beside.glob("policy.toml"), *beside.glob("guard.sqlite*")]:
        shutil.copy(path, home)


def main(lake: Path = DEMO_LAKE, out: Path = OUT) -> None:
    """Take all pictures."""
    out.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp())
    bring_policy(lake, home)
    watch(lake, home)
    with dashboard(lake, home / "dashboard.log") as address, browser() as chrome:
        for shot in shots(lake):
            for scheme in ("light", "dark"):
                print(take(chrome, address, shot, scheme, out))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

"""Take the pictures of docs/screenshots: every page and every level of the drill-down, light and dark.

    python tools/screenshots.py [FOLDER]

They are of a `spanledger demo` that is started for them and whose agents keep working, with its budgets, its rules on
alerts and its policy. The way down is the one a reader would take: the dearest full day, its dearest hour, that hour's
dearest user, and the latest hotel search for the trace.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browsing import browser, settle
from spanledger_analytics.connection import connect
from spanledger_dashboard.application import places
from waiting import wait_until

OUT = Path(__file__).parents[1] / "docs" / "screenshots"
WIDTH_PX = 1440
LOWEST_PX, TALLEST_PX = 780, 1400
LARGEST_BYTES = 300_000
ALIVE_S = 330
"""How long agents work before the pictures: the live strip looks back five minutes."""


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


@contextlib.contextmanager
def demo(folder: Path) -> Iterator[str]:
    """Run the demo in a folder, and yield its dashboard's address when its agents have been at work for a while."""
    ports = ["--grpc-port", "0", "--http-port", "0", "--dashboard-port", "0"]
    argv = ["spanledger", "demo", "--lake", f"{folder}/lake", "--home", f"{folder}/home", *ports]
    log = folder / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output)  # noqa: S603
    try:
        wait_until(lambda: "\nDashboard: " in log.read_text("utf-8"), timeout_s=300, what="a running demo")
        time.sleep(ALIVE_S)
        yield log.read_text("utf-8").partition("\nDashboard: ")[2].split()[0]
    finally:
        process.terminate()
        process.wait(timeout=60)


def main(out: Path = OUT) -> None:
    """Take all pictures."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, demo(Path(folder)) as address, browser() as chrome:
        for shot in shots(Path(folder) / "lake"):
            for scheme in ("light", "dark"):
                print(take(chrome, address, shot, scheme, out))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

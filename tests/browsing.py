"""A dashboard process and a real browser, for tests and screenshots."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    sync_playwright,
)

from axe import grave_faults
from spanledger_dashboard.login import Login
from spanledger_dashboard.server import command
from waiting import wait_until

FLAGS: Final = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS: Final = 120_000
"""For whatever a page is waited for: a machine that has other things to do, and compiles all modules first."""
TRIES: Final = 5
"""How often a port is looked for that nobody else takes meanwhile."""
UNTIL: Final = datetime.now(UTC)
"""Up to which there is traffic in the lake of the browser tests, whenever one of them is run."""
PEAK: Final[date] = (UNTIL - timedelta(days=2)).date()
"""The day on which the sample user u-017 runs away."""


def chromium() -> str | None:
    """Return the path of a Chromium on this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Run Chromium; there must be one."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield started
        started.close()


def new_page(opener: Browser | BrowserContext) -> Page:
    """Open a page that is waited for with patience."""
    page = opener.new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


@contextlib.contextmanager
def dashboard(lake: Path, log: Path, login: Login | None = None) -> Iterator[str]:
    """Serve the dashboard of a lake on a free port and yield its address; with a login for those who have one."""
    for _ in range(TRIES):
        with _served(lake, log, login) as (process, address):
            wait_until(
                lambda: process.poll() is not None or _healthy(address),
                timeout_s=PATIENCE_MS / 1000,
                what="a healthy dashboard",
            )
            if process.poll() is None:
                yield address
                return
    raise AssertionError(f"the dashboard ended {TRIES} times: {log.read_text('utf-8', 'replace')}")


@contextlib.contextmanager
def _served(lake: Path, log: Path, login: Login | None) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start the dashboard on a port that was free a moment ago; where another has taken it meanwhile, it ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as output:
        secrets, access = (login.write(log.parent, port), login.access) if login else (None, None)
        argv = command(lake, port, secrets=secrets, access=access)
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=20) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


@dataclass
class Watched:
    """What a page did besides showing itself."""

    address: str
    foreign: list[str] = field(default_factory=list)
    """Requests to any other host."""
    errors: list[str] = field(default_factory=list)
    """Console errors, uncaught exceptions and failed responses."""

    def watch(self, page: Page) -> None:
        """Record from now on."""
        page.on("request", self._request)
        page.on("response", self._response)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:", self.address.replace("http", "ws"))):
            self.foreign.append(request.url)

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not _is_probe(response.url):
            self.errors.append(f"{response.status} {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _is_probe(str(message.location.get("url", ""))):
            self.errors.append(message.text)


def _is_probe(url: str) -> bool:
    """Tell whether Streamlit's page looks for the path that it is served under, which misses on sub-pages."""
    return re.search(r"//[^/]+/[\w-]+/_stcore/(health|host-config)$", url) is not None


def settle(page: Page) -> None:
    """Wait until Streamlit has drawn what was asked for and the figures stand."""
    # A heading stands before its text: what draws Markdown is loaded when it is first needed.
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stHeading]')?.innerText.trim()", timeout=PATIENCE_MS
    )
    calm(page)
    page.wait_for_function(
        "() => document.querySelectorAll('[data-testid=stPlotlyChart]').length"
        " === document.querySelectorAll('[data-testid=stPlotlyChart] svg.main-svg').length / 3"
        " || !document.querySelector('[data-testid=stPlotlyChart]')"
        " || [...document.querySelectorAll('[data-testid=stPlotlyChart]')]"
        ".every(chart => chart.querySelector('.plot'))",
        timeout=PATIENCE_MS,
    )


def calm(page: Page) -> None:
    """Wait until nothing has been under way for a while: between a callback's run and the one it asks for is a gap."""
    page.evaluate("() => { window.calmFor = 0 }")
    page.wait_for_function(
        """() => {
            const runs = document.querySelector('[data-testid=stApp]')?.dataset.testScriptState !== 'notRunning';
            const waits = document.querySelector('[data-testid=stSkeleton], [data-stale=true]');
            window.calmFor = runs || waits ? 0 : (window.calmFor ?? 0) + 1;
            return window.calmFor > 2;
        }""",
        polling=100,
        timeout=PATIENCE_MS,
    )


def wait_for(page: Page, condition: Callable[[], bool], what: str) -> None:
    """Wait until something is so that the page's own events make so, which nothing else in this thread can wait for."""
    for _ in range(PATIENCE_MS // 100):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{what} did not come true in time")


def click_place(page: Page, chart: str, place: int) -> None:
    """Click the n-th column or row of the hit layer of the figure with a key."""
    hit = page.locator(f".st-key-{chart} .js-plotly-plot .trace.bars").last.locator(".point path").nth(place)
    hovered = page.locator(f".st-key-{chart} .hoverlayer .hovertext").first
    # Plotly takes a click only where it has noticed the pointer; a figure that is drawn anew is gone, and moves.
    for _ in range(100):
        box = hit.bounding_box()
        if box is not None:
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            page.wait_for_timeout(300)
            if hovered.is_visible() and hit.bounding_box() == box:
                page.mouse.down()
                page.mouse.up()
                return
        page.wait_for_timeout(100)
        page.mouse.move(0, 0)
    raise AssertionError(f"{chart} has no place {place} that the pointer is noticed over")


def click_row(page: Page, table: str, row: int, x_px: int = 120, row_px: int = 36) -> None:
    """Click a cell in the n-th row of the table with a key (drawn on a canvas), so far from its left."""
    box = page.locator(f".st-key-{table} canvas").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + x_px, box["y"] + row_px * (row + 1) + row_px / 2)


def lasting_faults(page: Page) -> list[str]:
    """Return the grave faults of a page that stay: while colours change one is seen that nobody has time to read."""
    found = grave_faults(page)
    for _ in range(TRIES):
        if not found:
            break
        page.wait_for_timeout(1_000)
        found = grave_faults(page)
    return found


def place_of(day: date) -> int:
    """Return the place of a day in the figure of the last thirty."""
    return 29 - (datetime.now(UTC).date() - day).days


def heading(page: Page) -> str:
    """Return the answer over the chart."""
    return page.locator("[data-testid=stHeading]").first.inner_text()


def metric(page: Page, label: str) -> Locator:
    """Return the value of the card with a label."""
    card = page.locator("[data-testid=stMetric]").filter(has_text=label).first
    return card.locator("[data-testid=stMetricValue]")

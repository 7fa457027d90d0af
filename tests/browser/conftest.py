"""One lake, one dashboard and one browser for all browser tests; a fresh, watched page for each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import PATIENCE_MS, UNTIL, Watched, browser, chromium, dashboard, new_page
from guarded_rows import controlled_ledger
from ledger_rows import make_lake, traffic

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """A browser a module: while Playwright runs, its thread has an event loop, which other tests can't do with."""
    if chromium() is None:
        pytest.skip("needs Chromium: apt-get install chromium (Debian, Ubuntu) or brew install chromium")
    with browser() as started:
        yield started


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [*traffic(UNTIL), *controlled_ledger(UNTIL - timedelta(days=2))]
    return make_lake(tmp_path_factory.mktemp("browser") / "lake", rows)


@pytest.fixture(scope="session")
def address(lake: Path) -> Iterator[str]:
    with dashboard(lake, lake.parent / "dashboard.log") as served:
        yield served


@pytest.fixture
def watched(address: str) -> Watched:
    return Watched(address)


@pytest.fixture
def page(chrome: Browser, watched: Watched) -> Iterator[Page]:
    """A page that must ask no other host and raise no error."""
    context = chrome.new_context(viewport={"width": 1440, "height": 1000})
    opened = new_page(context)
    watched.watch(opened)
    yield opened
    context.close()
    assert (watched.foreign, watched.errors) == ([], [])

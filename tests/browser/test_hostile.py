"""Text from spans is written by strangers: it is shown as text, and asks no host for anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import Watched, dashboard, new_page, settle
from ledger_rows import Row, call, make_lake, span

DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
NAMES = {
    "script": "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
    "markdown": "![x](http://198.51.100.1/x.png) :smile: $e$ [a](http://198.51.100.1) **b** `c` :red[d] a@b.example",
    "direction": "\u202eevil\u2066 txt\u0007\nsecond line",
    "long": "n" * 10_000,
    "emoji": "👩\u200d💻 שלום 日本語",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = []
    for trace, name in enumerate(NAMES.values(), start=1):
        start = DAY + timedelta(hours=9, minutes=trace)
        tags: Row = {"user_id": name, "team_id": name, "feature": name, "environment": name, "session_id": name}
        root = span(trace, 1, start, name=name, role="agent", **tags)
        child = call(trace, 2, start, uncached=1000 * trace, parent_span_id=root["span_id"], **tags) | {
            "name": name,
            "response_model": name,
            "matched_model": name,
            "status": "error",
            "error_type": name,
            "attributes": [(name, name)],
        }
        rows += [root, child]
    return make_lake(tmp_path_factory.mktemp("hostile") / "lake", rows)


@pytest.fixture(scope="module")
def address(lake: Path) -> Iterator[str]:
    with dashboard(lake, lake.parent / "dashboard.log") as served:
        yield served


@pytest.fixture
def hour(address: str) -> str:
    return f"{address}/explore?d={DAY:%Y-%m-%d}&h=9"


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_is_shown_as_text_on_every_level(page: Page, hour: str, kind: str) -> None:
    trace = list(NAMES).index(kind) + 1
    user = quote(NAMES[kind])
    for place in ("", f"&u={user}", f"&u={user}&t={trace:032x}", f"&t={trace:032x}&s={trace * 2**20 + 2:016x}"):
        page.goto(hour + place)
        settle(page)
        assert page.evaluate("window.hacked") is None
        assert page.locator("[data-testid=stMain] img, [data-testid=stMain] a[href*='198.51']").count() == 0
        assert page.locator("[data-testid=stException]").count() == 0


def test_a_name_keeps_its_characters(page: Page, hour: str) -> None:
    shown = {
        "script": "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"[:39],
        "markdown": "![x](http://198.51.100.1/x.png) :smile: $e$",
        "direction": r"\u202eevil\u2066 txt\u0007\u000asecond line",
        "emoji": "👩\u200d💻 שלום 日本語",
    }
    for kind, text in shown.items():
        page.goto(f"{hour}&u={quote(NAMES[kind])}")
        settle(page)
        expect(page.locator("[data-testid=stHeading]").first).to_have_text(re.compile("^" + re.escape(text[:39])))


def test_markdown_starts_no_link_image_colour_emoji_or_formula(page: Page, hour: str) -> None:
    page.goto(f"{hour}&t={2:032x}")
    settle(page)
    first = page.locator("[data-testid=stHeading]").first
    expect(first).to_contain_text("![x](http://198.51.100.1/x.png)")
    expect(first).to_contain_text(":smile: $e$")
    assert first.locator("a, img, strong, em, .katex, span[style*=color]").count() == 0


def test_the_first_visitor_may_come_by_a_deep_link(chrome: Browser, lake: Path, tmp_path: Path) -> None:
    with dashboard(lake, tmp_path / "dashboard.log") as served:
        watched = Watched(served)
        page = new_page(chrome)
        watched.watch(page)
        page.goto(f"{served}/explore?d={DAY:%Y-%m-%d}&h=9&t={1:032x}")
        settle(page)
        expect(page.locator("[data-testid=stHeading]").first).to_contain_text("<script>")
        page.close()
    assert (watched.foreign, watched.errors) == ([], [])

"""What holds for every page that is registered, so that a new page is looked at from its first day."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, TimeoutError as PlaywrightTimeout, expect

from axe import axe
from browsing import lasting_faults, settle
from spanledger_dashboard.application import places

PATHS = [place.path for place in places()]
WIDTHS = (1440, 1024, 390)
TOO_WIDE = """width => {
    const scrolled = [...document.querySelectorAll('html, [data-testid=stMain]')];
    const laid = innerWidth === width;
    if (laid && scrolled.every(part => part.scrollWidth <= part.clientWidth)) return [];
    const named = part => part.dataset?.testid ?? part.closest('[data-testid]')?.dataset.testid ?? part.localName;
    const wide = [...document.querySelectorAll('[data-testid=stMain] *')]
        .map(part => [named(part), Math.round(part.getBoundingClientRect().right)])
        .filter(([, right]) => right > width).sort(([, one], [, other]) => other - one);
    const widest = [...new Map(wide.reverse()).entries()].reverse().slice(0, 5);
    const found = `${scrolled.map(part => part.scrollWidth)} px for ${innerWidth}`;
    return [found, ...widest.map(one => one.join(' ends at '))];
}"""
"""What sticks out of a page that is to be so wide, the widest first; nothing where all fits."""


@pytest.mark.parametrize("path", PATHS)
def test_a_page_can_be_read_by_everyone_in_light_and_dark_and_fits_desks_and_pockets(
    page: Page, address: str, path: str
) -> None:
    """The fixture sees to it that no other host is asked and no error is raised."""
    if axe() is None:
        pytest.skip("needs axe-core, brought by npm: apt-get install npm (Debian, Ubuntu) or brew install node")
    page.goto(f"{address}/{path}")
    settle(page)
    expect(page).to_have_title(re.compile(" · spanledger$"))
    assert page.locator("[data-testid=stException]").count() == 0
    assert lasting_faults(page) == []
    page.emulate_media(color_scheme="dark")
    expect(page.locator("[data-testid=stApp]")).to_have_css("background-color", "rgb(14, 21, 28)")
    settle(page)
    assert lasting_faults(page) == []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert _too_wide(page, width) == [], width


def _too_wide(page: Page, width: int) -> list[str]:
    """Return what still sticks out when there was time to lay out anew: a table follows a few frames after the page."""
    try:
        page.wait_for_function(f"width => ({TOO_WIDE})(width).length === 0", arg=width, timeout=30_000)
    except PlaywrightTimeout:
        found: list[str] = page.evaluate(TOO_WIDE, width)
        return found or ["something, for half a minute"]
    return []


def test_the_navigation_leads_to_every_page(page: Page, address: str) -> None:
    page.goto(address)
    settle(page)
    for place in places():
        page.get_by_test_id("stSidebar").get_by_role("link", name=place.title, exact=True).click()
        page.wait_for_url(f"{address}/{place.path}")
        expect(page).to_have_title(f"{place.title} · spanledger")

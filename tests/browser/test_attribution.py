"""Picking a part narrows the attribution page to it, in a real browser."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from browsing import click_place, settle


def state(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query, keep_blank_values=True).items()}


def test_a_part_and_a_bar_narrow_every_card_and_back_lets_go(page: Page, address: str) -> None:
    page.goto(f"{address}/attribution")
    settle(page)
    answer = page.locator(".st-key-card-icicle [data-testid=stHeading]")
    expect(answer).to_contain_text("growth is ")

    click_place(page, "icicle", 0)
    page.wait_for_url(re.compile("team=growth"))
    settle(page)
    expect(answer).to_contain_text("research is 100 % of")
    expect(page.get_by_role("combobox", name="Team")).to_have_value("growth")

    click_place(page, "pareto", 0)
    page.wait_for_url(re.compile("by=feature"))
    settle(page)
    assert state(page) == {"team": "growth", "by": "feature"}

    page.go_back()
    page.go_back()
    expect(answer).to_contain_text("growth is ")
    assert state(page) == {}

"""Picking a first and a last day in the calendar, in a real browser."""

from __future__ import annotations

import re
from datetime import date
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from browsing import settle, wait_for
from spanledger_dashboard.format import day_name


def test_days_are_picked_one_after_the_other(page: Page, address: str) -> None:
    told: list[str | bytes] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: told.append(frame)))
    page.goto(f"{address}/attribution")
    settle(page)
    page.get_by_role("button", name="Other days").click()
    page.locator("[data-testid=stDateInput] button").last.click()
    days = page.get_by_role("gridcell").locator("[role=button]:not([aria-disabled=true])")
    expect(days.nth(6)).to_be_visible()
    before = len(told)
    days.nth(2).click()
    # The server hears of the first day alone, and draws the page.
    wait_for(page, lambda: len(told) > before, "the first day")
    settle(page)
    days.nth(6).click()
    page.wait_for_url(re.compile("from=.*to="))
    picked = {name: date.fromisoformat(values[0]) for name, values in parse_qs(urlsplit(page.url).query).items()}
    assert (picked["to"] - picked["from"]).days == 4
    expect(page.get_by_role("button", name=f"{day_name(picked['from'])} to {day_name(picked['to'])}")).to_be_visible()

"""A choice in a card, in a real browser: one that is drawn by itself must not answer what it was asked before."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from browsing import settle


def test_what_is_picked_in_a_card_is_shown_by_it(page: Page, address: str) -> None:
    page.goto(address)
    settle(page)
    card = page.locator(".st-key-card-movers")
    before = card.get_by_test_id("stHeading").inner_text()
    card.get_by_role("radio", name="Model").click()
    expect(card.get_by_test_id("stHeading")).not_to_have_text(before)
    expect(card.get_by_role("radio", name="Model")).to_be_checked()
    page.wait_for_url(f"{address}/?movers=model")

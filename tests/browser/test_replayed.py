"""A page that hears late what became of a click: what it tells meanwhile sends nobody back, and undoes no click.

Streamlit's page sends the values of all its widgets with every event, those of the page before as long as it doesn't
know that they are gone, and the address that it knows. The server takes such values for picked, and calls callbacks.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from browsing import PEAK, click_place, click_row, settle, wait_for
from spanledger_analytics.connection import connect

NAME_PX = 330
"""From the left of the table of requests to a request's name."""


class Slow:
    """A connection that can be told to `hold` what comes to the page.

    From the first message of a kind on all waits for the page's next word but one: the first is what the reader does,
    the second what he does next, or what a part of the page that has just been drawn tells by itself.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.first: str | None = None
        self.words = 0
        self.held: list[bytes] = []
        self.told: list[bytes] = []
        page.route_web_socket(re.compile("/_stcore/stream"), self._connect)

    def hold(self, first: str) -> None:
        self.first, self.words = first, 2

    def wait(self, runs: int) -> None:
        """Wait until as many runs have ended that the page hasn't heard of."""
        wait_for(
            self.page,
            lambda: [_kind(message) for message in self.held].count("script_finished") >= runs,
            f"{runs} ended runs",
        )

    def _connect(self, browser: WebSocketRoute) -> None:
        server = browser.connect_to_server()

        def from_server(message: str | bytes) -> None:
            assert isinstance(message, bytes)
            if self.words and (self.held or _kind(message) == self.first):
                self.held.append(message)
            else:
                browser.send(message)

        def from_browser(message: str | bytes) -> None:
            assert isinstance(message, bytes)
            self.told.append(message)
            server.send(message)
            if self.words:
                self.words -= 1
                if not self.words:
                    for kept in self.held:
                        browser.send(kept)

        server.on_message(from_server)
        browser.on_message(from_browser)


def _kind(message: bytes) -> str | None:
    return ForwardMsg.FromString(message).WhichOneof("type")


def test_a_picked_request_opens_and_stays_where_the_page_hears_late_that_it_was_drawn(
    page: Page, address: str, lake: Path
) -> None:
    asked = f"select max(team_id) from llm_calls where dt = '{PEAK}' and user_id = 'u-017'"
    team = connect(lake).execute(asked).fetchall()[0][0]
    slow = Slow(page)
    page.goto(f"{address}/explore?d={PEAK}&u=u-017&team={team}")
    settle(page)
    slow.hold("script_finished")
    click_row(page, "requests", 0, NAME_PX)
    expect(page.locator(".st-key-drivers-figure")).to_be_visible()
    settle(page)
    assert b"filter-team" in slow.told[-1]
    assert b"drawn" in slow.told[-1]
    assert re.fullmatch(f"d={PEAK}&u=u-017&t=[0-9a-f]{{32}}&team={team}", urlsplit(page.url).query)
    page.go_back()
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("u-017 made")


def test_a_pick_in_one_card_is_not_undone_by_a_pick_in_another_that_is_not_drawn_anew(page: Page, address: str) -> None:
    slow = Slow(page)
    page.goto(f"{address}/attribution")
    settle(page)
    dearest = page.locator(".st-key-card-icicle [data-testid=stHeading]")
    expect(dearest).to_contain_text(re.compile(r"^\w+ is "))
    team = dearest.inner_text().split()[0]
    slow.hold("script_finished")
    click_place(page, "icicle", 0)
    page.wait_for_url(re.compile(f"team={team}"))
    slow.wait(runs=2)
    click_place(page, "pareto", 1)
    expect(page.locator(".st-key-card-pareto [data-testid=stHeading]")).to_contain_text(f"{team} is 100 %")
    settle(page)
    assert urlsplit(page.url).query == f"team={team}"
    expect(page.get_by_role("combobox", name="Team")).to_have_value(team)


def test_a_page_that_is_opened_before_a_filter_is_heard_of_shows_what_its_address_says(
    page: Page, address: str
) -> None:
    slow = Slow(page)
    page.goto(f"{address}/explore")
    settle(page)
    slow.hold("page_info_changed")
    page.get_by_role("combobox", name="Team").click()
    page.get_by_role("option", name="search").click()
    slow.wait(runs=1)
    page.get_by_role("link", name="Compare").click()
    page.wait_for_url(re.compile(r"/compare\?team=search"))
    expect(page.get_by_role("combobox", name="Team")).to_have_value("search")
    settle(page)
    assert urlsplit(page.url).query == "team=search"

"""A page that hears late that a run is over tells again what its old widgets were told; nobody is sent back by it.

Streamlit's page sends the values of all its widgets with every event, those of the page before as long as it doesn't
know that they are gone. The server has forgotten them by then, takes them for picked, and calls their callbacks.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from browsing import click_row, settle
from spanledger_analytics.connection import connect

PEAK = (datetime.now(UTC) - timedelta(days=2)).date()
NAME_PX = 330
"""From the left of the table of requests to a request's name."""


class Slow:
    """A connection on which, from `hold` on, all that follows the end of a run waits for the page's next word but one.

    The first is what the reader does, the second what a part of the page that has just been drawn tells by itself.
    """

    def __init__(self, page: Page) -> None:
        self.words = 0
        self.held: list[bytes] = []
        self.told: list[bytes] = []
        page.route_web_socket(re.compile("/_stcore/stream"), self._connect)

    def hold(self) -> None:
        self.words = 2

    def _connect(self, browser: WebSocketRoute) -> None:
        server = browser.connect_to_server()
        ended = False

        def from_server(message: str | bytes) -> None:
            nonlocal ended
            assert isinstance(message, bytes)
            if self.words:
                ended = ended or ForwardMsg.FromString(message).WhichOneof("type") == "script_finished"
                if ended:
                    self.held.append(message)
                    return
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


def test_a_picked_request_opens_and_stays_where_the_page_hears_late_that_it_was_drawn(
    page: Page, address: str, lake: Path
) -> None:
    asked = f"select max(team_id) from llm_calls where dt = '{PEAK}' and user_id = 'u-017'"
    team = connect(lake).execute(asked).fetchall()[0][0]
    slow = Slow(page)
    page.goto(f"{address}/explore?d={PEAK}&u=u-017&team={team}")
    settle(page)
    slow.hold()
    click_row(page, "requests", 0, NAME_PX)
    expect(page.locator(".st-key-drivers-figure")).to_be_visible()
    settle(page)
    assert b"filter-team" in slow.told[-1]
    assert b"drawn" in slow.told[-1]
    assert re.fullmatch(f"d={PEAK}&u=u-017&t=[0-9a-f]{{32}}&team={team}", urlsplit(page.url).query)
    page.go_back()
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("u-017 made")

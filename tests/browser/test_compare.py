"""Two slices are compared by clicks, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from browsing import settle
from spanledger_analytics.connection import connect


def test_two_clicks_hold_the_two_dearest_teams_against_each_other_and_back_the_weeks(
    page: Page, address: str, lake: Path
) -> None:
    dearest = "select team_id from llm_calls where team_id is not null group by 1 order by sum(cost_usd) desc limit 2"
    first, second = (f"team={team}" for (team,) in connect(lake).execute(dearest).fetchall())
    page.goto(f"{address}/compare")
    settle(page)
    answer = page.locator(".st-key-card-sums [data-testid=stHeading]")
    # Both weeks go to the last full quarter of an hour, so their dollars change while they are looked at.
    weeks = re.compile(r"^\$\S+ against \$")
    expect(answer).to_have_text(weeks)
    page.get_by_role("radio", name="Two slices").click()
    page.wait_for_url(re.compile("a=team"))
    asked = {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}
    assert (asked["a"], asked["b"]) == (first, second)
    expect(answer).to_contain_text(f"{first} cost $")
    page.go_back()
    expect(answer).to_have_text(weeks)

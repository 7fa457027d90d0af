"""Picking a part narrows the attribution page to it, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from browsing import click_place, settle
from spanledger_analytics.connection import connect


def state(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query, keep_blank_values=True).items()}


def test_a_part_and_a_bar_narrow_every_card_and_back_lets_go(page: Page, address: str, lake: Path) -> None:
    page.goto(f"{address}/attribution")
    settle(page)
    answer = page.locator(".st-key-card-icicle [data-testid=stHeading]")
    expect(answer).to_contain_text(re.compile(r"^\w+ is "))
    team = answer.inner_text().split()[0]
    features = "select feature from llm_calls where team_id = $1 group by feature order by sum(cost_usd) desc"
    feature, *others = [name for (name,) in connect(lake).execute(features, [team]).fetchall()]

    click_place(page, "icicle", 0)
    page.wait_for_url(re.compile(f"team={team}"))
    settle(page)
    expect(answer).to_contain_text(f"{feature} is " if others else f"{feature} is 100 % of")
    expect(page.locator(".st-key-card-pareto [data-testid=stHeading]")).to_contain_text(f"{team} is 100 %")
    expect(page.get_by_role("combobox", name="Team")).to_have_value(team)

    click_place(page, "pareto", 0)
    page.wait_for_url(re.compile("by=feature"))
    settle(page)
    assert state(page) == {"team": team, "by": "feature"}

    page.go_back()
    page.go_back()
    expect(answer).to_contain_text(f"{team} is ")
    page.wait_for_url(f"{address}/attribution")
    settle(page)
    assert state(page) == {}

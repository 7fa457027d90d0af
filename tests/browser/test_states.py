"""What a reader sees when there is nothing to see, or the link is wrong, or the room is dark."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import Watched, dashboard, new_page, settle
from ledger_rows import Row, call, make_lake, span


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("d=yesterday", "This link names the day 'yesterday', which is no date like 2026-11-03."),
        ("d=2026-11-03&h=24", "This link names the hour '24'; hours go from 0 to 23."),
        ("u=u-001", "This link names an hour or a user, but no day."),
        ("d=2026-11-03&t=../../etc", "This link names the trace '../../etc'; an id has 32 hexadecimal digits."),
        ("days=12", "This link asks for '12' days; there are 7, 14, 30, 90."),
    ],
)
def test_a_bad_link_gets_a_sentence_and_a_way_on(page: Page, address: str, query: str, sentence: str) -> None:
    page.goto(f"{address}/explore?{query}")
    expect(page.get_by_test_id("stAlert")).to_have_text(sentence)
    page.get_by_role("button", name="Show all days").click()
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("The last 30 days cost")


def test_an_unknown_place_gets_a_sentence_and_a_way_on(page: Page, address: str) -> None:
    for query, sentence in (
        ("d=2020-01-01", "No calls on Wed 1 Jan"),
        ("d=2020-01-01&h=3", "No calls on Wed 1 Jan from 03:00-04:00 UTC"),
        ("d=2020-01-01&h=3&u=nobody", "nobody made no requests here"),
        (f"d=2020-01-01&team=no-such-team&u={'x' * 300}", "made no requests here"),
    ):
        page.goto(f"{address}/explore?{query}")
        settle(page)
        expect(page.locator("[data-testid=stHeading]").first).to_contain_text(sentence)
    page.goto(f"{address}/explore?d=2020-01-01&t={'ab' * 16}")
    expect(page.get_by_test_id("stAlert")).to_contain_text("is in the lake: the link is wrong")


def test_an_empty_lake_says_what_to_run_and_goes_on_by_itself(chrome: Browser, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with dashboard(lake, tmp_path / "dashboard.log") as served:
        watched = Watched(served)
        page = new_page(chrome)
        watched.watch(page)
        page.goto(served)
        settle(page)
        expect(page.locator("[data-testid=stHeading]").first).to_have_text("No spans yet")
        expect(page.get_by_text("spanledger demo")).to_be_visible()
        expect(page.get_by_text(str(lake))).to_be_visible()
        make_lake(lake, [call(1, 1, datetime.now(UTC))])
        expect(page.locator("[data-testid=stHeading]").first).to_contain_text("The last 30 days cost")
        page.close()
    assert (watched.foreign, watched.errors) == ([], [])


def test_the_live_strip_moves_while_calls_come_in(chrome: Browser, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with dashboard(lake, tmp_path / "dashboard.log") as served:
        make_lake(lake, [call(1, 1, datetime.now(UTC), uncached=1_000_000, output=0)])
        page = new_page(chrome)
        page.goto(served)
        settle(page)
        rate = page.locator("[data-testid=stMetric]").filter(has_text="Spending now").get_by_test_id("stMetricValue")
        # $1.25 in five minutes is $15 an hour.
        expect(rate).to_have_text("$15.00/h")
        make_lake(lake, [call(2, 1, datetime.now(UTC), uncached=1_000_000, output=0)], version=1)
        expect(rate).to_have_text("$30.00/h")
        page.close()


def test_a_request_under_way_has_its_new_steps_when_one_is_picked(chrome: Browser, tmp_path: Path) -> None:
    start = datetime.now(UTC) - timedelta(minutes=1)
    root = span(1, 0, start, name="root", kind="agent")

    def steps(*places: int) -> list[Row]:
        return [
            call(1, place, start + timedelta(seconds=place), parent_span_id=root["span_id"], name=f"step-{place}")
            for place in places
        ]

    lake = make_lake(tmp_path / "lake", [root, *steps(1, 3)])
    with dashboard(lake, tmp_path / "dashboard.log") as served:
        page = new_page(chrome)
        page.goto(f"{served}/explore?d={start:%Y-%m-%d}&t={1:032x}")
        rows = page.get_by_role("treeitem")
        expect(rows).to_contain_text(["root", "step-1", "step-3"])
        settle(page)
        make_lake(lake, steps(2, 4), version=1)
        rows.filter(has_text="step-3").click()
        expect(rows).to_contain_text(["root", "step-1", "step-2", "step-3", "step-4"])
        expect(rows.and_(page.locator("[aria-selected=true]"))).to_contain_text("step-3")
        page.close()


@pytest.mark.parametrize(("scheme", "background"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(14, 21, 28)")])
def test_the_page_follows_the_readers_colour_scheme(
    chrome: Browser, address: str, scheme: str, background: str
) -> None:
    context = chrome.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = new_page(context)
    page.goto(address)
    settle(page)
    expect(page.locator("[data-testid=stApp]")).to_have_css("background-color", background)
    context.close()

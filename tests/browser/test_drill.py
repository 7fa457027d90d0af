"""A reader's way from a dear day to the request that cost the money, in a real browser."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, expect

from browsing import PATIENCE_MS, PEAK, click_place, click_row, heading, lasting_faults, metric, place_of, settle
from spanledger_analytics.connection import connect

NAME_PX = 330
"""From the left of the table of requests to a request's name."""


def sql(lake: Path, query: str) -> Decimal:
    answer = connect(lake).execute(query).fetchall()[0][0]
    assert isinstance(answer, Decimal)
    return answer


def cents(amount: Decimal) -> str:
    return f"${amount:,.2f}"


def state(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def go_to_url(page: Page, pattern: str) -> None:
    page.wait_for_url(re.compile(pattern))
    settle(page)


def test_five_clicks_lead_from_a_dear_day_to_its_request_with_sqls_numbers(
    page: Page, address: str, lake: Path
) -> None:
    page.goto(address)
    settle(page)

    click_place(page, "days", place_of(PEAK))
    go_to_url(page, r"/explore\?d=")
    assert state(page) == {"d": f"{PEAK}"}
    of_day = sql(lake, f"select sum(cost_usd) from llm_calls where dt = '{PEAK}'")
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text(cents(of_day))
    expect(metric(page, "Cost")).to_have_text(cents(of_day))

    click_place(page, "hours", 14)
    go_to_url(page, "h=14")
    of_hour = sql(lake, f"select sum(cost_usd) from llm_calls where dt = '{PEAK}' and hour(start_time) = 14")
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text(cents(of_hour))

    click_place(page, "users", 0)
    go_to_url(page, "u=u-017")
    of_user = sql(
        lake,
        f"select sum(cost_usd) from llm_calls where dt = '{PEAK}' and hour(start_time) = 14 and user_id = 'u-017'",
    )
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text(
        f"u-017 made 24 requests for {cents(of_user)}"
    )

    click_row(page, "requests", 0)
    go_to_url(page, "t=[0-9a-f]{32}")
    trace = state(page)["t"]
    of_trace = sql(lake, f"select sum(cost_usd) from llm_calls where trace_id = '{trace}'")
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text(f"cost ${of_trace:.4f}")
    dearest = sql(
        lake,
        "select max(cost) from (select sum(cost_usd) as cost from llm_calls "
        f"where dt = '{PEAK}' and user_id = 'u-017' group by trace_id)",
    )
    assert of_trace == dearest
    page.go_back()
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("u-017 made 24 requests")
    settle(page)
    click_row(page, "requests", 0, x_px=NAME_PX)
    go_to_url(page, f"t={trace}")
    for why in ("history", "drivers-figure"):
        expect(page.locator(f".st-key-{why} .bars .point path").first).to_be_attached()


def test_what_the_way_down_is_drawn_with_has_come_before_the_first_click(page: Page, address: str) -> None:
    page.goto(f"{address}/explore?days=30")
    settle(page)
    brought = ("Button", "DataFrame", "BidiComponent")
    page.wait_for_function(
        "kinds => kinds.every(kind => performance.getEntriesByType('resource').some("
        "({ name }) => name.includes(`/js/${kind}.`)))",
        arg=brought,
        timeout=PATIENCE_MS,
    )
    # What is listed has come itself; it is there when what it imports has come, too.
    page.evaluate(
        "async kinds => { for (const { name } of performance.getEntriesByType('resource'))"
        " if (kinds.some(kind => name.includes(`/js/${kind}.`))) await import(name) }",
        brought,
    )
    scripts: list[str] = []
    page.on("request", lambda request: scripts.append(request.url) if request.url.endswith(".js") else None)
    click_place(page, "days", place_of(PEAK))
    go_to_url(page, r"d=")
    click_place(page, "hours", 14)
    go_to_url(page, "h=14")
    click_place(page, "users", 0)
    go_to_url(page, "u=u-017")
    click_row(page, "requests", 0)
    go_to_url(page, "t=[0-9a-f]{32}")
    expect(page.locator("[role=treeitem]").first).to_be_attached()
    assert scripts == []


def test_a_pasted_link_restores_the_view_and_back_returns_level_by_level(page: Page, address: str) -> None:
    page.goto(f"{address}/explore?d={PEAK}")
    settle(page)
    of_day = heading(page)
    click_place(page, "hours", 14)
    go_to_url(page, "h=14")
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("14:00-15:00")
    click_place(page, "users", 0)
    go_to_url(page, "u=u-017")
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("u-017 made 24 requests")

    page.reload()
    settle(page)
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("u-017 made 24 requests")
    page.go_back()
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("14:00-15:00")
    page.go_back()
    expect(page.locator("[data-testid=stHeading]").first).to_have_text(of_day)
    assert state(page) == {"d": f"{PEAK}"}
    page.go_forward()
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("14:00-15:00")


def test_a_tag_filters_until_it_is_taken_off_and_a_team_goes_along_to_other_pages_in_the_dark(
    page: Page, address: str
) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(f"{address}/explore?days=7&d={PEAK}&tag.plan=pro")
    settle(page)
    expect(page.locator("[data-testid=stApp]")).to_have_css("background-color", "rgb(14, 21, 28)")
    expect(page.get_by_role("button", name="Without the filters")).to_be_visible()
    assert lasting_faults(page) == []
    page.get_by_role("button", name="plan = pro").click()
    page.get_by_role("button", name="Without plan = pro").click()
    page.wait_for_url(f"{address}/explore?days=7&d={PEAK}")
    settle(page)
    page.keyboard.press("Escape")
    box = page.get_by_role("combobox", name="Team")
    box.click()
    page.get_by_role("option").first.click()
    page.wait_for_url(re.compile("team="))
    settle(page)
    team = state(page)["team"]
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar.get_by_role("link", name="Compare")).to_have_attribute("href", re.compile("team="))
    sidebar.get_by_role("link", name="Compare").click()
    page.wait_for_url(re.compile(r"/compare\?.*team="))
    assert state(page) == {"days": "7", "team": team}
    settle(page)
    page.get_by_test_id("stSidebar").get_by_role("link", name="Prices").click()
    page.wait_for_url(re.compile(r"/prices\?days=7$"))


def test_breadcrumbs_lead_up_by_keyboard(page: Page, address: str) -> None:
    page.goto(f"{address}/explore?d={PEAK}&h=14&u=u-017")
    settle(page)
    crumb = page.get_by_role("button", name="14:00-15:00")
    crumb.focus()
    page.keyboard.press("Enter")
    go_to_url(page, r"h=14$")
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("14:00-15:00")
    assert state(page) == {"d": f"{PEAK}", "h": "14"}


def test_the_whole_way_down_needs_no_pointer(page: Page, address: str) -> None:
    def choose(noun: str, words: str) -> None:
        box = page.get_by_role("combobox", name=f"Go to {noun}")
        box.focus()
        page.keyboard.type(words)
        expect(page.get_by_role("option").first).to_contain_text(words)
        page.keyboard.press("Enter")

    page.goto(f"{address}/explore")
    settle(page)
    choose("a day", f"{PEAK:%a} {PEAK.day} {PEAK:%b}")
    go_to_url(page, f"d={PEAK}")
    choose("an hour", "14:00")
    go_to_url(page, "h=14")
    choose("a user", "u-017")
    go_to_url(page, "u=u-017")
    choose("a request", "$")
    go_to_url(page, "t=[0-9a-f]{32}")

    tree = page.get_by_role("tree")
    expect(tree.get_by_role("treeitem").first).to_contain_text("invoke_agent researcher")
    tree.focus()
    page.keyboard.press("ArrowLeft")
    expect(tree.get_by_role("treeitem")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    go_to_url(page, "s=[0-9a-f]{16}")
    expect(page.locator("[role=treeitem][aria-selected=true]")).to_contain_text("chat claude-opus-4-5")


def test_what_is_typed_is_the_id_of_a_request_a_user_or_nowhere(page: Page, address: str, lake: Path) -> None:
    trace = connect(lake).execute("select trace_id from llm_calls order by cost_usd desc limit 1").fetchall()[0][0]

    def type_in(noun: str, words: str) -> None:
        page.get_by_role("combobox", name=f"Go to {noun}").focus()
        page.keyboard.type(words)
        expect(page.get_by_role("option").first).to_contain_text(words)
        page.keyboard.press("Enter")

    page.goto(f"{address}/explore?d={PEAK}&team=growth")
    settle(page)
    type_in("an hour", "noon")
    expect(page.get_by_test_id("stAlert")).to_have_text(
        "noon is neither an hour that has calls here, nor the id of a request."
    )
    type_in("an hour", trace)
    go_to_url(page, f"t={trace}")
    assert state(page) == {"t": trace, "team": "growth"}
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("invoke_agent researcher cost")
    expect(page.get_by_role("button", name=f"{PEAK:%a} {PEAK.day} {PEAK:%b}")).to_be_visible()

    page.goto(f"{address}/explore?d={PEAK}&h=14")
    settle(page)
    type_in("a user", "nobody")
    go_to_url(page, "u=nobody")
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("nobody made no requests here")


def test_a_filter_stays_in_the_url_and_in_the_numbers_on_the_way_down(page: Page, address: str, lake: Path) -> None:
    page.goto(f"{address}/explore?d={PEAK}")
    settle(page)
    page.get_by_label("Team").click()
    page.get_by_role("option", name="search").click()
    go_to_url(page, "team=search")
    cost = sql(lake, f"select sum(cost_usd) from llm_calls where dt = '{PEAK}' and team_id = 'search'")
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text(cents(cost))
    click_place(page, "hours", 13)
    go_to_url(page, "h=13")
    assert state(page) == {"d": f"{PEAK}", "h": "13", "team": "search"}
    page.go_back()
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text(cents(cost))
    page.go_back()
    expect(page.locator("[data-testid=stHeading]").first).to_contain_text("u-017")
    expect(page.get_by_label("Team")).not_to_have_value("search")


def test_a_step_of_the_waterfall_shows_all_that_was_recorded_on_it(page: Page, address: str, lake: Path) -> None:
    trace = (
        connect(lake)
        .execute("select trace_id, dt from spans where name = 'invoke_agent hotel-search' order by 1 limit 1")
        .fetchall()[0]
    )
    page.goto(f"{address}/explore?d={trace[1]}&t={trace[0]}")
    settle(page)
    expect(page.locator("[data-testid=stHeading]").first).to_have_text(
        "invoke_agent hotel-search cost $0.1475; 54 % of it re-sends history"
    )
    expect(page.get_by_text("12,950 input tokens; 5,000 of them were new")).to_be_visible()
    expect(page.get_by_text("$0.0680; $0.1475 was billed, 2.17x")).to_be_visible()
    step(page, "chat gpt-4-turbo", 1).click()
    go_to_url(page, "s=[0-9a-f]{16}")
    expect(page.get_by_text("2.1 s  ·  $0.056  ·  4,550 tokens in, 350 out")).to_be_visible()
    expect(step(page, "chat gpt-4-turbo", 1)).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.get_by_text("4,550 tokens in, 350 out")).to_have_count(0)


def step(page: Page, name: str, number: int = 0) -> Locator:
    """Return a step of the waterfall: the n-th of those that are called so."""
    return page.locator(".st-key-waterfall [role=treeitem]").filter(has_text=name).nth(number)


def test_figures_that_are_drawn_already_take_the_ink_of_the_theme_that_is_switched_to(page: Page, address: str) -> None:
    inks = (
        "() => [...new Set([...document.querySelectorAll('.js-plotly-plot text:not(.bartext-inside, .slicetext)')]"
        ".filter(text => text.textContent && text.checkVisibility({ checkOpacity: true }))"
        ".map(text => Number(getComputedStyle(text).fill.match(/color\\(srgb ([\\d.]+)/)?.[1] ?? -1).toFixed(1)))]"
    )
    page.goto(f"{address}/attribution?days=30")
    settle(page)
    expect(page.locator(".bartext-outside").first).to_be_attached()
    page.wait_for_function(f"() => ({inks})().join() === '0.0'")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"() => ({inks})().join() === '0.9'")

"""The SQL page in a real browser: typing, asking, errors, files, and strings of strangers."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from click.testing import CliRunner
from playwright.sync_api import Locator, Page, expect

from browsing import settle
from spanledger_cli import cli

QUERY = "select team_id, sum(cost_usd) as usd from llm_calls group by all order by usd desc"
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'> ![x](http://198.51.100.1/x.png)"


def answer(page: Page) -> Locator:
    """Return the heading over the answer; the first is the page's."""
    return page.locator("[data-testid=stHeading]").nth(1)


def test_a_query_is_typed_asked_put_right_taken_away_and_gone_back_from(
    page: Page, address: str, lake: Path, tmp_path: Path
) -> None:
    page.goto(f"{address}/sql")
    settle(page)
    editor = page.get_by_role("textbox", name="SQL", exact=True)
    editor.fill("select teem_id\nfrom llm_calls")
    editor.press("Control+Enter")
    expect(answer(page)).to_contain_text("Binder Error")
    expect(page.get_by_test_id("stCode").first).to_contain_text("LINE 1: select teem_id")
    expect(page.get_by_test_id("stCode").first).to_contain_text("^^^^^^^")

    editor.fill(QUERY)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(answer(page)).to_contain_text("rows")
    assert parse_qs(urlsplit(page.url).query) == {"q": [QUERY]}
    with page.expect_download() as started:
        page.get_by_role("button", name="CSV", exact=True).click()
    started.value.save_as(tmp_path / "answer.csv")
    command = CliRunner().invoke(cli, ["sql", QUERY, "--lake", str(lake), "--format", "csv"], catch_exceptions=False)
    assert (tmp_path / "answer.csv").read_text("utf-8") == command.stdout

    page.get_by_role("radio", name="Chart").click()
    expect(page.locator(".st-key-sql-chart .bars .point path").first).to_be_visible()
    page.go_back()
    page.go_back()
    expect(editor).to_have_value("select teem_id\nfrom llm_calls")
    expect(answer(page)).to_contain_text("Binder Error")


def test_strings_of_strangers_are_text_in_the_heading_the_table_and_the_chart(page: Page, address: str) -> None:
    text = HOSTILE.replace("'", "''")
    one = quote(f"select '{text}' as name")
    page.goto(f"{address}/sql?q={one}")
    settle(page)
    expect(answer(page)).to_have_text(f"name: {HOSTILE}")
    expect(page.get_by_role("textbox", name="SQL", exact=True)).to_have_value(f"select '{text}' as name")
    drawn = quote(f"""select '{text}' as "{HOSTILE}", 1 as usd""")
    page.goto(f"{address}/sql?look=chart&q={drawn}")
    settle(page)
    expect(page.locator(".st-key-sql-chart .bars .point path").first).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("[data-testid=stMain] img, [data-testid=stMain] a[href*='198.51']").count() == 0

"""The attribution page over a ledger that can be added up by hand."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from streamlit.testing.v1 import AppTest

from ledger_rows import call, make_lake
from small_ledger import small_ledger
from spanledger_cli import cli

DAYS = {"from": "2026-11-02", "to": "2026-11-15"}
REVENUE = "customer,month,amount\nacme,2026-11,60\nbeta,2026-11,30\n"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attribution")
    ledger = small_ledger(folder / "lake")
    (folder / "revenue.csv").write_text(REVENUE)
    brought = CliRunner().invoke(cli, ["import", "revenue", str(folder / "revenue.csv"), "--lake", str(ledger.lake)])
    assert brought.exit_code == 0
    return folder / "lake"


@pytest.fixture(autouse=True)
def on_lake(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake)])


def attribution() -> None:
    from spanledger_dashboard.pages import attribution

    attribution.page()


def attributed(**parameters: str) -> AppTest:
    page = AppTest.from_function(attribution, default_timeout=120)
    page.query_params.update(DAYS | parameters)
    page.run()
    assert not page.exception
    return page


def answers(page: AppTest) -> list[str]:
    return [heading.value.replace("\\", "") for heading in page.subheader]


def test_each_card_says_its_answer() -> None:
    assert answers(attributed()) == [
        "search is 43 % of the cost; 2 of 3 teams make 82 % of what names one; 7 % names none",
        "search is 43 % of $41.80, 100 % of that find",
        "$3.00 names no team, 7 % of the cost",
        "A success costs $6.03 for search and $13.70 for growth, 2.27x",
    ]


def test_margin_stands_where_the_revenue_names_who() -> None:
    page = attributed(by="customer")
    assert answers(page)[3] == "8 % of $42.00 revenue is left; beta costs more than it brings"
    without = attributed(by="user")
    assert any("names no user, so no margin" in caption.value for caption in without.caption)
    filtered = attributed(by="customer", model="gpt-5")
    assert any("Revenue isn't told by model" in caption.value.replace("\\", "") for caption in filtered.caption)


def test_calls_without_a_price_are_not_said_to_name_every_dollar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime(2026, 11, 4, 12, tzinfo=UTC)
    unpriced = make_lake(tmp_path / "lake", [call(1, 1, start, "unknown-model", team_id="search")])
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(unpriced)])
    page = attributed()
    assert answers(page)[:3] == ["No call with a price names a team"] + ["Nothing here has a price"] * 2
    assert "Services whose calls name no team" not in "".join(text.value for text in page.markdown)


def test_choosing_by_what_and_a_filter_write_the_url() -> None:
    page = attributed()
    page.segmented_control(key="attribution-by").set_value("user").run()
    assert page.query_params == DAYS | {"by": "user"}
    assert answers(page)[0] == "eve is 33 % of the cost; 3 of 5 users make 81 % of the cost"
    page.selectbox(key="filter-team").set_value("search").run()
    assert page.query_params == DAYS | {"by": "user", "team": "search"}
    assert answers(page)[0] == "ann is 72 % of the cost"


def test_a_picked_user_narrows_every_card_and_can_be_let_go() -> None:
    page = attributed(by="feature", user="ann")
    assert answers(page)[:3] == [
        "find is 100 % of the cost",
        "search is 100 % of $13.10, 100 % of that find",
        "Every dollar names a feature",
    ]
    page.button(key="narrowed-user").click().run()
    assert page.query_params == DAYS | {"by": "feature"}


def test_days_without_calls_and_links_that_cant_be_read_get_a_sentence_and_a_way_on() -> None:
    page = attributed(team="gone")
    assert [info.value for info in page.info] == [
        "No calls in these days that fulfil this. Choose more days, or clear a filter."
    ]
    bad = attributed(by="weather")
    assert "there are team, feature, user, customer" in bad.warning[0].value.replace("\\", "")

"""What a box offers leads to what was picked, also where names are cut to the same words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ledger_rows import call, make_lake

NOON = (datetime.now(UTC) - timedelta(days=1)).replace(hour=12, minute=0, second=1, microsecond=0)
DAY = f"{NOON.date()}"
INVOICES = "the extraction of what has to be paid out of scanned documents by the invoices' workers"
RECEIPTS = "the extraction of what has to be paid out of scanned documents by the receipts' workers"
WORDS = [f"…invoices' workers  ·  {INVOICES}", f"…receipts' workers  ·  {RECEIPTS}"]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        call(1, 1, NOON, uncached=8_000_000, output=0, feature=INVOICES, team_id="x", tags=[("job", INVOICES)]),
        call(2, 1, NOON, uncached=800_000, output=0, feature=RECEIPTS, team_id="x", tags=[("job", RECEIPTS)]),
    ]
    rows += [call(trace, 1, NOON + timedelta(milliseconds=trace), feature="f", user_id="bob") for trace in (11, 12, 13)]
    return make_lake(tmp_path_factory.mktemp("boxes") / "lake", rows)


@pytest.fixture(autouse=True)
def on_lake(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake)])


def explore() -> None:
    from spanledger_dashboard.pages import explore

    explore.page()


def compare() -> None:
    from spanledger_dashboard.pages import compare

    compare.page()


def tags() -> None:

    import streamlit as st

    from spanledger_dashboard.components import tags
    from spanledger_dashboard.data import shown_lake
    from spanledger_dashboard.state import parse

    tags._add(parse(st.query_params.to_dict()), shown_lake().tag_values())


def series() -> None:
    from datetime import UTC, datetime, timedelta
    from decimal import Decimal

    from spanledger_dashboard.cards import series
    from spanledger_dashboard.state import window

    start = datetime(2026, 11, 3, tzinfo=UTC)
    money = {"cost_usd": Decimal(9), "expected_usd": Decimal(2), "excess_usd": Decimal(7)}
    row = {"of": "user", "kind": "hours", "since": start, "until": start + timedelta(hours=1), **money}
    found = {name: row | {"user": "u" * 100 + name, "made_by": "", "trace_id": None} for name in ("a", "b", "c")}
    series._show_choice(window({}, {series.FOUND: ()}), "a", found)


def opened(part: Callable[[], None], **parameters: str) -> AppTest:
    page = AppTest.from_function(part, default_timeout=120)
    page.query_params.update(parameters)
    page.run()
    assert not page.exception
    return page


def test_a_filter_whose_name_is_cut_like_anothers_shows_its_own_money() -> None:
    page = opened(explore, d=DAY)
    assert page.selectbox(key="filter-feature").options == [*WORDS, "f"]
    page.selectbox(key="filter-feature").set_value(INVOICES).run()
    assert page.query_params == {"d": DAY, "feature": INVOICES}
    assert {metric.label: metric.value for metric in page.metric}["Cost"] == "$10.00"
    page.selectbox(key="filter-team").set_value("x").run()
    assert page.query_params == {"d": DAY, "feature": INVOICES, "team": "x"}


def test_requests_that_cost_the_same_in_one_second_are_offered_by_their_ids() -> None:
    page = opened(explore, d=DAY, h="12", u="bob")
    traces = [f"{trace:032x}" for trace in (11, 12, 13)]
    words = page.selectbox(key="way").options
    assert [each.split("  ·  ")[0] for each in words] == [trace[-8:] for trace in traces]
    page.selectbox(key="way").select_index(0).run()
    assert page.query_params["t"] == traces[0]


def test_a_tag_whose_value_is_cut_like_anothers_is_the_one_that_was_picked() -> None:
    page = opened(tags)
    page.selectbox(key="tag-key").set_value("job").run()
    assert sorted(page.selectbox(key="tag-value").options) == ["(calls without it)", *WORDS]
    page.selectbox(key="tag-value").set_value(INVOICES).run()
    assert page.query_params == {"tag.job": INVOICES}


def test_a_slice_whose_condition_is_cut_like_anothers_is_the_one_that_was_picked() -> None:
    page = opened(compare, a="team=x", b="feature=f")
    page.selectbox(key="compare-a").set_value(f"feature={INVOICES}").run()
    assert page.query_params == {"a": f"feature={INVOICES}", "b": "feature=f"}


def test_a_series_whose_name_is_cut_like_anothers_is_the_one_that_was_picked() -> None:
    page = opened(series)
    words = page.selectbox(key="series-found").options
    assert words == [
        f"…{said}  ·  user {said}"
        for said in (f"{'u' * 100}{name}, Tue 3 Nov 00:00 to 01:00 UTC, $7.00" for name in ("a", "b", "c"))
    ]
    page.selectbox(key="series-found").set_value("b").run()
    assert page.query_params == {"found": "b"}

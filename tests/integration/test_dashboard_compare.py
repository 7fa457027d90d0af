"""The page that compares, over a ledger that can be added up by hand."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from small_ledger import small_ledger

WEEK = {"from": "2026-11-09", "to": "2026-11-15"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    small_ledger(folder / "lake")
    return folder / "lake"


@pytest.fixture(autouse=True)
def on_lake(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake)])


def compare() -> None:
    from spanledger_dashboard.pages import compare

    compare.page()


def compared(**parameters: str) -> AppTest:
    page = AppTest.from_function(compare, default_timeout=120)
    page.query_params.update(WEEK | parameters)
    page.run()
    assert not page.exception
    return page


def answers(page: AppTest) -> list[str]:
    return [heading.value.replace("\\", "") for heading in page.subheader]


def test_a_week_is_compared_with_the_one_before_and_the_change_taken_apart() -> None:
    page = compared()
    assert answers(page)[0] == "$22.70 against $19.10, $3.60 more (+19 %)"
    assert answers(page)[1].startswith("Cost rose by $3.60, most of all by ")
    assert answers(page)[2] == "draft rose most, by $13.70: new; find fell by $8.10"
    assert {metric.label: (metric.value, metric.delta) for metric in page.metric} == {
        "Cost": ("$22.70", "+19 %"),
        "Cost per request": ("$3.24", "+53 %"),
        "Requests": ("7", "-22 %"),
        "Calls": ("8", "-20 %"),
    }


def test_two_slices_are_told_by_their_conditions() -> None:
    page = compared(a="team=search", b="team=growth", by="model")
    assert answers(page) == [
        "team=search cost $5.00, 0.36x the $13.70 of team=growth",
        "gpt-5 is 100 % of team=search: $5.00",
    ]


def test_a_moment_is_judged_beside_a_control() -> None:
    page = compared(at="2026-11-09T00:00", feature="find", control="feature=answer")
    assert answers(page)[0].startswith("A request costs $")
    assert "than as the control went" in answers(page)[0]
    assert page.caption[1].value.replace("\\", "").startswith("Requests that began from 2026-11-09 00:00")


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ({"at": "0001-01-01T00:00"}, "No call is of the year 1; choose days from 2000-01-01 to 2099-12-31."),
        ({"at": "9999-12-31T23:59-05:00"}, "No call is of the year 9999; choose days from 2000-01-01 to 2099-12-31."),
        ({"against": "0001-01-01..9999-12-31"}, "No call is of the year 1; choose days from 2000-01-01 to 2099-12-31."),
        (
            {"against": "9999-12-31..9999-12-31"},
            "No call is of the year 9999; choose days from 2000-01-01 to 2099-12-31.",
        ),
    ],
)
def test_a_link_to_what_no_call_can_be_of_says_so_and_leads_on(named: dict[str, str], sentence: str) -> None:
    page = compared(**named)
    assert [warning.value.replace("\\", "") for warning in page.warning] == [sentence]
    (button,) = (button for button in page.button if button.label == "Compare with the days before")
    button.click().run()
    assert (page.query_params, list(page.warning)) == (WEEK, [])


def test_a_moment_that_is_not_over_can_be_changed_on_the_page() -> None:
    page = compared(at="2099-12-31T23:59")
    assert [warning.value.replace("\\", "") for warning in page.warning] == [
        "That moment isn't over; choose one that is."
    ]
    page.date_input(key="compare-day").set_value(date(2026, 11, 9)).run()
    assert page.query_params == WEEK | {"at": "2026-11-09T23:59"}


def test_choosing_a_kind_writes_what_it_begins_with() -> None:
    page = compared()
    page.segmented_control(key="compare-kind").set_value("Before and after").run()
    assert page.query_params == WEEK | {"at": "2026-11-12T00:00"}
    page.segmented_control(key="compare-kind").set_value("Two periods").run()
    assert page.query_params == WEEK
    page.selectbox(key="compare-against").set_value("month").run()
    assert page.query_params == WEEK | {"against": "month"}
    page.selectbox(key="compare-against").set_value("other days").run()
    assert page.query_params == WEEK | {"against": "2026-11-02..2026-11-08"}


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"against": "weather"}, "Can't compare with 'weather'"),
        ({"a": "weather"}, "Can't read 'weather'"),
        ({"at": "noon"}, "Can't read the moment 'noon'"),
        ({"at": "2026-11-09T00:00", "feature": "gone"}, "No request began before"),
    ],
)
def test_what_cant_be_compared_is_said_in_a_sentence(parameters: dict[str, str], told: str) -> None:
    page = compared(**parameters)
    assert told in page.warning[0].value.replace("\\", "")


def test_a_link_that_names_nothing_leads_on_to_the_days_before() -> None:
    page = compared(at="noon", team="search")
    page.button[0].click().run()
    assert page.query_params == WEEK | {"team": "search"}
    assert answers(page)[0] == "$5.00 against $13.10, $8.10 less (-62 %)"

"""Days of the reader's zone, of links and of requests are those that pages ask the lake about."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from guarded_rows import refused
from ledger_rows import call, make_lake, span
from spanledger_analytics.reports.calendar import Calendar, Period

NOW = datetime.now(UTC)
ELSEWHERE = "Etc/GMT+12" if NOW.hour < 12 else "Pacific/Kiritimati"
"""A zone in which it is another day."""


def explore() -> None:
    from spanledger_dashboard.pages import explore

    explore.page()


def attribution() -> None:
    from spanledger_dashboard.pages import attribution

    attribution.page()


def line() -> None:
    from spanledger_dashboard.cards.controls_line import show_line
    from spanledger_dashboard.data import configured_calendar

    show_line(configured_calendar())


def chances() -> None:
    from spanledger_dashboard.cards.chances import show_chances
    from spanledger_dashboard.components.bar import asked_window

    show_chances(asked_window())


def opened(part: Callable[[], None], lake: Path, monkeypatch: pytest.MonkeyPatch, **parameters: str) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake)])
    page = AppTest.from_function(part, default_timeout=120)
    page.query_params.update(parameters)
    page.run()
    assert not page.exception
    return page


def ends(days: int) -> tuple[datetime, datetime]:
    """Return a moment close to the beginning of the last days, and this one."""
    today = Calendar(ELSEWHERE).today()
    period = Period(today - timedelta(days=days - 1), today, Calendar(ELSEWHERE))
    return period.begin + timedelta(minutes=1), datetime.now(UTC) - timedelta(seconds=10)


def test_a_request_is_a_part_of_the_day_on_which_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = datetime(2026, 11, 3, 12, tzinfo=UTC)
    rows = [call(1, 1, began, uncached=2_400_000, output=0), call(2, 1, began, uncached=800_000, output=0)]
    rows += [call(3, 1, began - timedelta(days=1), uncached=80_000, output=0)]
    lake = make_lake(tmp_path / "lake", rows)
    for day in ("2026-11-02", "2026-11-03", "2026-11-20"):
        page = opened(explore, lake, monkeypatch, d=day, t=f"{1:032x}")
        assert [button.label for button in page.button][:2] == ["All days", "Tue 3 Nov"]
        assert page.metric[0].proto.delta_description == "75 % of Tue 3 Nov"


def test_a_request_that_went_on_after_midnight_is_below_the_day_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = datetime(2026, 11, 3, 23, 59, 50, tzinfo=UTC)
    lake = make_lake(tmp_path / "lake", [call(1, number, began + timedelta(seconds=20 * number)) for number in (0, 1)])
    page = opened(explore, lake, monkeypatch, d="2026-11-04", h="0", u="", t=f"{1:032x}")
    assert [button.label for button in page.button][:2] == ["All days", "Tue 3 Nov"]


def test_a_request_is_a_part_of_the_days_on_which_its_calls_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = datetime(2026, 11, 3, 23, 59, tzinfo=UTC)
    rows = [call(1, number, began + timedelta(minutes=2 * number), uncached=900_000, output=0) for number in range(4)]
    rows += [span(2, 1, began), call(2, 2, began + timedelta(minutes=9), uncached=900_000, output=0)]
    rows += [call(3, 1, began - timedelta(hours=1), uncached=900_000, output=0)]
    lake = make_lake(tmp_path / "lake", rows)
    told = [opened(explore, lake, monkeypatch, t=f"{trace:032x}").metric[0].proto.delta_description for trace in (1, 2)]
    # Two calls are of the 3rd and four of the 4th, all of the same cost; the second request spent nothing on the 3rd.
    assert told == ["67 % of Tue 3 Nov and Wed 4 Nov", "25 % of Wed 4 Nov"]


def test_a_request_is_reached_by_its_day_with_hour_and_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make_lake(tmp_path / "lake", [call(1, 1, datetime(2026, 11, 3, 9, tzinfo=UTC), user_id="ann")])
    page = opened(explore, lake, monkeypatch, d="2026-11-03", h="9", u="ann", t=f"{1:032x}")
    assert [button.label for button in page.button][:4] == ["All days", "Tue 3 Nov", "09\\:00\\-10\\:00", "ann"]


def test_the_line_on_controls_is_of_the_readers_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_ZONE", ELSEWHERE)
    rows = [refused(trace, 1, moment) for trace, moment in enumerate(ends(7), 1)]
    page = opened(line, make_lake(tmp_path / "lake", rows), monkeypatch)
    assert [each.value.replace("\\", "") for each in page.caption] == ["Controls, the last 7 days: 2 calls refused."]


def test_calls_without_a_price_are_told_of_the_readers_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_ZONE", ELSEWHERE)
    rows = [call(trace, 1, moment, f"llama-{trace}") for trace, moment in enumerate(ends(7), 1)]
    page = opened(chances, make_lake(tmp_path / "lake", rows), monkeypatch, days="7")
    (badge,) = (each for each in page.markdown if "without a price" in each.value)
    assert badge.help.replace("\\", "").split("  \n") == [
        "1 call of llama-1: unknown_model",
        "1 call of llama-2: unknown_model",
    ]


@pytest.mark.parametrize(
    ("part", "parameters"),
    [
        (explore, {"d": "0001-01-01"}),
        (explore, {"d": "9999-12-31", "h": "23"}),
        (attribution, {"from": "9999-12-30", "to": "9999-12-31"}),
        (attribution, {"to": "0001-01-01"}),
    ],
)
def test_a_link_to_a_day_that_no_call_can_be_of_says_so_and_leads_on(
    part: Callable[[], None], parameters: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(part, make_lake(tmp_path / "lake", [call(1, 1, NOW)]), monkeypatch, **parameters)
    (said,) = (warning.value.replace("\\", "") for warning in page.warning)
    day = parameters.get("d") or parameters["to"]
    assert said == f"This link names the day {day}; days go from 2000-01-01 to 2099-12-31."
    page.button[0].click().run()
    assert (page.query_params, list(page.warning)) == ({}, [])


def test_filters_offer_what_is_new_on_the_utc_day_that_has_not_begun_for_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = NOW.date() - timedelta(days=1)
    monkeypatch.setattr(Calendar, "today", lambda self, now=None: yesterday)
    rows = [call(1, 1, NOW - timedelta(days=1), feature="old"), call(2, 1, NOW, feature="new")]
    page = opened(attribution, make_lake(tmp_path / "lake", rows), monkeypatch)
    assert page.selectbox(key="filter-feature").options == ["new", "old"]

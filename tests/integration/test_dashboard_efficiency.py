"""The page on efficiency: every card says what could be had, in the report's own dollars."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from ledger_rows import call, make_lake
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING
from spanledger_analytics.spend import cost_of
from spanledger_dashboard.cards import breaks, loops
from spanledger_dashboard.cards.waste import FINDINGS
from spanledger_dashboard.format import usd
from wasteful import wasteful

NOW = datetime.now(UTC)
DAYS = 8


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("efficiency") / "lake", wasteful(NOW, DAYS))


@pytest.fixture(autouse=True)
def same_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the day up to which there are calls, also where midnight has passed since."""
    read = Calendar.today
    monkeypatch.setattr(Calendar, "today", lambda self, now=None: read(self, now or NOW))


def efficiency() -> None:
    from spanledger_dashboard.pages import efficiency

    efficiency.page()


def told_by() -> None:
    from spanledger_dashboard.cards import cache, purposes
    from spanledger_dashboard.components.bar import show_bar
    from spanledger_dashboard.data import shown_lake
    from spanledger_dashboard.pages.efficiency import OWN

    asked = show_bar(shown_lake(), OWN)
    cache.show_cache(asked)
    purposes.show_purposes(asked)


def what_could_be_had() -> None:
    from spanledger_dashboard.cards import chances
    from spanledger_dashboard.components.bar import show_bar
    from spanledger_dashboard.data import shown_lake

    chances.show_chances(show_bar(shown_lake(), {}))


def shown(
    lake: Path, monkeypatch: pytest.MonkeyPatch, part: Callable[[], None] = efficiency, **parameters: str
) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake)])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    page = AppTest.from_function(part, default_timeout=120)
    page.query_params.update(parameters)
    return page.run()


def titles(page: AppTest) -> list[str]:
    assert not page.exception
    assert not page.warning
    return [title.value.replace("\\", "") for title in page.subheader]


def test_every_card_says_in_its_title_what_could_be_had(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = shown(lake, monkeypatch, days="7")
    said = titles(page)
    could = cost_of(asked(lake, "cache-health", "feature").select(cost_usd="could_save_usd"))
    # A call wrote 18,000 tokens at $3.75 a million that had been read at $0.30.
    lost = Decimal("0.0621") * sum(asked(lake, "cache-breaks")["calls"])
    assert said[0].startswith(f"Better caching: {usd(could)}, ")
    assert said[1].startswith(f"A better use of the prompt cache could save {usd(could)} more; it saved $")
    assert said[2] == f"1 broken prompt cache lost {usd(lost)} and still does"
    assert said[5] == "3 requests that went round in circles cost $1.06 for nothing new"
    assert [said[3].split(":")[0], said[4].split(" cost")[0].lower(), said[6].split(" cost")[0]] == [
        "Answers",
        FINDINGS[dearest(asked(lake, "efficiency"))][0],
        "Calls after the first of a conversation",
    ]


def dearest(findings: pl.DataFrame) -> str:
    """Return what cost most; of two that cost the same, what more calls did, then the first by name."""
    sums = findings.group_by("finding").agg(pl.sum("cost_usd", "calls"))
    return str(sums.sort("cost_usd", "calls", "finding", descending=[True, True, False])["finding"][0])


def asked(lake: Path, report: str, *by: str) -> pl.DataFrame:
    week = Question(Period((NOW - timedelta(days=6)).date(), NOW.date()), by)
    return REPORTS[report].answer(Ledger(lake, EVERYTHING), week).frame


def test_what_the_cards_are_told_by_is_in_the_address(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = shown(lake, monkeypatch, told_by, days="7", feature="planning", cache="prefix")
    assert titles(page) == [
        "A better use of the prompt cache could save $0.758 more; it saved $0, 0 % of what could be read is",
        "System prompt: $0.600, 50 % of the dollars; $0.881 paid for what had been sent before",
    ]
    page.segmented_control(key="choice-runs").set_value("team").run()
    assert page.query_params == {"days": "7", "feature": "planning", "cache": "prefix", "runs": "team"}


def test_days_without_waste_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = NOW - timedelta(days=2)
    page = shown(make_lake(tmp_path / "lake", [call(1, 1, start, uncached=800_000)]), monkeypatch, days="7")
    assert titles(page) == [
        "Nothing is being wasted that can be counted",
        "Nothing is known of the prompt cache",
        "No prompt cache broke",
        "Answers: $0.0010, <1 % of the dollars",
        "Nothing was paid that brought little",
        "No agent went round in circles",
        "No conversation has a second call",
    ]


@pytest.mark.parametrize(("age", "said"), [(2, "No call of these days has a price"), (1, "No calls on these days")])
def test_calls_without_a_price_are_not_said_to_have_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: int, said: str
) -> None:
    start = NOW - timedelta(days=2)
    lake, day = make_lake(tmp_path / "lake", [call(1, 1, start, "unknown-model")]), f"{(NOW - timedelta(age)).date()}"
    assert titles(shown(lake, monkeypatch, what_could_be_had, **{"from": day, "to": day})) == [said]


def test_a_broken_cache_and_a_loop_lead_to_where_they_can_be_seen(lake: Path) -> None:
    broken = breaks.row_of(asked(lake, "cache-breaks").row(0, named=True))
    yesterday = (NOW - timedelta(days=1)).date()
    assert broken.parameters == {"d": f"{yesterday}", "h": "9", "feature": "research", "model": "claude-sonnet-4-5"}
    assert broken.title == "research · researcher · claude-sonnet-4-5"
    assert "09:00 UTC the system prompt changed, and is another from call to call" in broken.said
    circling = loops.row_of(asked(lake, "loops").row(0, named=True))
    assert (circling.amount, circling.parameters) == (
        "$0.657",
        {"d": f"{(NOW - timedelta(days=2)).date()}", "t": f"{4_000_000:032x}"},
    )

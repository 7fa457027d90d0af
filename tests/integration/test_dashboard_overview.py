"""The overview says what the reports say, and whether everything comes in."""

from __future__ import annotations

import asyncio
import http.server
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import spanledger_dashboard
from ledger_rows import call, make_lake, outcome
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING
from spanledger_collector.wal import wal_dir
from spanledger_collector.wal_writer import WalWriter
from spanledger_dashboard.budgets import monthly_budget
from spanledger_dashboard.format import NO_PRICE, usd
from spanledger_dashboard.health import troubles

ENTRY = Path(spanledger_dashboard.__file__).parent / "entry" / "app.py"
NOW = datetime.now(UTC)
RULES = """
[[rule]]
name = "team"
kind = "budget"
usd = "5"
by = "team"
[[rule]]
name = "day"
kind = "budget"
usd = "7"
period = "day"
[[rule]]
name = "month"
kind = "budget"
usd = "400"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("SPANLEDGER_HOME", str(folder))
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    return folder


def overview(lake: Path, monkeypatch: pytest.MonkeyPatch, **parameters: str) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake)])
    page = AppTest.from_file(str(ENTRY), default_timeout=120)
    page.query_params.update(parameters)
    return page.run()


def values(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def test_calls_without_a_price_are_neither_nothing_nor_no_calls(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    starts = (now - timedelta(seconds=2), now - timedelta(days=1))
    rows = [call(number, 1, start, "unknown-model", team_id="search") for number, start in enumerate(starts, 1)]
    page = overview(make_lake(tmp_path / "lake", rows), monkeypatch)
    assert not page.exception
    shown = values(page)
    assert (shown["Spending now"], shown["Today so far"]) == (NO_PRICE, NO_PRICE)
    assert page.subheader[-1].value == "No call of the last 7 full days has a price"
    assert [text.value for text in page.markdown if text.value.startswith("**")] == [
        "**Team:** nothing has a price",
        "**Feature:** nothing has a price",
        "**Model:** nothing has a price",
    ]


def test_the_overview_shows_what_the_reports_say(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    today = now.date()
    rows = [
        call(day, 1, now - timedelta(days=day), uncached=800_000 * (day % 5 + 1), output=0, feature=f"f{day % 3}")
        | {"session_id": f"s{day}"}
        for day in range(20)
        if day != 7
    ]
    rows += [outcome(100 + day, 1, now - timedelta(days=day), session_id=f"s{day}") for day in (2, 3)]
    lake = make_lake(tmp_path / "lake", rows)
    (home / "alerts.toml").write_text(RULES)
    ledger = Ledger(lake, EVERYTHING)

    def spent() -> Decimal:
        month = Question(Period(today - timedelta(days=89), today))
        told = REPORTS["forecast"].answer(ledger, month).frame["spent_usd"][0]
        assert isinstance(told, Decimal)
        return told

    before = spent()
    page = overview(lake, monkeypatch)
    assert not page.exception
    assert not page.warning
    shown = values(page)
    assert list(shown) == [
        "Spending now",
        "Requests a minute",
        "Tokens a minute",
        "Last span",
        "Today so far",
        "Month so far",
        "Cost per success",
        "Alerts",
    ]
    # It goes to the last full quarter of an hour, and one may have become full meanwhile.
    assert shown["Month so far"] in (usd(before), usd(spent()))
    week = Question(Period(today - timedelta(days=7), today - timedelta(days=1)))
    success = REPORTS["unit-cost"].answer(ledger, week).frame["success_usd"][0]
    # f2 and f3 cost $3 and $4; the window in which work is judged isn't over for the others.
    assert shown["Cost per success"] == usd(success) == "$3.50"
    assert shown["Today so far"] == "$1.00"
    assert shown["Alerts"] == "none firing"
    assert "rose most" in page.subheader[1].value or "fell most" in page.subheader[1].value


def test_movers_are_told_apart_by_what_the_link_says(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [call(day, 1, NOW - timedelta(days=day), team_id="search", feature="find") for day in (1, 2, 9)]
    lake = make_lake(tmp_path / "lake", rows)
    page = overview(lake, monkeypatch, movers="team")
    assert page.subheader[1].value.startswith("search rose most")
    page = overview(lake, monkeypatch, movers="planet")
    assert page.warning[0].value.startswith(r"This link asks for movers \'planet\'\; there are feature\, team\, model")
    assert [button.label for button in page.button] == ["Show the last 30 days"]


def test_the_budget_of_a_month_is_the_one_of_all_calls(home: Path) -> None:
    assert monthly_budget() is None
    (home / "alerts.toml").write_text(RULES)
    assert monthly_budget() == Decimal(400)
    (home / "alerts.toml").write_text("[[rule]]\nname = 1")
    assert monthly_budget() is None


class Door(http.server.BaseHTTPRequestHandler):
    status, words = 200, "ready"

    def do_GET(self) -> None:
        body = self.words.encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[type[Door]]:
    """A collector's door that says what a test lets it."""

    class Told(Door):
        pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("SPANLEDGER_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield Told
        server.shutdown()


def test_a_collector_that_is_away_is_told_only_where_nothing_came_lately(home: Path) -> None:
    assert troubles(NOW - timedelta(seconds=30), NOW, is_whole=True) == []
    away = ["no collector answers on 127.0.0.1:1: spanledger up starts one"]
    assert troubles(NOW - timedelta(minutes=3), NOW, is_whole=True) == away
    assert troubles(None, NOW, is_whole=True) == away


def test_a_collector_elsewhere_is_not_asked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", "http://collector.internal:4318")
    assert troubles(None, NOW, is_whole=True) == []


def test_a_collector_that_takes_nothing_says_why(door: type[Door]) -> None:
    assert troubles(None, NOW, is_whole=True) == []
    door.status, door.words = 503, "the disk is full\nmore"
    assert troubles(None, NOW, is_whole=True) == ["the collector takes no spans: the disk is full"]


def test_what_waits_longer_than_a_minute_is_told(home: Path) -> None:
    async def take() -> None:
        writer = WalWriter(wal_dir(home))
        await writer.append(b"x" * 2000)
        writer.close()

    asyncio.run(take())
    came = datetime.now(UTC)
    assert troubles(came, came, is_whole=True) == []
    later = came + timedelta(minutes=5, seconds=1)
    assert troubles(later, later, is_whole=True) == ["2.0 kB wait to become rows, the oldest came 5 min ago"]
    assert troubles(came, came, is_whole=False) == []
    assert troubles(later, later, is_whole=False) == ["what came lately may not be shown yet"]


def test_who_sees_a_part_is_told_nothing_of_the_collector(door: type[Door]) -> None:
    door.status, door.words = 503, "the disk of /srv/ledger is full"
    assert troubles(None, NOW, is_whole=False) == []

"""What all pages stand on: answers kept as long as they hold, and sentences for what goes wrong."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from streamlit.testing.v1 import AppTest

import spanledger_dashboard
from guarded_rows import controlled_ledger
from ledger_rows import call, make_lake, outcome
from small_ledger import small_ledger
from spanledger.errors import SettingError
from spanledger_analytics.connection import Ledger, noting
from spanledger_analytics.errors import StoppedError
from spanledger_analytics.reports.answer import Report
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.reports.totals import totals
from spanledger_analytics.scope import EVERYTHING
from spanledger_cli import cli
from spanledger_collector.tables import LakeTable
from spanledger_dashboard import data
from spanledger_dashboard.command import command_of
from spanledger_dashboard.components.trouble import sentence
from spanledger_dashboard.data import Lake

ENTRY = Path(spanledger_dashboard.__file__).parent / "entry" / "app.py"
NOW = datetime.now(UTC)
WEEKS = Period(date(2026, 11, 2), date(2026, 11, 15))


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return small_ledger(tmp_path_factory.mktemp("shell") / "lake")


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Return one in which every report finds something."""
    lake = tmp_path_factory.mktemp("controlled") / "lake"
    small_ledger(lake)
    return Ledger(make_lake(lake, controlled_ledger(), version=1), EVERYTHING)


@pytest.mark.parametrize("name", ["spend", "movers", "margin"])
def test_a_card_shows_what_its_command_prints(ledger: Ledger, name: str) -> None:
    asked = Question(WEEKS, REPORTS[name].by, parse_where(["user=ann,eve"]))
    answer = Lake(ledger.lake, EVERYTHING).report(name, asked)
    argv = command_of(name, asked, {}).replace("'", "").split()[1:]
    printed = CliRunner().invoke(cli, [*argv, "--lake", str(ledger.lake), "--format", "csv"])
    assert printed.exit_code == 0
    assert printed.stdout.splitlines() == answer.frame.write_csv().splitlines()
    assert [line.removeprefix("spanledger: ") for line in printed.stderr.splitlines()] == list(answer.notes)


def test_an_answer_names_the_queries_that_it_is_made_of(ledger: Ledger) -> None:
    lake = Lake(ledger.lake, EVERYTHING)
    assert lake.queries("unit-cost", Question(WEEKS, ("feature",))) == [
        "work",
        "work_traces",
        "work_outcomes",
        "totals",
    ]
    assert lake.queries("spend", Question(WEEKS, ("feature",))) == ["totals"]
    with noting() as queries:
        totals(ledger, Question(WEEKS))
        totals(ledger, Question(WEEKS))
    assert queries == ["totals"]


@pytest.mark.parametrize(
    "report", [report for report in REPORTS.values() if report.of_lake], ids=lambda each: each.name
)
def test_a_report_says_which_tables_it_reads_beside_spans(
    controlled: Ledger, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = set[LakeTable]()
    found = Ledger.files_of

    def files_of(self: Ledger, table: LakeTable, first: date | None = None) -> list[str]:
        read.add(table)
        return found(self, table, first)

    monkeypatch.setattr(Ledger, "files_of", files_of)
    report.answer(controlled, Question(WEEKS, report.by))
    assert read == set(report.beside)


def test_sums_of_days_that_are_over_and_of_today_are_those_of_both(tmp_path: Path) -> None:
    rows = [call(hour, 1, NOW - timedelta(hours=hour), uncached=800_000 + hour) for hour in range(1, 60)]
    path = make_lake(tmp_path / "lake", rows)
    for calendar in (Calendar(), Calendar("Pacific/Auckland")):
        today = calendar.today()
        for by in ((), ("day", "model"), ("hour",), ("month", "team")):
            asked = Question(Period(today - timedelta(days=6), today, calendar), by)
            assert Lake(path, EVERYTHING).totals(asked).equals(totals(Ledger(path, EVERYTHING), asked))


def test_a_report_is_asked_again_when_a_call_or_an_outcome_came_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "_LONG_S", 3_600)
    start = NOW - timedelta(days=3)
    path = make_lake(tmp_path / "lake", [call(1, 1, start, uncached=800_000, output=0, session_id="s")])
    today = NOW.date()
    asked = Question(Period(today - timedelta(days=6), today))
    lake = Lake(path, EVERYTHING)

    def told() -> tuple[Decimal | None, Decimal | None, int]:
        row = lake.report("unit-cost", asked, more=True).frame.row(0, named=True)
        return row["cost_usd"], row["success_usd"], row["successes"]

    assert told() == (Decimal(1), None, 0)
    make_lake(path, [outcome(2, 1, NOW, session_id="s")], version=1)
    assert told() == (Decimal(1), Decimal(1), 1)
    make_lake(path, [call(3, 1, start, uncached=800_000, output=0, session_id="s")], version=2)
    assert told() == (Decimal(2), Decimal(2), 1)


def test_a_report_that_takes_long_is_not_asked_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_LONG_S", 0)
    monkeypatch.setattr(data, "_REST", 1_000_000)
    path = make_lake(tmp_path / "lake", [call(1, 1, NOW, uncached=800_000, output=0, team_id="a")])
    lake, asked = Lake(path, EVERYTHING), Question(Period(NOW.date(), NOW.date()), ("team",))
    before = lake.report("drivers", asked)
    make_lake(path, [call(2, 1, NOW, uncached=800_000, output=0, team_id="a")], version=1)
    assert lake.report("drivers", asked).frame.equals(before.frame)
    assert lake.report("drivers", replace(asked, by=())).frame["cost_usd"].sum() == 2 * before.frame["cost_usd"].sum()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SettingError("SPANLEDGER_ZONE", "Mars", "name another"), "SPANLEDGER_ZONE = 'Mars': name another."),
        (duckdb.OutOfMemoryException("x"), "There is not enough memory for this question. Ask about fewer days."),
        (
            duckdb.IOException("No such file /secret"),
            "The lake can't be read at this moment. Try again; if it stays so, run spanledger doctor "
            "(reference ab12 in the dashboard's log).",
        ),
        (ZeroDivisionError("x"), "This can't be shown. The dashboard's log says why, under the reference ab12."),
    ],
)
def test_what_goes_wrong_is_told_in_a_sentence(error: Exception, told: str) -> None:
    assert sentence(error, "ab12") == told


def test_a_lake_that_can_not_be_read_gets_a_sentence_and_a_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_lake(tmp_path / "lake", [call(1, 1, NOW)])
    (path / "spans" / "_delta_log" / f"{1:020}.json").write_text("{broken")
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(path)])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    with caplog.at_level(logging.ERROR):
        page = AppTest.from_file(str(ENTRY), default_timeout=120).run()
    assert not page.exception
    assert [button.label for button in page.button] == ["Try again"]
    told = page.warning[0].value.replace("\\", "")
    assert told.startswith(f"The lake {path} can't be read: ")
    assert told.endswith("; upgrade spanledger, or choose another with --lake.")
    assert "\n" not in told
    assert "Traceback" in caplog.text


def test_a_question_that_takes_too_long_is_stopped_and_says_what_to_do(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = Ledger(ledger.lake, EVERYTHING, limit_s=0.1)
    endless = "select count(*) from range(10000000) a, range(10000000) b where a.range * b.range = len($files)"
    monkeypatch.setattr("spanledger_analytics.connection.load_query", lambda name: endless)
    with pytest.raises(StoppedError) as stopped:
        hasty.ask("endless")
    assert sentence(stopped.value, "ab12") == (
        "This took longer than 0.1 seconds; ask about fewer days, or on the command line, which waits."
    )


def failing() -> None:
    import streamlit as st

    from spanledger_analytics.errors import QuestionError
    from spanledger_dashboard.components.card import card

    @card("well", 100)
    def well() -> None:
        st.text("drawn")

    @card("ill", 100)
    def ill() -> None:
        raise QuestionError("nothing is called planet")

    ill()
    well()


def test_a_card_that_fails_says_so_and_leaves_the_others_alone() -> None:
    page = AppTest.from_function(failing, default_timeout=120).run()
    assert not page.exception
    assert [text.value for text in page.text] == ["drawn"]
    assert [warning.value for warning in page.warning] == [r"Nothing is called planet\."]

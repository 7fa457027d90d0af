"""What was spent, on a ledger that can be added up by hand."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from ledger_rows import call, make_lake
from small_ledger import CALLS, OUTCOMES, small_ledger, table
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_cli import cli

WEEKS = Period(date(2026, 11, 2), date(2026, 11, 15))
SPEND = REPORTS["spend"]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return small_ledger(tmp_path_factory.mktemp("spend") / "lake")


def test_the_ledger_costs_what_it_says(ledger: Ledger) -> None:
    frame = SPEND.answer(ledger, Question(WEEKS, ("hour", "session", "model"))).frame
    said = [Decimal(row["usd"]) for row in table(CALLS) if row["usd"] != "-"]
    assert sum(frame["cost_usd"].drop_nulls(), Decimal(0)) == sum(said, Decimal(0)) == Decimal("41.80")
    assert frame["calls"].sum() == len(table(CALLS)) == 18
    assert len(table(OUTCOMES)) == 6


def test_by_day_and_model(ledger: Ledger) -> None:
    week = Period(date(2026, 11, 2), date(2026, 11, 4))
    answer = SPEND.answer(ledger, Question(week, ("day", "model")))
    assert answer.frame.columns == [
        *("day", "model", "cost_usd", "calls", "input_tokens", "output_tokens", "unpriced_calls", "estimated_calls")
    ]
    assert answer.frame.rows() == [
        (date(2026, 11, 2), "gpt-5", Decimal("7.1"), 4, 4_000_000, 300_000, 0, 0),
        (date(2026, 11, 2), "gpt-5-mini", Decimal(2), 1, 4_000_000, 500_000, 0, 0),
        (date(2026, 11, 3), "gpt-5", Decimal(2), 1, 800_000, 100_000, 0, 0),
        (date(2026, 11, 3), "gpt-5-mini", Decimal(2), 1, 4_000_000, 500_000, 0, 0),
        (date(2026, 11, 3), "local", None, 1, 1_000_000, 100_000, 1, 0),
        (date(2026, 11, 4), "gpt-5", Decimal(2), 1, 800_000, 100_000, 0, 0),
    ]
    assert answer.notes == (
        "$15.10 for 9 calls",
        "no price, so in no sum: 1 call (11.1 %); see spanledger unpriced",
        "not settled yet: 9 calls, which their traces may still change",
    )


def test_calls_that_do_not_say_a_team_are_a_row_and_rows_add_up(ledger: Ledger) -> None:
    answer = SPEND.answer(ledger, Question(WEEKS, ("team",)))
    assert answer.frame.select("team", "cost_usd", "calls", "estimated_calls").rows() == [
        ("growth", Decimal("13.7"), 4, 0),
        ("search", Decimal("18.1"), 8, 1),
        ("support", Decimal(7), 4, 0),
        (None, Decimal(3), 2, 0),
    ]
    assert answer.notes[0] == "$41.80 for 18 calls"
    assert answer.notes[2] == "estimated tokens: 1 call, $2.00 (4.8 %); nobody reported them"


def test_a_day_is_that_of_the_zone(ledger: Ledger) -> None:
    berlin = Period(date(2026, 11, 11), date(2026, 11, 12), Calendar("Europe/Berlin"))
    answer = SPEND.answer(ledger, Question(berlin, ("day",), parse_where(["team="])))
    assert answer.frame.select("day", "cost_usd").rows() == [(date(2026, 11, 12), Decimal(1))]


def test_weeks_begin_on_monday(ledger: Ledger) -> None:
    answer = SPEND.answer(ledger, Question(WEEKS, ("week",)))
    assert answer.frame.select("week", "cost_usd").rows() == [
        (date(2026, 11, 2), Decimal("19.1")),
        (date(2026, 11, 9), Decimal("22.7")),
    ]


def test_every_report_has_the_columns_that_it_documents(ledger: Ledger) -> None:
    for report in REPORTS.values():
        by = report.by if report.takes_by else ()
        columns = report.answer(ledger, Question(WEEKS, by)).frame.columns
        expected = [*by, *(name for name in report.columns if name not in report.extras)]
        assert [name for name in columns if name not in report.extras] == expected, report.name


def test_the_command_writes_what_the_function_answers(ledger: Ledger) -> None:
    arguments = ["report", "spend", "--lake", str(ledger.lake), "--from", "2026-11-02", "--to", "2026-11-15"]
    done = CliRunner().invoke(cli, [*arguments, "--by", "customer", "--where", "customer!=", "--format", "csv"])
    assert (done.exit_code, list(csv.DictReader(io.StringIO(done.stdout)))) == (
        0,
        [
            {
                "customer": name,
                "cost_usd": f"{cost}.{'1' if name == 'acme' else '7'}00000000000",
                "calls": "8",
                "input_tokens": tokens,
                "output_tokens": output,
                "unpriced_calls": unpriced,
                "estimated_calls": estimated,
            }
            for name, cost, tokens, output, unpriced, estimated in (
                ("acme", "18", "8800000", "800000", "0", "1"),
                ("beta", "20", "14400000", "2420000", "1", "0"),
            )
        ],
    )
    assert done.stderr.splitlines()[0] == "spanledger: $38.80 for 16 calls"


def test_a_table_has_millionths_of_a_dollar_and_the_other_formats_all_places(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, [call(1, 1, datetime(2026, 11, 2, 9, tzinfo=UTC), "gpt-5", 1, 0)])
    arguments = ["report", "spend", "--lake", str(lake), "--from", "2026-11-02", "--to", "2026-11-02", "--by", "model"]
    found = [CliRunner().invoke(cli, [*arguments, "--format", form]).stdout.split("\n") for form in ("table", "csv")]
    assert found[0][2].split() == ["gpt-5", "0.000001", "1", "1", "0", "0", "0"]
    assert found[1][1] == "gpt-5,0.000001250000,1,1,0,0,0"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--by", "colour"], "nothing is called 'colour'"),
        (["--where", "team"], "write dimension=value"),
        (["--zone", "Mars"], "no time zone is called 'Mars'"),
        (["--from", "2026-11-10", "--to", "2026-11-09"], "--from comes before --to"),
        (["--to", "0001-01-01"], "no call is of the year 1; choose days from 2000-01-01 to 2099-12-31"),
        (["--from", "9999-12-31", "--to", "9999-12-31"], "no call is of the year 9999"),
        (["-o", "/nowhere/at/all.csv"], "can't be written"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(ledger: Ledger, arguments: list[str], expected: str) -> None:
    done = CliRunner().invoke(cli, ["report", "spend", "--lake", str(ledger.lake), *arguments])
    assert done.exit_code != 0
    assert expected in f"{done.stderr}{done.exception}"


def test_a_lake_without_calls_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["report", "spend", "--lake", str(tmp_path / "none"), "--format", "json"])
    assert (done.exit_code, done.stdout) == (0, "[]\n")
    assert "nothing is collected" in done.stderr

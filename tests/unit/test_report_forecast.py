"""What the month will have cost, on ledgers that can be added up by hand."""

from __future__ import annotations

import csv
import io
import random
import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from ledger_rows import Row, call, make_lake
from small_ledger import small_ledger
from spanledger_analytics.connection import Ledger
from spanledger_analytics.counting import refresh_rollups
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING
from spanledger_cli import cli

FORECAST = REPORTS["forecast"]
HOURS = 10 * 24
TEN_DAYS = Period(date(2026, 10, 1), date(2026, 11, 10))
NOVEMBER_12 = Period(date(2026, 11, 1), date(2026, 11, 12))


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Ten days of November: each hour team a spends $1 and b $2; nobody's calls have no price."""
    rows = [row for hour in range(HOURS) for row in _even(hour)]
    return Ledger(make_lake(tmp_path_factory.mktemp("even") / "lake", rows), EVERYTHING)


def _even(hour: int) -> list[Row]:
    start = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hour, minutes=10)
    return [
        call(hour + 1, 1, start, "gpt-5", 800_000, 0, team_id="a"),
        call(hour + 1, 2, start, "gpt-5", 1_600_000, 0, team_id="b"),
        call(hour + 1, 3, start, "local", 1000, 0),
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return small_ledger(tmp_path_factory.mktemp("forecast") / "lake")


def test_what_is_even_goes_on(even: Ledger) -> None:
    """$3 an hour: $720 in ten days, and 1440 in the twenty that are left."""
    answer = FORECAST.answer(even, Question(TEN_DAYS))

    assert answer.frame.rows(named=True) == [
        {
            "spent_usd": Decimal(720),
            **dict.fromkeys(("forecast_usd", "low_usd", "high_usd"), Decimal(2160)),
            "method": "seasonal naive 24 h",
            "history_days": 10,
            "little_history": False,
            "reason": None,
            "calls": 720,
            "unpriced_calls": 240,
            "estimated_calls": 0,
        }
    ]
    assert answer.notes[:2] == (
        "2026-11-01 to 2026-11-30 will have cost $2,160.00 (80 % interval $2,160.00 to $2,160.00); "
        "$720.00 of it is spent, with 20 days remaining",
        "$720.00 for 720 calls",
    )


def test_rollups_say_the_same(even: Ledger, tmp_path: Path) -> None:
    lake = Path(shutil.copytree(even.lake, tmp_path / "lake"))
    refresh_rollups(lake)
    counted = FORECAST.answer(Ledger(lake, EVERYTHING), Question(TEN_DAYS))
    assert (counted.frame.rows(), counted.notes) == (
        FORECAST.answer(even, Question(TEN_DAYS)).frame.rows(),
        FORECAST.answer(even, Question(TEN_DAYS)).notes,
    )


def test_rows_are_forecast_one_by_one_dearest_first(even: Ledger) -> None:
    answer = FORECAST.answer(even, Question(TEN_DAYS, ("team",)), budget=Decimal(2880))

    assert answer.frame.select("team", "spent_usd", "forecast_usd", "reason", "calls", "unpriced_calls").rows() == [
        ("b", Decimal(480), Decimal(1440), None, 240, 0),
        ("a", Decimal(240), Decimal(720), None, 240, 0),
        (None, None, None, "no call has a price", 240, 240),
    ]
    assert answer.notes[:2] == (
        "25 % of the monthly budget used with 20 days remaining; "
        "forecast $2,160.00 (80 % interval $2,160.00 to $2,160.00); lasts the month",
        "the rows add up to $2,160.00; the total is forecast itself",
    )
    assert FORECAST.answer(even, Question(TEN_DAYS, ("team", "model")), top=1).frame.select(
        "team", "model", "forecast_usd"
    ).rows() == [("b", "gpt-5", Decimal(1440))]


def test_only_what_is_asked_about_is_forecast(even: Ledger) -> None:
    asked = Question(TEN_DAYS, ("team",), parse_where(["team=a,b", "team!=b"]))
    assert FORECAST.answer(even, asked).frame.select("team", "forecast_usd").rows() == [("a", Decimal(720))]


def test_a_budget_runs_out_on_a_day(even: Ledger) -> None:
    """At $3 an hour the other $720 last ten days."""
    answer = FORECAST.answer(even, Question(TEN_DAYS), budget=Decimal(1440))

    day = date(2026, 11, 20)
    assert answer.frame.select("used_share", "runs_out_early", "runs_out", "runs_out_late").rows() == [
        (Decimal("0.5"), day, day, day)
    ]
    assert answer.notes[0] == (
        "50 % of the monthly budget used with 20 days remaining; "
        "forecast $2,160.00 (80 % interval $2,160.00 to $2,160.00); runs out on the 20th at this rate"
    )


def test_the_month_is_that_of_the_zone_and_the_billing_day(even: Ledger) -> None:
    """On November 10th in Berlin all is over but its last hour in UTC: 239 hours, and 13 days until the 24th."""
    days = Period(date(2026, 10, 1), date(2026, 11, 10), Calendar("Europe/Berlin", 24))
    answer = FORECAST.answer(even, Question(days), budget=Decimal(1000))

    assert answer.frame.select("spent_usd", "forecast_usd").rows() == [(Decimal(717), Decimal(717 + 13 * 72))]
    assert answer.notes[0].startswith("71.7 % of the monthly budget used with 13 days remaining; ")
    assert answer.frame["runs_out"].to_list() == [date(2026, 11, 14)]  # the 95th hour


def test_an_hour_that_is_under_way_counts_by_what_is_left_of_it(even: Ledger) -> None:
    """The calls of 9:10 are spent, and at 9:30 half of that is expected: nothing says when in an hour calls come."""
    answer = FORECAST.answer(even, Question(Period(date(2026, 10, 1), date(2026, 11, 10))), now="2026-11-10T09:30")

    spent = (9 * 24 + 10) * 3
    assert answer.frame.select("spent_usd", "forecast_usd").rows() == [
        (Decimal(spent), spent + Decimal("1.5") + (14 + 20 * 24) * 3)
    ]


def test_a_month_that_is_over_cost_what_was_spent(even: Ledger) -> None:
    november = Question(Period(date(2026, 11, 1), date(2026, 11, 30)))
    answer = FORECAST.answer(even, november, now="2026-12-05T00:00", budget=Decimal(800))

    columns = ("spent_usd", "forecast_usd", "low_usd", "high_usd", "method", "runs_out")
    assert answer.frame.select(columns).rows() == [(*[Decimal(720)] * 4, "nothing is left", None)]
    assert answer.notes[0] == "90 % of the monthly budget used; the month is over"


def test_the_small_ledger_goes_on_as_in_its_last_week(small: Ledger) -> None:
    """Days from the 3rd to the 12th: 4, 2, 4, 0, 0, 0, 10.70, 5, 1 and 6 dollars.

    Until the 9th, 10th and 11th the week before said 4 + 2 + 4, 2 + 4 and 4 dollars for what were 12, 7 and 6: off by
    2/3, 1/2 and 2 a day. The day before said 10.70, 5 and 1 a day, which is off by 6.70, 1.50 and 5. So it is the week
    before: 22.70 twice, then the 6th to the 9th again, 10.70, after 41.80 since the month began.
    """
    answer = FORECAST.answer(small, Question(NOVEMBER_12))

    row = answer.frame.row(0, named=True)
    assert (row["spent_usd"], row["forecast_usd"], row["method"], row["history_days"]) == (
        Decimal("41.8"),
        Decimal("41.8") + Decimal("22.7") * 2 + Decimal("10.7"),
        "seasonal naive 168 h",
        10,
    )
    # Errors of the first day after each of the three moments are 2, -1 and 1, for the weekly profile as well; those of
    # the other methods are more than twice as wrong. A naive walk of 18 steps, a third wider as there were three:
    draw = random.Random(3)
    totals = []
    for _ in range(20_000):
        level = total = 0.0
        for _ in range(18):
            level += draw.choice((2, 1, 1)) * draw.choice((-1, 1))
            total += level
        totals.append(abs(total))
    off = sorted(totals)[16_000] * 4 / 3
    assert row["low_usd"] == row["spent_usd"]
    assert float(row["high_usd"] - row["forecast_usd"]) == pytest.approx(off, rel=0.1)


def test_the_small_ledger_s_budget(small: Ledger) -> None:
    """$18.20 are left: nothing on the 13th to 15th, 10.70, 5 and 1 on the next days, and 6 on the 19th."""
    answer = FORECAST.answer(small, Question(NOVEMBER_12), budget=Decimal(60))

    assert answer.frame.select("used_share", "runs_out", "runs_out_late").rows() == [
        (Decimal("0.696667"), date(2026, 11, 19), None)
    ]
    said = answer.notes[0]
    assert said.startswith("69.7 % of the monthly budget used with 18 days remaining; forecast $97.90 (80 % interval ")
    assert said.endswith("; runs out on the 19th at this rate (the 16th at the earliest, or not at all)")


def test_a_budget_that_is_used_up_says_since_when(small: Ledger) -> None:
    """$19.10 until the 8th, and 7.70 more in one hour of the 9th."""
    answer = FORECAST.answer(small, Question(NOVEMBER_12), budget=Decimal(20))

    assert answer.frame.select("used_share", "runs_out_early", "runs_out", "runs_out_late").rows() == [
        (Decimal("2.09"), *[date(2026, 11, 9)] * 3)
    ]
    assert answer.notes[0].startswith(
        "209 % of the monthly budget used, all of it by the 9th, with 18 days remaining; forecast $97.90 ("
    )


def test_a_few_days_are_a_little_and_one_is_nothing(small: Ledger) -> None:
    """By the end of the 5th: 87 hours since 9:00 on the 2nd, whole days of 4, 2 and 4 dollars: $10 in three."""
    few = FORECAST.answer(small, Question(Period(date(2026, 11, 1), date(2026, 11, 5)))).frame
    assert few.select("spent_usd", "forecast_usd", "method", "history_days", "little_history").rows() == [
        (Decimal("19.1"), pytest.approx(Decimal("19.1") + 25 * Decimal(10) / 3), "gamma on daily totals", 3, True)
    ]

    one = FORECAST.answer(small, Question(Period(date(2026, 11, 1), date(2026, 11, 3))), budget=Decimal(100))
    reason = "something was spent first 39 hours ago; a forecast needs 48 hours"
    assert one.frame.select("spent_usd", "forecast_usd", "history_days", "reason", "runs_out").rows() == [
        (Decimal("13.1"), None, 1, reason, None)
    ]
    assert one.notes[0] == f"13.1 % of the monthly budget used with 27 days remaining; no forecast: {reason}"


def test_nothing_is_forecast_of_nothing(tmp_path: Path) -> None:
    answer = FORECAST.answer(Ledger(make_lake(tmp_path, []), EVERYTHING), Question(TEN_DAYS))
    reason = "nothing was spent in any whole hour; a forecast needs 48 hours"
    assert answer.frame.select("spent_usd", "forecast_usd", "reason").rows() == [(Decimal(0), None, reason)]


@pytest.mark.parametrize(
    ("by", "options", "said"),
    [
        (("day",), {}, "can't be told apart by day"),
        ((), {"budget": Decimal(0)}, "can't run out"),
        ((), {"now": "2026-10-31T23:59"}, "2026-11-01 hasn't begun"),
    ],
)
def test_what_cannot_be_forecast_says_why(
    even: Ledger, by: tuple[str, ...], options: dict[str, str | Decimal], said: str
) -> None:
    with pytest.raises(QuestionError, match=said):
        FORECAST.answer(even, Question(TEN_DAYS, by), **options)


def test_the_command_takes_a_budget(even: Ledger) -> None:
    arguments = ["report", "forecast", "--lake", str(even.lake), "--to", "2026-11-10", "--budget", "$1,440"]
    done = CliRunner().invoke(cli, [*arguments, "--format", "csv"])

    assert done.exit_code == 0, done.output
    row = next(csv.DictReader(io.StringIO(done.stdout)))
    assert (row["forecast_usd"], row["used_share"], row["runs_out"]) == (
        "2160.000000000000",
        "0.500000",
        "2026-11-20",
    )
    assert done.stderr.startswith("spanledger: 50 % of the monthly budget used with 20 days remaining; forecast $2,160")

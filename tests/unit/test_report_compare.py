"""Days against other days, calls against others, after a moment against before it: by hand, and by plain statistics."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import variance

import polars as pl
import pytest
from click.testing import CliRunner

from ledger_rows import Row, call, make_lake
from small_ledger import small_ledger
from spanledger_analytics.connection import Ledger
from spanledger_analytics.counting import refresh_rollups
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.compare import EXTRAS
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING
from spanledger_cli import cli

SECOND_WEEK = Period(date(2026, 11, 9), date(2026, 11, 15))
WEEKS = Period(date(2026, 11, 2), date(2026, 11, 15))
NOW = "2026-11-20T00:00"
COMPARE = REPORTS["compare"]
PLAIN = [name for name in COMPARE.columns if name not in EXTRAS]


@pytest.fixture(scope="module", params=["spans", "rollups"])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    ledger = small_ledger(tmp_path_factory.mktemp("compare") / "lake")
    if request.param == "rollups":
        refresh_rollups(ledger.lake)
    return ledger


def usd(*amounts: str | None) -> tuple[Decimal | None, ...]:
    return tuple(None if amount is None else Decimal(amount) for amount in amounts)


def test_today_so_far_against_the_same_weekday_up_to_the_same_time(ledger: Ledger) -> None:
    today = Period(date(2026, 11, 9), date(2026, 11, 9))
    answer = COMPARE.answer(ledger, Question(today), now="2026-11-09T10:14:59")
    # The 9th to 10:00: 3.00 + 3.50 + 1.20, traces 10 and 11. The 2nd to 10:00: 2.00 + 2.10, trace 1.
    assert answer.frame.columns == PLAIN
    assert answer.frame.rows() == [
        (*usd("7.7", "4.1", "3.6", "0.878"), 3, 2, 2, 1, *usd("3.85", "4.1")),
    ]
    assert answer.notes == (
        "2026-11-09 10:00 against 2026-11-02 10:00; the last day isn't over, so both are counted up to the same time",
        "$7.70 against $4.10: $3.60 more (87.8 %)",
        "$7.70 for 3 calls",
        "not settled yet: 3 calls, which their traces may still change",
        "of the other: not settled yet: 2 calls, which their traces may still change",
    )


def test_a_quarter_of_an_hour_more_has_the_calls_of_it(ledger: Ledger) -> None:
    today = Period(date(2026, 11, 9), date(2026, 11, 9))
    answer = COMPARE.answer(ledger, Question(today), now="2026-11-09T10:15")
    assert answer.frame.select("cost_usd", "cost_before_usd", "requests_before").rows() == [(*usd("7.7", "7.1"), 3)]


def test_days_without_calls_cost_nothing(ledger: Ledger) -> None:
    answer = COMPARE.answer(ledger, Question(WEEKS), now=NOW)
    assert answer.frame.rows() == [(*usd("41.8", "0", "41.8", None), 18, 0, 16, 0, *usd("2.6125", None))]
    assert answer.notes[1] == "one side has no calls with a price"
    answer = COMPARE.answer(ledger, Question(Period(date(2026, 11, 16), date(2026, 11, 17))), now=NOW)
    assert (answer.frame["cost_usd"].to_list(), answer.frame["cost_before_usd"].to_list()) == ([0], [Decimal("15.7")])


def test_weeks_by_team(ledger: Ledger) -> None:
    answer = COMPARE.answer(ledger, Question(SECOND_WEEK, ("team",)), now=NOW)
    # What a request cost: search 13.10 by 5 and 5.00 by 2; support 4.00 by 3 (one of them without a price).
    assert answer.frame.columns == ["team", *PLAIN]
    assert answer.frame.rows() == [
        ("growth", *usd("13.7", "0", "13.7", None), 4, 0, 3, 0, *usd("4.566666666667", None)),
        ("search", *usd("5", "13.1", "-8.1", "-0.6183"), 2, 6, 2, 5, *usd("2.5", "2.62")),
        ("support", *usd("3", "4", "-1", "-0.25"), 1, 3, 1, 3, *usd("3", "1.333333333333")),
        (None, *usd("1", "2", "-1", "-0.5"), 1, 1, 1, 1, *usd("1", "2")),
    ]


def test_this_feature_against_that(ledger: Ledger) -> None:
    asked = Question(WEEKS, where=parse_where(["feature=find", "environment=production"]))
    answer = COMPARE.answer(ledger, asked, with_="feature=answer")
    assert answer.frame.rows() == [(*usd("18.1", "7", "11.1", "1.5857"), 8, 4, 7, 4, *usd("2.585714285714", "1.75"))]
    assert answer.notes[:3] == (
        "feature=find and environment=production against feature=answer",
        "$18.10 against $7.00: $11.10 more (158.6 %)",
        "$18.10 for 8 calls",
    )
    assert "of the other: no price, so in no sum: 1 call (25.0 %); see spanledger unpriced" in answer.notes


def test_before_and_after_a_moment(ledger: Ledger) -> None:
    asked = Question(SECOND_WEEK, where=parse_where(["team=support"]))
    answer = COMPARE.answer(ledger, asked, at="2026-11-09", now=NOW, control="team=search")
    # Requests of support: 2.00 and 2.00 before (that of local is left out), 3.00 after. Of search: 13.10 by 5 before,
    # 3.00 and 2.00 after. 1.00 more than it was, 0.12 less there: 1.12 more.
    assert answer.frame.columns == ["group", *PLAIN, *EXTRAS[1:]]
    assert answer.frame.rows() == [
        ("asked", *usd("3", "4", "-1", "-0.25"), 1, 2, 1, 2, *usd("3", "2", "1", None, None)),
        ("control", *usd("5", "13.1", "-8.1", "-0.6183"), 2, 6, 2, 5, *usd("2.5", "2.62", "-0.12", None, None)),
        ("difference", *usd(*[None] * 4), *[None] * 4, *usd(None, None, "1.12", None, None)),
    ]
    assert answer.notes == (
        "requests that began from 2026-11-09 00:00 to 2026-11-16 00:00 against those from 2026-11-02 00:00 to "
        "2026-11-09 00:00",
        "control: team=search",
        "a request costs $1.12 more than as the control went; too few users for an interval",
        "left out, for a call without a price: 1 request; see spanledger unpriced",
        "estimated tokens: 1 call; nobody reported them",
    )


DEPLOY = datetime(2026, 11, 5, 14, tzinfo=UTC)


def dollars(trace: int, number: int, start: datetime, amount: Decimal, feature: str) -> Row:
    """Build a call of gpt-5 that costs so much."""
    return call(trace, number, start, "gpt-5", int(amount * 800_000), 0, feature=feature)


def lake_of_features(folder: Path, before_and_after: dict[str, tuple[str, str]], each: int = 4) -> Ledger:
    """Write requests of features, so many an hour or less apart before and after the deploy, of two calls each."""
    rows = []
    for place, (feature, amounts) in enumerate(before_and_after.items()):
        for side, amount in enumerate(amounts):
            for number in range(each):
                trace = 1 + (place * 2 + side) * each + number
                start = DEPLOY + timedelta(minutes=(30 * number if side else -30 * (number + 1)))
                half = Decimal(amount) / 2
                rows += [dollars(trace, two, start + timedelta(minutes=31 * two), half, feature) for two in (0, 1)]
    return Ledger(make_lake(folder, rows), EVERYTHING)


def ask_deploy(ledger: Ledger, *conditions: str, **options: str | int) -> tuple[pl.DataFrame, tuple[str, ...]]:
    asked = Question(Period(date(2026, 11, 5), date(2026, 11, 5)), where=parse_where(conditions))
    answer = COMPARE.answer(ledger, asked, **{"at": DEPLOY.isoformat(), "now": "2026-11-07T00:00"} | options)
    return answer.frame, answer.notes


def test_a_control_is_those_that_cost_about_as_much_before(tmp_path: Path) -> None:
    features = {
        "find": ("1", "2"),
        "alike": ("1.25", "1.50"),
        "dearer": ("2", "2.50"),
        "cheaper": ("0.50", "0.50"),
        "far": ("2.50", "9"),
        "cheap": ("0.25", "9"),
    }
    frame, notes = ask_deploy(lake_of_features(tmp_path, features), "feature=find")
    # Half to twice as much: alike, dearer, cheaper. They rose by 0.25, 0.50 and 0: 0.25 on average. find rose by 1.00.
    # A request counts where it began, though its second call came after the deploy; all of a kind cost the same, so
    # there is no spread.
    assert frame.select(
        "group", "requests", "requests_before", "per_request_change_usd", "low_usd", "high_usd"
    ).rows() == [
        ("asked", 4, 4, *usd("1", "1", "1")),
        ("control", 12, 12, *usd("0.25", "0.25", "0.25")),
        ("difference", None, None, *usd("0.75", "0.75", "0.75")),
    ]
    assert notes[1:] == (
        "control: feature alike, cheaper, dearer, whose requests cost about as much before",
        "a request costs $0.75 more than as the control went ($1.00 before, $2.00 after); 95 % interval $0.75 to $0.75"
        ", bootstrap of requests, 1,000 draws: 0 is outside, so chance alone hardly makes it",
    )


def test_parts_of_a_cent_are_told(tmp_path: Path) -> None:
    _, notes = ask_deploy(lake_of_features(tmp_path, {"find": ("0.0104", "0.01041")}), "feature=find")
    assert notes[2] == (
        "a request costs $0.00001 more than before ($0.0104 before, $0.01041 after); 95 % interval $0.00001 to $0.00001"
        ", bootstrap of requests, 1,000 draws: 0 is outside, so chance alone hardly makes it"
    )


def test_members_of_a_control_weigh_what_they_did_before(tmp_path: Path) -> None:
    rows = [
        *(dollars(number, 1, DEPLOY - timedelta(hours=1), Decimal(1), "find") for number in range(1, 3)),
        *(dollars(number, 1, DEPLOY + timedelta(hours=1), Decimal(1), "find") for number in range(3, 5)),
        *(dollars(number, 1, DEPLOY - timedelta(hours=1), Decimal(1), "a") for number in range(10, 16)),
        *(dollars(number, 1, DEPLOY + timedelta(hours=1), Decimal(1), "a") for number in range(20, 22)),
        *(dollars(number, 1, DEPLOY - timedelta(hours=1), Decimal(2), "b") for number in range(30, 32)),
        *(dollars(number, 1, DEPLOY + timedelta(hours=1), Decimal(2), "b") for number in range(40, 46)),
    ]
    frame, _ = ask_deploy(Ledger(make_lake(tmp_path, rows), EVERYTHING), "feature=find")
    # Before: 6 at 1.00 and 2 at 2.00, after 2 and 6; at the weights of before (6 : 2) nothing changed.
    assert frame.row(1, named=True)["per_request_before_usd"] == Decimal("1.25")
    assert frame["per_request_change_usd"].to_list() == [0, 0, 0]


def test_without_a_control_it_is_said(tmp_path: Path) -> None:
    ledger = lake_of_features(tmp_path, {"find": ("1", "2"), "far": ("9", "9")})
    frame, notes = ask_deploy(ledger, "feature=find")
    assert frame["group"].to_list() == ["asked"]
    assert notes[1] == (
        "no control, so what changed anyway is part of it: no other feature cost about as much before, or name one with"
        " --control"
    )
    _, notes = ask_deploy(ledger)
    assert "name what is asked about with --where, or name one with --control" in notes[1]


@pytest.mark.parametrize("each", [60, 450])
def test_the_interval_is_as_wide_as_the_spread_of_requests_makes_it(tmp_path: Path, each: int) -> None:
    draw = random.Random(3)
    levels = {("find", False): 100, ("find", True): 130, ("other", False): 110, ("other", True): 120}
    rows: list[Row] = []
    amounts: dict[tuple[str, bool], list[Decimal]] = {}
    for place, ((feature, after), typical) in enumerate(levels.items()):
        costs = amounts[feature, after] = [Decimal(draw.randrange(1, 2 * typical)) / 100 for _ in range(each)]
        for number, cost in enumerate(costs):
            start = DEPLOY + timedelta(minutes=number + 1) * (1 if after else -1)
            rows.append(dollars(draw.getrandbits(60) * 4 + place, 1, start, cost, feature))
    ledger = Ledger(make_lake(tmp_path, rows), EVERYTHING)
    frame, notes = ask_deploy(ledger, "feature=find", control="feature=other")
    again, _ = ask_deploy(ledger, "feature=find", control="feature=other")
    assert frame.equals(again)
    mean_of = {side: sum(costs, Decimal(0)) / each for side, costs in amounts.items()}
    change = (mean_of["find", True] - mean_of["find", False]) - (mean_of["other", True] - mean_of["other", False])
    row = frame.row(2, named=True)
    assert row["per_request_change_usd"] == change.quantize(Decimal("0.000000000001"))
    error = sum(float(variance(costs)) / each for costs in amounts.values()) ** 0.5
    assert [float(row[end] - change) for end in ("low_usd", "high_usd")] == pytest.approx(
        [-1.96 * error, 1.96 * error], rel=0.12
    )
    assert ("may be chance" in notes[2]) == (row["low_usd"] <= 0 <= row["high_usd"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"at": "2026-11-30"}, "isn't over"),
        ({"at": "noon"}, "can't read the moment 'noon'"),
        ({"at": "2026-11-01"}, "no request began before 2026-11-01"),
        ({"at": "0001-01-01"}, "no call is of the year 1; choose days from 2000-01-01 to 2099-12-31"),
        ({"against": "2026-11-01..9999-12-31"}, "no call is of the year 9999"),
        ({"at": "2026-11-09", "around": 0}, "from 1 to 400"),
        ({"at": "2026-11-09", "around": 999_999_999}, "from 1 to 400"),
        ({"at": "2026-11-09", "control": "team=none"}, "the control team=none has no requests on one side"),
        ({"at": "2026-11-09", "with_": "team=search"}, "leave those out"),
        ({"control": "team=search"}, "name the moment with --at"),
    ],
)
def test_what_cannot_be_compared_says_what_can(ledger: Ledger, options: dict[str, str | int], expected: str) -> None:
    with pytest.raises(QuestionError, match=expected):
        COMPARE.answer(ledger, Question(WEEKS), **{"now": NOW} | options)


def test_the_command_takes_a_second_condition(ledger: Ledger) -> None:
    arguments = ["--from", "2026-11-02", "--to", "2026-11-15", "--where", "team=search", "--with", "team=growth"]
    done = CliRunner().invoke(cli, ["report", "compare", "--lake", str(ledger.lake), *arguments, "--format", "csv"])
    assert (done.exit_code, done.stdout.splitlines()[1].split(",")[:3]) == (
        0,
        ["18.100000000000", "13.700000000000", "4.400000000000"],
    )
    assert "spanledger: team=search against team=growth" in done.stderr

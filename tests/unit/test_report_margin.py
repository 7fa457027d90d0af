"""Revenue beside cost, on a ledger that can be added up by hand and on random ones."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ledger_rows import Row, call, make_lake
from small_ledger import small_ledger
from spanledger.contract import NONE
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.reports.calendar import UNITS, Calendar, Period, Unit
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING
from spanledger_collector.revenue import read_revenue, take_revenue

MONTH = Period(date(2026, 11, 1), date(2026, 11, 30))
WEEKS = Period(date(2026, 11, 2), date(2026, 11, 15))
MARGIN = REPORTS["margin"]
PAID = """customer,month,amount
acme,2026-11,30
beta,2026-11,15
zeta,2026-11,10
"""
NAMES = ("customer", "revenue_usd", "cost_usd", "margin_usd", "margin_share", "cost_share")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    ledger = small_ledger(tmp_path_factory.mktemp("margin") / "lake")
    take_revenue(ledger.lake, read_revenue(PAID, "invoices.csv", NONE))
    return ledger


def test_margin_of_a_month(ledger: Ledger) -> None:
    answer = MARGIN.answer(ledger, Question(MONTH, ("customer",)))
    # acme: 30 - 18.1; beta: 15 - 20.7; zeta has no call; $3 are nobody's
    assert answer.frame.select(NAMES).rows() == [
        ("beta", Decimal(15), Decimal("20.7"), Decimal("-5.7"), Decimal("-0.38"), Decimal("1.38")),
        (None, None, Decimal(3), Decimal(-3), None, None),
        ("zeta", Decimal(10), Decimal(0), Decimal(10), Decimal(1), Decimal(0)),
        ("acme", Decimal(30), Decimal("18.1"), Decimal("11.9"), Decimal("0.396667"), Decimal("0.603333")),
    ]
    assert answer.notes[-3:] == (
        "revenue $55.00, cost $41.80, margin $13.20 (24.0 %)",
        "cost more than they bring: beta; together $5.70 more",
        "without revenue: 1 row, which cost $3.00",
    )


def test_revenue_of_a_month_is_spread_over_its_days_exactly(ledger: Ledger) -> None:
    # The 2nd to the 15th are 14 of 30 days: 14, 7 and 4.666666666666... dollars
    frame = MARGIN.answer(ledger, Question(WEEKS, ("customer",))).frame
    assert dict(zip(frame["customer"], frame["revenue_usd"], strict=True)) == {
        "acme": Decimal(14),
        "beta": Decimal(7),
        "zeta": Decimal("4.666666666667"),
        None: None,
    }
    days = MARGIN.answer(ledger, Question(MONTH, ("day", "customer"))).frame
    zeta = [row["revenue_usd"] for row in days.to_dicts() if row["customer"] == "zeta"]
    assert (len(zeta), sum(zeta)) == (30, Decimal(10))
    assert set(zeta) == {Decimal("0.333333333333"), Decimal("0.333333333334")}


def test_by_week_the_lowest_margin_of_each_comes_first(ledger: Ledger) -> None:
    # Weeks of 7 days: acme 7 dollars, beta 3.50. Costs: acme 13.1 and 5, beta 4 and 16.7
    asked = Question(WEEKS, ("week", "customer"), parse_where(["customer=acme,beta"]))
    assert MARGIN.answer(ledger, asked).frame.select("week", "customer", "margin_usd").rows() == [
        (date(2026, 11, 2), "acme", Decimal("-6.1")),
        (date(2026, 11, 2), "beta", Decimal("-0.5")),
        (date(2026, 11, 9), "beta", Decimal("-13.2")),
        (date(2026, 11, 9), "acme", Decimal(2)),
    ]


def test_a_row_of_calls_without_a_price_has_no_margin(tmp_path: Path) -> None:
    noon = datetime(2026, 11, 2, 12, tzinfo=UTC)
    lake = make_lake(tmp_path, [call(1, 1, noon, "unknown", customer_id="acme")])
    take_revenue(lake, read_revenue(PAID, "invoices.csv", NONE))
    answer = MARGIN.answer(Ledger(lake, EVERYTHING), Question(MONTH, ("customer",), parse_where(["customer=acme"])))
    assert answer.frame.select(*NAMES, "unpriced_calls").rows() == [("acme", Decimal(30), None, None, None, None, 1)]
    assert answer.notes[-1] == "no margin: 1 row none of whose calls has a price"


def test_revenue_without_any_call_is_there(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, [])
    take_revenue(lake, read_revenue(PAID, "invoices.csv", NONE))
    frame = MARGIN.answer(Ledger(lake, EVERYTHING), Question(MONTH, ("month", "customer"))).frame
    assert frame.select("month", "customer", "margin_usd").rows() == [
        (date(2026, 11, 1), "zeta", Decimal(10)),
        (date(2026, 11, 1), "beta", Decimal(15)),
        (date(2026, 11, 1), "acme", Decimal(30)),
    ]


def test_without_revenue_the_report_says_how_to_bring_it_in(tmp_path: Path) -> None:
    answer = MARGIN.answer(small_ledger(tmp_path), Question(WEEKS, ("customer",)))
    assert answer.frame["margin_usd"].sum() == Decimal("-41.8")
    assert answer.notes[-1] == "no revenue for these days; bring it in with: spanledger import revenue FILE"


@pytest.mark.parametrize(
    ("by", "where", "expected"),
    [
        (("model",), [], "no revenue is told by model"),
        (("customer",), ["environment=production"], "no revenue is told by environment"),
        (("hour", "customer"), [], "no revenue is told by hour"),
        (("day",), [], "needs to know whose"),
    ],
)
def test_what_revenue_is_not_told_by_is_refused(
    ledger: Ledger, by: tuple[str, ...], where: list[str], expected: str
) -> None:
    with pytest.raises(QuestionError, match=expected):
        MARGIN.answer(ledger, Question(WEEKS, by, parse_where(where)))


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_those_of_a_naive_count(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lake = make_lake(tmp_path, [_random_call(draw, number) for number in range(1, 150)])
    payments = [_random_payment(draw) for _ in range(30)]
    for place, source in enumerate(("a", "b", "a")):
        lines = "\n".join(",".join(payment) for payment in payments[place * 10 : place * 10 + 10])
        take_revenue(lake, read_revenue(f"customer,team,day,month,amount\n{lines}\n", source, NONE))
    first = date(2026, 10, 25) + timedelta(days=draw.randrange(10))
    calendar = Calendar(draw.choice(["UTC", "Asia/Kolkata"]), draw.choice([1, 24]))
    period = Period(first, first + timedelta(days=draw.randrange(12)), calendar)
    unit, who = draw.choice(UNITS[1:]), draw.choice(["customer", "team"])
    where = draw.choice([[], [f"{who}=x"], [f"{who}!="]])
    found = MARGIN.answer(Ledger(lake, EVERYTHING), Question(period, (unit, who), parse_where(where))).frame
    counted = payments[10:]  # what `a` said first is replaced
    expected = _naive(lake, counted, period, unit, who, where)
    assert {(row[0], row[1]): row[2:] for row in found.select(unit, who, "revenue_usd", "cost_usd").rows()} == expected
    for row in found.to_dicts():
        cost, revenue = row["cost_usd"], row["revenue_usd"] or Decimal(0)
        assert row["margin_usd"] == (None if cost is None else revenue - cost)


def _random_call(draw: random.Random, number: int) -> Row:
    start = datetime(2026, 10, 20, tzinfo=UTC) + timedelta(seconds=draw.randrange(30 * 86_400))
    told: Row = {"customer_id": draw.choice(["x", "y", "z", None]), "team_id": draw.choice(["x", "t", None])}
    return call(number, 1, start, draw.choice(["gpt-5", "unknown"]), draw.randrange(9_000), draw.randrange(900), **told)


def _random_payment(draw: random.Random) -> tuple[str, str, str, str, str]:
    who = draw.choice([("x", ""), ("y", "t"), ("w", "x"), ("", "t")])
    when = draw.choice([("", "2026-10"), ("", "2026-11"), (f"2026-11-{draw.randrange(1, 15):02}", "")])
    return (*who, *when, f"{draw.randrange(-(10**6), 10**8)}.{draw.randrange(10**6):06}")


def _naive(
    lake: Path, payments: list[tuple[str, str, str, str, str]], period: Period, unit: Unit, who: str, where: list[str]
) -> dict[tuple[object, ...], tuple[Decimal | None, Decimal | None]]:
    """Go through days and calls one by one."""

    def label(day: date) -> date:
        week = day - timedelta(days=day.weekday())
        return {"day": day, "week": week, "month": period.calendar.month_of(day)}[unit]

    def counts(name: str | None) -> bool:
        return not where or (name == "x" if where[0].endswith("=x") else name is not None)

    found: dict[tuple[object, ...], list[Decimal | None]] = {}
    for customer, team, day, month, amount in payments:
        name = (customer if who == "customer" else team) or None
        first = date.fromisoformat(day or f"{month}-01")
        length = 1 if day else 31 if month == "2026-10" else 30
        pico = int(Decimal(amount).scaleb(12))
        for passed in range(length):
            one = first + timedelta(days=passed)
            # As DuckDB's: towards zero.
            part = _towards_zero(pico * (passed + 1), length) - _towards_zero(pico * passed, length)
            if period.first <= one <= period.last and counts(name):
                row = found.setdefault((label(one), name), [None, Decimal(0)])
                row[0] = (row[0] or Decimal(0)) + Decimal(part).scaleb(-12)
    with connect(lake) as connection:
        calls = connection.sql(f"select start_time, {who}_id, cost_usd from llm_calls").fetchall()
    costs: dict[tuple[date, str | None], list[Decimal]] = {}
    for start, said, cost in calls:
        if period.begin <= start < period.end and counts(said or None):
            key = (label(period.calendar.today(start)), said or None)
            costs.setdefault(key, []).extend([] if cost is None else [cost])
    for key, known in costs.items():
        found.setdefault(key, [None, None])[1] = sum(known, Decimal(0)) if known else None
    return {key: (row[0], row[1]) for key, row in found.items()}


def _towards_zero(number: int, by: int) -> int:
    return -(-number // by) if number < 0 else number // by

"""What rose or fell most and why: by hand on the small ledger, and against a naive average over all orders."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from ledger_rows import Row, call, make_lake
from small_ledger import small_ledger
from spanledger_analytics.connection import Ledger
from spanledger_analytics.counting import refresh_rollups
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.reports.against import pair
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.decomposition import PARTS, decompose
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING

SECOND_WEEK = Period(date(2026, 11, 9), date(2026, 11, 15))
NOW = "2026-11-20T00:00"
MOVERS = REPORTS["movers"]


@pytest.fixture(scope="module", params=["spans", "rollups"])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    ledger = small_ledger(tmp_path_factory.mktemp("movers") / "lake")
    if request.param == "rollups":
        refresh_rollups(ledger.lake)
    return ledger


def test_what_moved_by_team_and_why(ledger: Ledger) -> None:
    answer = MOVERS.answer(ledger, Question(SECOND_WEEK, ("team",)), now=NOW)
    shown = answer.frame.select("team", "state", "cost_usd", "cost_before_usd", "change_usd")
    # growth: 3.50 + 1.20 + 3.00 + 6.00, nothing before.
    # search: 5.00 for 2 calls after 13.10 for 6; its parts are worked out below.
    # support: 3.00 for 1 priced call after 4.00 for 2 (local has no price).
    # no team: 1.00 for a call after 2.00 for one.
    assert shown.rows() == [
        ("growth", "new", Decimal("13.7"), Decimal(0), Decimal("13.7")),
        ("search", "both", Decimal(5), Decimal("13.1"), Decimal("-8.1")),
        ("support", "both", Decimal(3), Decimal(4), Decimal(-1)),
        (None, "both", Decimal(1), Decimal(2), Decimal(-1)),
    ]
    shares = [None, Decimal("-0.6183"), Decimal("-0.25"), Decimal("-0.5")]
    assert answer.frame["change_share"].to_list() == shares
    parts = {row["team"]: {name: row[name] for name in PARTS if row[name]} for row in answer.frame.to_dicts()}
    del parts["search"]
    # support: a call was $1 in and $1 out, now it is $1 in and $2 out. Volume: 1 call less x (1 + 1.5 on average);
    # output: $1 more x 1.5 calls on average. No team: 100k output tokens less.
    assert parts == {
        "growth": {"volume_usd": Decimal("13.7")},
        "support": {"volume_usd": Decimal("-2.5"), "output_usd": Decimal("1.5")},
        None: {"output_usd": Decimal(-1)},
    }


def test_parts_of_more_and_less_cached_input(ledger: Ledger) -> None:
    row = MOVERS.answer(ledger, Question(SECOND_WEEK, ("team",), parse_where(["team=search"])), now=NOW).frame.row(
        0, named=True
    )

    # Factors of the three products, before and now:
    #   uncached: 6 -> 2 calls, 6400k/6 -> 1200k input, 7/8 -> 1 uncached, $1.25 a million
    #   read:     6 -> 2 calls, 6400k/6 -> 1200k input, 1/8 -> 0 read, $0.125 a million
    #   output:   6 -> 2 calls, 100k, $10 a million: $1 a call
    def average(change: Fraction, a: tuple[Fraction, Fraction], b: tuple[Fraction, Fraction]) -> Fraction:
        return change * (2 * a[0] * b[0] + a[0] * b[1] + a[1] * b[0] + 2 * a[1] * b[1]) / 6

    calls = (Fraction(6), Fraction(2))
    tokens = (Fraction(64, 60), Fraction(12, 10))
    plain, read = (Fraction(7, 8), Fraction(1)), (Fraction(1, 8), Fraction(0))
    price, cached = Fraction(5, 4), Fraction(1, 8)
    expected = {
        "volume_usd": average(Fraction(-4), tokens, plain) * price + average(Fraction(-4), tokens, read) * cached - 4,
        "input_usd": (average(tokens[1] - tokens[0], calls, plain) * price)
        + average(tokens[1] - tokens[0], calls, read) * cached,
        "cache_usd": average(Fraction(1, 8), calls, tokens) * price - average(Fraction(1, 8), calls, tokens) * cached,
    }
    assert {name: row[name] for name in PARTS} == {name: near(expected.get(name, Fraction(0))) for name in PARTS}
    assert sum(row[name] for name in PARTS) == row["change_usd"] == Decimal("-8.1")


def near(value: Fraction) -> Any:
    return pytest.approx(Decimal(value.numerator) / value.denominator, abs=Decimal("1e-11"))


def test_the_biggest_mover_is_one_sentence(ledger: Ledger) -> None:
    notes = MOVERS.answer(ledger, Question(SECOND_WEEK, ("team",)), now=NOW).notes
    assert notes[:3] == (
        "2026-11-09 to 2026-11-15 against 2026-11-02 to 2026-11-08",
        "team growth rose most, by $13.70: it is new",
        "$22.70 for 8 calls",
    )
    notes = MOVERS.answer(ledger, Question(SECOND_WEEK, ("user",), parse_where(["team=support"])), now=NOW).notes
    assert notes[1] == "user cat fell most, by $1.00 (25.0 %), most of all by the number of calls: -$2.50"
    notes = MOVERS.answer(ledger, Question(SECOND_WEEK), now=NOW).notes
    assert notes[1].startswith("the total rose by $3.60 (18.8 %), most of all by the mix of models: $")


def test_only_the_largest_are_shown(ledger: Ledger) -> None:
    answer = MOVERS.answer(ledger, Question(SECOND_WEEK, ("team",)), now=NOW, top=1)
    assert answer.frame["team"].to_list() == ["growth"]
    assert answer.notes[2] == "3 smaller changes are left out, -$10.10 together; --top 0 shows all"
    assert MOVERS.answer(ledger, Question(SECOND_WEEK, ("team",)), now=NOW, top=0).frame.height == 4
    for by in (("team",), ("user", "feature"), ("model",), ("model", "team")):
        every = MOVERS.answer(ledger, Question(SECOND_WEEK, by), now=NOW, top=0).frame
        for top in (2, 3):
            assert MOVERS.answer(ledger, Question(SECOND_WEEK, by), now=NOW, top=top).frame.equals(every.head(top))


def test_swapping_the_periods_negates_every_part(ledger: Ledger) -> None:
    first_week = Period(date(2026, 11, 2), date(2026, 11, 8))
    for by in ((), ("team",), ("user", "feature"), ("model",)):
        there = MOVERS.answer(ledger, Question(SECOND_WEEK, by), now=NOW).frame
        back = MOVERS.answer(ledger, Question(first_week, by), now=NOW, against="2026-11-09..2026-11-15").frame
        parts = ("change_usd", *PARTS)
        swapped = [
            tuple(row[by_] for by_ in by) + tuple(row[name] and -row[name] for name in parts) for row in back.to_dicts()
        ]
        assert [tuple(row[name] for name in (*by, *parts)) for row in there.to_dicts()] == swapped


def test_a_cost_without_a_price_has_no_change(tmp_path: Path) -> None:
    days = [datetime(2026, 11, day, 9, tzinfo=UTC) for day in (2, 3)]
    lake = make_lake(tmp_path, [call(1, 1, days[0]), call(2, 1, days[1], "local")])
    answer = MOVERS.answer(
        Ledger(lake, EVERYTHING), Question(Period(date(2026, 11, 3), date(2026, 11, 3)), ("team",)), now=NOW
    )
    assert answer.frame.select("change_usd", "cost_before_usd", "volume_usd", "state").rows() == [
        (None, Decimal("0.00225"), None, "both")
    ]
    assert answer.notes[1] == "nothing rose or fell"


def test_time_is_nothing_that_two_periods_share(ledger: Ledger) -> None:
    with pytest.raises(QuestionError, match="can't be told apart by day here"):
        MOVERS.answer(ledger, Question(SECOND_WEEK, ("day",)))


KINDS = ("input", "cache_read", "cache_write", "output")
PRICES = {"input": Decimal(3), "cache_read": Decimal("0.3"), "cache_write": Decimal("3.75"), "output": Decimal(15)}


def cell(model: str, calls: int, tokens: Sequence[int], price: Decimal = Decimal(1), fee: Decimal = Decimal(0)) -> Row:
    """Build what a model came to: calls, uncached, read, written and output tokens, all at `price` times PRICES."""
    costs = {
        f"cost_{kind}": price * PRICES[kind] * count / 1_000_000 for kind, count in zip(KINDS, tokens, strict=True)
    }
    return {
        "model": model,
        "priced_calls": calls,
        "input_tokens": sum(tokens[:3]),
        "cache_read_tokens": tokens[1],
        "cache_write_tokens": tokens[2],
        "output_tokens": tokens[3],
        "cost_usd": sum(costs.values()) + fee,
        **costs,
    }


def test_only_what_changed_has_a_part() -> None:
    before = [cell("a", 7, (900, 4000, 77, 300), fee=Decimal("0.07")), cell("b", 3, (1000, 0, 0, 100))]
    nothing = dict.fromkeys(PARTS, Decimal(0))
    cost = sum(one["cost_usd"] for one in before)
    twice = [cell("a", 14, (1800, 8000, 154, 600), fee=Decimal("0.14")), cell("b", 6, (2000, 0, 0, 200))]
    assert decompose(twice, before) == nothing | {"volume_usd": cost}
    dearer = [cell("a", 7, (900, 4000, 77, 300), Decimal("1.1"), Decimal("0.07")), before[1]]
    assert decompose(dearer, before) == nothing | {"price_usd": (before[0]["cost_usd"] - Decimal("0.07")) / 10}
    longer = [before[0], cell("b", 3, (1500, 0, 0, 100))]
    assert decompose(longer, before) == nothing | {"input_usd": Decimal("0.0015")}
    wordier = [before[0], cell("b", 3, (1000, 0, 0, 300))]
    assert decompose(wordier, before) == nothing | {"output_usd": Decimal("0.003")}
    cached = [before[0], cell("b", 3, (0, 1000, 0, 100))]
    assert decompose(cached, before) == nothing | {"cache_usd": Decimal("-0.0027")}
    charged = [cell("a", 7, (900, 4000, 77, 300), fee=Decimal("0.10")), before[1]]
    assert decompose(charged, before) == nothing | {"other_usd": Decimal("0.03")}
    other = [cell("a", 6, (900, 0, 0, 0)), cell("b", 4, (300, 0, 0, 0))]
    mixed = decompose([cell("a", 4, (600, 0, 0, 0)), cell("b", 6, (450, 0, 0, 0))], other)
    assert mixed == nothing | {"mix_usd": Decimal("-0.00045")}


def random_cells(draw: random.Random) -> list[Row]:
    models = draw.sample("abcd", draw.randrange(4))
    return [
        cell(
            model,
            draw.randrange(1, 50),
            [draw.choice([0, draw.randrange(90_000)]) for _ in KINDS],
            Decimal(draw.randrange(1, 30)) / 10,
            draw.choice([Decimal(0), Decimal(draw.randrange(999)) / 1000]),
        )
        for model in models
    ]


def naive(now: Sequence[Row], before: Sequence[Row]) -> dict[str, Fraction]:
    """Change one factor after the other, in each of all orders, and average what each step changes."""
    sides = [{one["model"]: one for one in cells} for cells in (before, now)]

    def cost(changed: frozenset[str]) -> Fraction:
        def at(part: str) -> int:
            return int(part in changed)

        def known(part: str, ratio: Any) -> Fraction:
            found: list[Fraction | None] = [ratio(0), ratio(1)]
            value = found[at(part)]
            return (found[1 - at(part)] or Fraction(0)) if value is None else value

        def of(side: int, model: str, name: str) -> Fraction | None:
            return Fraction(sides[side][model][name]) if model in sides[side] else None

        def per(model: str, name: str, unit: str) -> Any:
            def ratio(side: int) -> Fraction | None:
                whole, units = of(side, model, name), of(side, model, unit)
                return None if whole is None or not units else whole / units

            return ratio

        volumes = [sum((Fraction(one["priced_calls"]) for one in side.values()), Fraction(0)) for side in sides]
        total = Fraction(0)
        for model in {**sides[0], **sides[1]}:
            counts = [of(side, model, "priced_calls") or Fraction(0) for side in (0, 1)]
            mix = known("mix_usd", lambda side, c=counts: c[side] / volumes[side] if volumes[side] else None)
            calls = volumes[at("volume_usd")] * mix
            for side in sides:
                if model in side:
                    one = side[model]
                    one["plain"] = one["input_tokens"] - one["cache_read_tokens"] - one["cache_write_tokens"]
                    one["fee"] = one["cost_usd"] - sum(one[f"cost_{kind}"] for kind in KINDS)
            inputs = calls * known("input_usd", per(model, "input_tokens", "priced_calls"))
            for kind, tokens in (
                ("input", "plain"),
                ("cache_read", "cache_read_tokens"),
                ("cache_write", "cache_write_tokens"),
            ):
                share = known("cache_usd", per(model, tokens, "input_tokens"))
                total += inputs * share * known("price_usd", per(model, f"cost_{kind}", tokens))
            words = calls * known("output_usd", per(model, "output_tokens", "priced_calls"))
            total += words * known("price_usd", per(model, "cost_output", "output_tokens"))
            total += calls * known("other_usd", per(model, "fee", "priced_calls"))
        return total

    subsets = {}
    orders = list(permutations(PARTS))
    parts = dict.fromkeys(PARTS, Fraction(0))
    for order in orders:
        for place, part in enumerate(order):
            for some in (frozenset(order[:place]), frozenset(order[: place + 1])):
                if some not in subsets:
                    subsets[some] = cost(some)
            parts[part] += (subsets[frozenset(order[: place + 1])] - subsets[frozenset(order[:place])]) / len(orders)
    return parts


@pytest.mark.parametrize("seed", range(8))
def test_parts_are_the_average_over_all_orders_and_add_up(seed: int) -> None:
    draw = random.Random(seed)
    now, before = random_cells(draw), random_cells(draw)
    found = decompose(now, before)
    change = sum(one["cost_usd"] for one in now) - sum(one["cost_usd"] for one in before)
    assert sum(found.values(), Decimal(0)) == change
    assert found == {part: near(value) for part, value in naive(now, before).items()}
    assert decompose(before, now) == {part: -value for part, value in found.items()}


def test_parts_of_random_ledgers_add_up_to_what_spend_says(tmp_path: Path) -> None:
    draw = random.Random(11)
    begin = datetime(2026, 11, 2, tzinfo=UTC)
    models = ["gpt-5", "gpt-5-mini", "claude-opus-4-5", "local"]
    rows = [
        call(number, 1, begin + timedelta(hours=draw.randrange(14 * 24)), draw.choice(models), draw.randrange(9_000),
             draw.randrange(900), cache_read=draw.choice([0, 700]), team_id=draw.choice(["a", "b", "c", None]))
        for number in range(1, 300)
    ]  # fmt: skip
    ledger = Ledger(make_lake(tmp_path, rows), EVERYTHING)
    frame = MOVERS.answer(ledger, Question(SECOND_WEEK, ("team", "model")), now=NOW, top=0).frame.drop_nulls(
        "change_usd"
    )
    assert all(sum(row[part] for part in PARTS) == row["change_usd"] for row in frame.to_dicts())
    weeks = Question(Period(date(2026, 11, 2), date(2026, 11, 15)), ("week",))
    spent = REPORTS["spend"].answer(ledger, weeks).frame["cost_usd"].to_list()
    assert (frame["cost_before_usd"].sum(), frame["cost_usd"].sum()) == tuple(spent)


UTC_DAYS: Mapping[str, tuple[tuple[str, str], str, str]] = {
    "previous": (("2026-11-09", "2026-11-11"), "previous", "2026-11-06 2026-11-08"),
    "week": (("2026-11-09", "2026-11-11"), "week", "2026-11-02 2026-11-04"),
    "two weeks": (("2026-11-09", "2026-11-17"), "week", "2026-10-26 2026-11-03"),
    "month": (("2026-11-09", "2026-11-11"), "month", "2026-10-09 2026-10-11"),
    "whole month": (("2026-02-01", "2026-02-28"), "month", "2026-01-01 2026-01-31"),
    "longer month": (("2026-03-20", "2026-03-31"), "month", "2026-02-20 2026-02-28"),
    "two months": (("2026-10-15", "2026-11-11"), "month", "2026-08-15 2026-09-11"),
    "year": (("2028-02-29", "2028-03-01"), "year", "2027-02-28 2027-03-01"),
    "named": (("2026-11-09", "2026-11-11"), "2026-01-01..2026-01-02", "2026-01-01 2026-01-02"),
}


@pytest.mark.parametrize("name", UTC_DAYS)
def test_what_days_are_compared_with(name: str) -> None:
    days, against, expected = UTC_DAYS[name]
    first, last = map(date.fromisoformat, days)
    found = pair(Period(first, last), against, datetime(2029, 1, 1, tzinfo=UTC))
    assert (found.period, f"{found.before.first} {found.before.last}") == (Period(first, last), expected)


def test_a_billing_month_is_compared_with_the_one_before() -> None:
    calendar = Calendar("UTC", 24)
    found = pair(Period(date(2026, 3, 24), date(2026, 4, 23), calendar), "month", datetime(2027, 1, 1, tzinfo=UTC))
    assert (found.before.first, found.before.last) == (date(2026, 2, 24), date(2026, 3, 23))
    assert found.sentence() == "2026-03-24 to 2026-04-23 against 2026-02-24 to 2026-03-23; 31 days against 28"


def test_a_day_that_is_not_over_is_compared_up_to_the_same_time() -> None:
    calendar = Calendar("Europe/Berlin")
    now = datetime(2026, 10, 28, 13, 17, tzinfo=UTC)
    found = pair(Period(date(2026, 10, 26), date(2026, 11, 1), calendar), "week", now)
    # 14:17 in Berlin, in winter; a week before it was summer.
    assert (found.period.last, found.period.end) == (date(2026, 10, 28), datetime(2026, 10, 28, 13, 15, tzinfo=UTC))
    assert (found.before.last, found.before.end) == (date(2026, 10, 21), datetime(2026, 10, 21, 12, 15, tzinfo=UTC))
    assert found.sentence() == (
        "2026-10-26 to 2026-10-28 14:15 against 2026-10-19 to 2026-10-21 14:15; "
        "the last day isn't over, so both are counted up to the same time"
    )


@pytest.mark.parametrize(
    ("against", "expected"),
    [
        ("decade", "can't compare with 'decade'; choose previous, week, month, year or FROM..TO"),
        ("2026-02-30..2026-03-01", "can't read the days"),
        ("2026-11-01..2026-11-30", "isn't over"),
    ],
)
def test_what_cannot_be_compared_with_says_what_can(against: str, expected: str) -> None:
    with pytest.raises(QuestionError, match=expected):
        pair(SECOND_WEEK, against, datetime(2026, 11, 20, tzinfo=UTC))


def test_days_that_have_not_begun_are_refused() -> None:
    with pytest.raises(QuestionError, match="2026-11-09 hasn't begun"):
        pair(SECOND_WEEK, "week", datetime(2026, 11, 8, tzinfo=UTC))

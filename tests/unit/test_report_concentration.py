"""Who makes most of the cost, on a ledger that can be added up by hand and on random ones."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from ledger_rows import Row, call, make_lake
from small_ledger import small_ledger
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.concentration import gini, rounded
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.reports.totals import totals
from spanledger_analytics.reports.weights import divided, parts_of
from spanledger_analytics.scope import EVERYTHING

WEEKS = Period(date(2026, 11, 2), date(2026, 11, 15))
CONCENTRATION = REPORTS["concentration"]
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return small_ledger(tmp_path_factory.mktemp("concentration") / "lake")


def test_users_by_rank(ledger: Ledger) -> None:
    answer = CONCENTRATION.answer(ledger, Question(WEEKS, ("user",)))
    assert answer.frame.rows() == [
        ("eve", 1, Decimal("13.7"), Decimal("0.327751"), Decimal("0.327751"), 4, 0, 0),
        ("ann", 2, Decimal("13.1"), Decimal("0.313397"), Decimal("0.641148"), 5, 0, 0),
        ("cat", 3, Decimal(7), Decimal("0.167464"), Decimal("0.808612"), 4, 1, 0),
        ("bob", 4, Decimal(5), Decimal("0.119617"), Decimal("0.928230"), 3, 0, 1),
        ("dan", 5, Decimal(3), Decimal("0.071770"), Decimal(1), 2, 0, 0),
    ]
    # 80 % of $41.80 are $33.44: eve, ann and cat make $33.80.
    # Gini: 2 (1 x 3 + 2 x 5 + 3 x 7 + 4 x 13.1 + 5 x 13.7) / (5 x 41.8) - 6 / 5 = 309.8 / 209 - 1.2
    assert answer.notes[-3:] == (
        "3 of 5 users (60.0 %) make 80.9 % of the cost",
        "the dearest: eve, $13.70 (32.8 %)",
        "Gini coefficient 0.282 (0: all alike, 1: one has it all)",
    )


def test_what_names_nobody_is_the_last_row_and_has_no_part_in_the_80_20_line(ledger: Ledger) -> None:
    answer = CONCENTRATION.answer(ledger, Question(WEEKS, ("customer",)))
    columns = ("customer", "rank", "cost_usd", "cumulative_share", "calls")
    assert answer.frame.select(columns).rows() == [
        ("beta", 1, Decimal("20.7"), Decimal("0.495215"), 8),
        ("acme", 2, Decimal("18.1"), Decimal("0.928230"), 8),
        (None, None, Decimal(3), Decimal(1), 2),
    ]
    assert answer.notes[-4:] == (
        "2 of 2 customers (100.0 %) make 100.0 % of the cost that names one",
        "the dearest: beta, $20.70 (53.4 %)",
        "Gini coefficient 0.034 (0: all alike, 1: one has it all)",
        "unallocated: 2 calls (11.1 %), $3.00 (7.2 %) that name no customer",
    )


def test_what_has_no_price_has_a_rank_and_no_part_in_the_gini(ledger: Ledger) -> None:
    answer = CONCENTRATION.answer(ledger, Question(WEEKS, ("model",), parse_where(["user=cat"])))
    assert answer.frame.select("model", "rank", "cost_usd", "cost_share", "unpriced_calls").rows() == [
        ("gpt-5-mini", 1, Decimal(7), Decimal(1), 0),
        ("local", 2, None, Decimal(0), 1),
    ]
    assert "1 of 1 model (100.0 %) make 100.0 % of the cost" in answer.notes
    assert "Gini coefficient 0.000 (0: all alike, 1: one has it all)" in answer.notes


@pytest.mark.parametrize("by", [(), ("day", "user")])
def test_ranks_are_of_all_the_days(ledger: Ledger, by: tuple[str, ...]) -> None:
    with pytest.raises(QuestionError, match="no unit of time"):
        CONCENTRATION.answer(ledger, Question(WEEKS, by))


def test_no_calls_are_no_rows(tmp_path: Path) -> None:
    answer = CONCENTRATION.answer(Ledger(make_lake(tmp_path, []), EVERYTHING), Question(WEEKS, ("user",)))
    assert (answer.frame.height, answer.notes) == (0, ("no calls in these days",))


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ([], None),
        ([0, 0], None),
        ([5, 5, 5], Fraction(0)),
        ([0, 0, 0, 7], Fraction(3, 4)),
        ([1, 3], Fraction(1, 4)),
    ],
)
def test_gini(amounts: list[int], expected: Fraction | None) -> None:
    assert gini(pl.Series(amounts, dtype=pl.Int128)) == expected


def test_gini_is_half_the_mean_difference_over_the_mean() -> None:
    draw = random.Random(3)
    amounts = [draw.randrange(10**9) for _ in range(40)]
    differences = sum(abs(one - other) for one in amounts for other in amounts)
    assert gini(pl.Series(amounts, dtype=pl.Int128)) == Fraction(differences, 2 * len(amounts) * sum(amounts))


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(1, 3, "0.333333"), (2, 3, "0.666667"), (-1, 8, "-0.125"), (1, 2_000_000, "0.000001"), (0, 5, "0")],
)
def test_shares_are_rounded_half_up(part: int, whole: int, expected: str) -> None:
    assert rounded(part, whole) == Decimal(expected)
    assert rounded(part, 0) is None


THIRD = Fraction(1, 3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", {"a": 1}),
        ("a:0.7|b:0.3", {"a": Fraction(7, 10), "b": Fraction(3, 10)}),
        ("a:7 | b:3", {"a": Fraction(7, 10), "b": Fraction(3, 10)}),
        ("a|b|c", {"a": THIRD, "b": THIRD, "c": THIRD}),
        ("a|b|a", {"a": 2 * THIRD, "b": THIRD}),
        ("urn:x:a:1|b:2", {"urn:x:a": THIRD, "b": 2 * THIRD}),
        ("urn:a|urn:b", {"urn:a": Fraction(1, 2), "urn:b": Fraction(1, 2)}),
        ("a:1|b:0", {"a": 1, "b": 0}),
        *((whole, {whole: 1}) for whole in ("a:0.7|b", "a:-1|b:2", "a|", "|", "a:0|b:0", "a:nan|b:1", "a:0.7", "")),
    ],
)
def test_values_that_name_several(value: str, expected: dict[str, Fraction]) -> None:
    assert parts_of(value) == expected


def test_parts_are_whole_and_add_up() -> None:
    assert divided(10, [THIRD, THIRD, THIRD]) == [4, 3, 3]
    assert divided(1, [Fraction(3, 10), Fraction(7, 10)]) == [0, 1]
    assert divided(-10, [THIRD, 2 * THIRD]) == [-3, -7]
    draw = random.Random(9)
    for _ in range(200):
        weights = [draw.randrange(1, 1000) for _ in range(draw.randrange(1, 9))]
        shares = [Fraction(weight, sum(weights)) for weight in weights]
        whole = draw.randrange(10**18)
        parts = divided(whole, shares)
        assert sum(parts) == whole
        assert all(abs(part - whole * share) < 1 for part, share in zip(parts, shares, strict=True))


def test_several_tags_on_a_call_divide_it(tmp_path: Path) -> None:
    # 800k of gpt-5 is $1; one token is 1,250,000 pico-dollars, so 416,666 for each of three and 2 left over.
    said = [("a", 800_000), ("a:0.7|b:0.3", 800_000), ("b:3|c:1", 1_600_000), (None, 800_000), ("a|b|c", 1)]
    calls = [
        call(number, 1, NOON, "gpt-5", uncached, 0, tags={"project": tag} if tag else None)
        for number, (tag, uncached) in enumerate(said, 1)
    ]
    ledger = Ledger(make_lake(tmp_path, calls), EVERYTHING)
    asked = Question(WEEKS, ("tag.project",))
    answer = CONCENTRATION.answer(ledger, asked, split=True)
    assert answer.frame.select("tag.project", "cost_usd", "calls").rows() == [
        ("b", Decimal("1.800000416667"), 1),
        ("a", Decimal("1.700000416667"), 3),
        ("c", Decimal("0.500000416666"), 0),
        (None, Decimal(1), 1),
    ]
    assert "divided by their weights: 3 values that name several" in answer.notes
    whole = CONCENTRATION.answer(ledger, asked).frame
    assert (whole.height, whole["cost_usd"].sum()) == (5, answer.frame["cost_usd"].sum())


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_those_of_a_naive_count(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lake = make_lake(tmp_path, [_random_call(draw, number) for number in range(1, 200)])
    ledger = Ledger(lake, EVERYTHING)
    with connect(lake) as connection:
        calls = connection.sql("select tags['p'] as p, cost_usd, input_tokens from llm_calls").fetchall()
    naive: dict[str | None, Fraction] = {}
    for tag, cost, _ in calls:
        for name, share in parts_of(tag).items() if tag else [(None, Fraction(1))]:
            naive[name] = naive.get(name, Fraction(0)) + share * Fraction(cost or 0)
    frame = CONCENTRATION.answer(ledger, Question(WEEKS, ("tag.p",)), split=True).frame
    found = dict(zip(frame["tag.p"], frame["cost_usd"], strict=True))
    assert found.keys() == naive.keys()
    # One rounding for each value that is divided, of which there are six.
    assert all(abs(Fraction(found[name] or 0) - naive[name]) <= Fraction(6, 10**12) for name in naive)
    total = totals(ledger, Question(WEEKS))
    for column in ("calls", "cost_usd", "unpriced_calls"):
        assert frame[column].sum() == total[column][0], column
    ranked = frame.filter(pl.col("rank").is_not_null())
    assert ranked["rank"].to_list() == list(range(1, ranked.height + 1))
    assert ranked["cost_usd"].drop_nulls().to_list() == sorted(ranked["cost_usd"].drop_nulls(), reverse=True)
    assert frame["cumulative_share"][-1] == 1


def _random_call(draw: random.Random, number: int) -> Row:
    tag = draw.choice([None, "a", "b", "a|b", "a:1|b:2", "c:0.1|a:0.9", "b:7|c:5|d:1", "a|b|c", "d:2|c:2"])
    model = draw.choice(["gpt-5", "claude-haiku-4-5", "unknown"])
    start = NOON + timedelta(seconds=draw.randrange(86_400))
    return call(number, 1, start, model, draw.randrange(9_000), draw.randrange(900), tags={"p": tag} if tag else None)

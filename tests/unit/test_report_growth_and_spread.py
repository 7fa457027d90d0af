"""How context grows, and why requests differ in cost: by hand, and against naive second ways."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from fingerprinted import hotel_with_fingerprints, random_prompts, sized
from ledger_rows import Row, call, make_lake
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.reports.spread import FACTORS, doubling
from spanledger_analytics.scope import EVERYTHING

DAY = date(2026, 11, 3)
START = datetime(2026, 11, 3, 9, tzinfo=UTC)
ASKED = Question(Period(DAY, DAY))
GROWTH, SPREAD = REPORTS["growth"], REPORTS["spread"]


def test_each_step_of_the_standard_agent_sends_more(tmp_path: Path) -> None:
    """3,000, 4,550, 5,400 tokens; $0.0315, $0.056, $0.06. History is 100 of 4,550 and 1,950 of 5,400."""
    rows = [*hotel_with_fingerprints(7, START), call(8, 1, START, "gpt-5", 1000, 0, **sized(0, 0, 0, 0, 9, chain=[9]))]
    ledger = Ledger(make_lake(tmp_path, rows), EVERYTHING)
    answer = GROWTH.answer(ledger, ASKED)
    assert answer.frame.rows() == [
        (1, 2, 2000, None, 0, Decimal("0.016375"), Decimal("0.03275")),
        (2, 1, 4550, 1550, Decimal("0.021978"), Decimal("0.056"), Decimal("0.056")),
        (3, 1, 5400, 850, Decimal("0.361111"), Decimal("0.06"), Decimal("0.06")),
    ]
    assert answer.notes[-1] == (
        "calls after the first of a conversation: $0.12 (78.0 % of the cost); each sends 1,200 tokens more than the "
        "one before it"
    )
    assert GROWTH.answer(ledger, ASKED, most=2).frame.select("step", "calls", "input_tokens", "cost_usd").rows() == [
        (1, 2, 2000, Decimal("0.03275")),
        (2, 2, 4975, Decimal("0.116")),
    ]


def test_steps_are_those_of_a_naive_count_and_add_up(tmp_path: Path) -> None:
    ledger = Ledger(make_lake(tmp_path, random_prompts(random.Random(3), 300, DAY, 1)), EVERYTHING)
    with connect(ledger.lake) as connection:
        calls = connection.sql("select * from llm_calls order by start_time, span_id").pl().to_dicts()
    asked = Question(Period(DAY, DAY), ("feature",))
    found: dict[tuple[object, int], list[int]] = {}
    last: dict[tuple[object, ...], tuple[int, int]] = {}
    for one in calls:
        conversation = (one["trace_id"], one["prefix_chain"][0] if one["prefix_chain"] else one["response_model"])
        step, before = last.get(conversation, (0, 0))
        last[conversation] = step + 1, one["input_tokens"]
        row = found.setdefault((one["feature"], step + 1), [0, 0, 0])
        row[0] += 1
        row[1] += int((one["cost_usd"] or 0) * 10**12)
        row[2] += one["input_tokens"] - before if step else 0
    frame = GROWTH.answer(ledger, asked, most=1000).frame
    assert {
        (row["feature"], row["step"]): [row["calls"], int((row["cost_usd"] or 0) * 10**12)] for row in frame.to_dicts()
    } == {key: row[:2] for key, row in found.items()}
    half = Decimal("0.5")
    assert {(row["feature"], row["step"]): row["grown_tokens"] for row in frame.to_dicts() if row["step"] > 1} == {
        key: int((abs(Decimal(grown) / count) + half) // 1) * (1 if grown >= 0 else -1)
        for key, (count, _, grown) in found.items()
        if key[1] > 1
    }


def balanced(count: int = 40) -> list[Row]:
    """Return requests of two users and two features whose cost is told by the model alone: $0.04 or $0.008."""
    models = ("claude-opus-4-5", "claude-haiku-4-5")
    return [
        call(n, 1, START, models[n % 2], 8000, 0, user_id=f"u{n // 2 % 2}", feature=f"f{n // 4 % 2}")
        for n in range(count)
    ]


def test_what_the_model_alone_decides_is_explained_by_the_model(tmp_path: Path) -> None:
    answer = SPREAD.answer(Ledger(make_lake(tmp_path, balanced()), EVERYTHING), ASKED)
    assert answer.frame.rows()[0] == ("model", 1.0, 1.0, 1.0, 2, "claude-opus-4-5", 5.0)
    others = {row[0]: row[1:4] for row in answer.frame.rows()[1:-1]}
    assert others == {factor: (0, 0, 0) for factor in FACTORS if factor != "model"}
    assert answer.frame.rows()[-1][:2] == ("rest", 0)
    assert answer.notes == (
        "model explains most of how 40 requests differ in cost: 100 %; at claude-opus-4-5 they cost 5.0 times what "
        "they do at the cheapest",
        "not explained by any of them: 0 %",
    )


def test_too_few_requests_or_equal_ones_have_nothing_to_explain(tmp_path: Path) -> None:
    few = SPREAD.answer(Ledger(make_lake(tmp_path / "few", balanced(29)), EVERYTHING), ASKED)
    assert (few.frame.rows(), few.notes) == (
        [],
        ("29 requests with a cost are too few to explain their spread; it takes 30",),
    )
    same = SPREAD.answer(Ledger(make_lake(tmp_path / "same", balanced(80)[::2]), EVERYTHING), ASKED)
    assert same.notes == ("all 40 requests cost the same",)


@pytest.mark.parametrize(
    ("number", "level"), [(0, "0"), (1, "1"), (2, "2-3"), (3, "2-3"), (4, "4-7"), (1023, "512-1023")]
)
def test_numbers_have_levels_by_doublings(number: int, level: str) -> None:
    assert doubling(number) == level


def naive(requests: Sequence[Row]) -> dict[str, float]:
    """Fit every set of factors to all requests, one column a level, and take the mean over all 720 orders."""
    y = np.array([float(one["cost"]) for one in requests])
    y = np.log(y) - np.log(y).mean()
    known: dict[frozenset[str], float] = {frozenset(): 0.0}

    def explained(some: frozenset[str]) -> float:
        if some not in known:
            columns = [np.ones(len(requests))]
            for factor in sorted(some):
                levels = sorted({one[factor] for one in requests})
                columns += [np.array([float(one[factor] == level) for one in requests]) for level in levels]
            x = np.array(columns).T
            fitted = x @ np.linalg.lstsq(x, y, rcond=None)[0]
            known[some] = 1 - float(((y - fitted) ** 2).sum() / (y**2).sum())
        return known[some]

    sums = dict.fromkeys(FACTORS, 0.0)
    orders = list(permutations(FACTORS))
    for order in orders:
        for place, factor in enumerate(order):
            sums[factor] += explained(frozenset(order[: place + 1])) - explained(frozenset(order[:place]))
    return {factor: total / len(orders) for factor, total in sums.items()}


def test_factors_explain_what_a_naive_fit_says_and_all_add_up_to_one(tmp_path: Path) -> None:
    draw = random.Random(8)
    rows: list[Row] = []
    requests = []
    for trace in range(1, 120):
        model, user = draw.choice(["gpt-5", "claude-opus-4-5", "gpt-5-mini"]), draw.choice(["ann", "bob", "eve"])
        turns, feature = draw.randrange(1, 5), draw.choice(["x", None])
        told = [(draw.randrange(100, 9000), draw.randrange(3)) for _ in range(turns)]
        calls = [
            call(
                trace, n, START + timedelta(seconds=n), model, tokens, 50, feature=feature, user_id=user,
                tool_results_size=results,
            )
            for n, (tokens, results) in enumerate(told)
        ]  # fmt: skip
        rows += calls
        cost = sum(one["cost_usd"] for one in calls)
        tools = sum(results > 0 for _, results in told)
        level = {"length": doubling(told[0][0]), "turns": doubling(turns), "tools": doubling(tools)}
        requests.append(level | {"cost": cost, "model": model, "feature": feature or "-", "user": user})
    frame = SPREAD.answer(Ledger(make_lake(tmp_path, rows), EVERYTHING), ASKED).frame
    found = dict(frame.select("factor", "explained_share").rows())
    assert {factor: found[factor] for factor in FACTORS} == pytest.approx(naive(requests), abs=2e-6)
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)

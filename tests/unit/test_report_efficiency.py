"""What was paid for that brought little: by hand, and against a naive look at random calls."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from fingerprinted import random_prompts
from ledger_rows import PRICES, Row, call, make_lake
from small_ledger import small_ledger
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING

DAY = date(2026, 11, 3)
START = datetime(2026, 11, 3, 9, tzinfo=UTC)
EFFICIENCY = REPORTS["efficiency"]
OPUS, MINI = "claude-opus-4-5", "gpt-5-mini"

CALLS: Final[list[tuple[str, int, int, Row]]] = [
    (OPUS, 1000, 100, {}),  # easy: 0.005 + 0.0025; at gpt-5-mini 0.00025 + 0.0002, so 0.00705 more
    (MINI, 1000, 100, {}),  # easy, and cheap
    (OPUS, 1000, 100, {"tool_count": 2}),
    (OPUS, 5000, 500, {"max_tokens": 500, "finish_reason": "max_tokens"}),  # cut off: 0.025 + 0.0125
    (OPUS, 5000, 450, {"max_tokens": 500, "finish_reason": "end_turn"}),  # near: 0.025 + 0.01125
    (OPUS, 5000, 100, {"max_tokens": 4000, "finish_reason": "end_turn"}),  # 3,900 left over
    (OPUS, 5000, 0, {"status": "error"}),  # 0.025
    (OPUS, 4000, 0, {}),  # empty: 0.02
    ("text-embedding-3-small", 5000, 0, {"operation": "embeddings"}),
    (OPUS, 5000, 300, {"attempts": 3, "retry_cost_usd": Decimal("0.05")}),
]
"""Model, tokens in and out, and what else; all of one feature. Dollars in all: 0.0075 + 0.00045 + 0.0075 + 0.0375 +
0.03625 + 0.0275 + 0.025 + 0.02 + 0.0001 + 0.0325 = 0.1943."""


def by_hand() -> list[Row]:
    rows = [
        call(number, 1, START, model, tokens, output, feature="f", **more)
        for number, (model, tokens, output, more) in enumerate(CALLS, 1)
    ]
    return [*rows, call(99, 1, START, OPUS, 1000, 100, feature="g")]


def test_each_finding_has_its_calls_and_dollars_the_dearest_first(tmp_path: Path) -> None:
    ledger = Ledger(make_lake(tmp_path, by_hand()), EVERYTHING)
    answer = EFFICIENCY.answer(ledger, Question(Period(DAY, DAY), ("feature",)))
    share = [Decimal(text) for text in ("0.257334", "0.193001", "0.186567", "0.128667", "0.102934", "0.036284", "0")]
    assert answer.frame.select(
        "feature", "finding", "cost_usd", "cost_share", "calls", "tokens", "cheaper_models"
    ).rows() == [
        ("f", "retries", Decimal("0.05"), share[0], 1, 0, None),
        ("f", "truncated", Decimal("0.0375"), share[1], 1, 5500, None),
        ("f", "near_cap", Decimal("0.03625"), share[2], 1, 5450, None),
        ("f", "failed", Decimal("0.025"), share[3], 1, 5000, None),
        ("f", "empty", Decimal("0.02"), share[4], 1, 4000, None),
        ("f", "dear_model", Decimal("0.00705"), share[5], 1, 1100, MINI),
        ("f", "unused_cap", Decimal(0), share[6], 1, 3900, None),
    ]
    assert answer.notes[2] == (
        "retries: $0.05 (24.8 % of the cost), 1 call: calls of several attempts: what failed ones may have been "
        "billed, estimated, outside the cost of calls"
    )
    assert answer.notes[7].startswith("dear_model: $0.007050 (3.5 % of the cost), 1 call: easy calls")


def test_what_was_cut_off_is_known_however_its_provider_says_so(tmp_path: Path) -> None:
    """OpenAI (chat, responses), Anthropic, Gemini, Bedrock's Converse and Titan, Mistral, Cohere, watsonx."""
    cut = [
        "length",
        "max_output_tokens",
        "max_tokens",
        "MAX_TOKENS",
        "FinishReason.MAX_TOKENS",
        "LENGTH",
        "model_length",
    ]
    cut += ["model_context_window_exceeded", "ERROR_LIMIT", "token_limit"]
    ended = ["stop", "end_turn", "STOP", "tool_calls", "content_filter", "refusal", "pause_turn", "max", "", None]
    rows = [
        call(number, 1, START, OPUS, 5000, 500, finish_reason=reason) for number, reason in enumerate([*cut, *ended], 1)
    ]
    found = EFFICIENCY.answer(Ledger(make_lake(tmp_path, rows), EVERYTHING), Question(Period(DAY, DAY))).frame
    assert found.select("finding", "calls", "cost_usd").rows() == [("truncated", 10, Decimal("0.375"))]


def test_the_small_ledger_pays_for_a_failure_and_two_empty_answers(tmp_path: Path) -> None:
    """The failed call is told as that; of 18 calls two more said nothing, $2 and $1; none is easy.

    Sessions s1, s2, s4 of find ended well: 8.8M tokens in and 0.8M out, a third each. In all 24.8M and
    3.32M, for four.
    """
    asked = Question(Period(date(2026, 11, 2), date(2026, 11, 15)), ("feature", "model"))
    answer = EFFICIENCY.answer(small_ledger(tmp_path), asked)
    assert answer.frame.select("feature", "finding", "cost_usd", "calls", "success_tokens").rows() == [
        ("find", "empty", Decimal(2), 1, 3_200_000),
        (None, "empty", Decimal(1), 1, None),
        ("find", "failed", Decimal(1), 1, 3_200_000),
    ]
    assert answer.notes[-1] == ("a success took 7,030,000 tokens, those of work without success included (4 of them)")


def random_rows(seed: int) -> list[Row]:
    draw = random.Random(seed)
    rows = random_prompts(draw, 300, DAY, 1)
    for row in rows:
        cap = draw.choice([None, draw.randrange(1, 2000)])
        row |= {"max_tokens": cap, "finish_reason": draw.choice(["stop", "length", "MAX_TOKENS", None])}
        row |= {"tool_count": draw.choice([None, 0, 3]), "attempts": draw.choice([1, 1, 2])}
        row["retry_cost_usd"] = Decimal(draw.randrange(9)) / 1000 if row["attempts"] > 1 else None
    return rows


def price(model: str, one: Row) -> Decimal:
    plain, output = Decimal(PRICES[model][1]), Decimal(PRICES[model][4])
    dollars: Decimal = (plain * one["input_tokens"] + output * one["output_tokens"]) / 1_000_000
    return dollars


def naive(calls: Sequence[Row], short_in: int, short_out: int) -> dict[tuple[object, ...], tuple[Decimal, int, int]]:
    """Look at each call; return dollars, calls and tokens by feature and finding."""
    found: dict[tuple[object, ...], tuple[Decimal, int, int]] = {}

    def add(one: Row, finding: str, cost: Decimal | None, tokens: int) -> None:
        usd, count, summed = found.get((one["feature"], finding), (Decimal(0), 0, 0))
        found[one["feature"], finding] = usd + (cost or 0), count + 1, summed + tokens

    for one in calls:
        tokens, output, cap = one["input_tokens"] + one["output_tokens"], one["output_tokens"], one["max_tokens"]
        failed, cut = one["status"] == "error", one["finish_reason"] in ("length", "MAX_TOKENS")
        if one["attempts"] > 1:
            add(one, "retries", one["retry_cost_usd"], 0)
        if failed:
            if one["cost_usd"]:
                add(one, "failed", one["cost_usd"], tokens)
            continue
        if cut:
            add(one, "truncated", one["cost_usd"], tokens)
        if cap and 10 * output >= 9 * cap and not cut:
            add(one, "near_cap", one["cost_usd"], tokens)
        if cap and 2 * output <= cap:
            add(one, "unused_cap", None, cap - output)
        if not output and one["input_tokens"] and not cut:
            add(one, "empty", one["cost_usd"], tokens)
    for feature in {one["feature"] for one in calls}:
        priced = [one for one in calls if one["feature"] == feature and one["cost_usd"] and one["status"] != "error"]
        easy = [
            one
            for one in priced
            if 0 < one["input_tokens"] <= short_in and one["output_tokens"] <= short_out and not one["tool_count"]
            and one["output_tokens"]
        ]  # fmt: skip
        models = {one["response_model"] for one in priced if one["output_tokens"]}
        best = min(sorted(models), key=lambda model: sum(price(model, one) for one in easy))
        for one in easy:
            over = one["cost_usd"] - price(best, one)
            if one["response_model"] != best and over > 0:
                add(one, "dear_model", over, one["input_tokens"] + one["output_tokens"])
    return found


def test_findings_are_those_of_a_naive_look(tmp_path: Path) -> None:
    ledger = Ledger(make_lake(tmp_path, random_rows(5)), EVERYTHING)
    period = Period(DAY, DAY + timedelta(days=1))
    frame = EFFICIENCY.answer(ledger, Question(period, ("feature",)), short_in=12_000, short_out=700).frame
    with connect(ledger.lake) as connection:
        calls = connection.sql("select * from llm_calls").pl().to_dicts()
    expected = naive(calls, 12_000, 700)
    assert {
        (row["feature"], row["finding"]): (row["cost_usd"] or 0, row["calls"], row["tokens"])
        for row in frame.to_dicts()
    } == (expected)
    by_user = EFFICIENCY.answer(ledger, Question(period, ("user",)), short_in=12_000, short_out=700).frame
    for finding in ("failed", "truncated", "dear_model"):
        sums = [each.filter(each["finding"] == finding)["cost_usd"].sum() for each in (frame, by_user)]
        assert sums[0] == sums[1] > 0

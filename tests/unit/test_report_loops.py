"""Prompts that go round in circles are those of a naive count over random ledgers."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import Phase, given, settings, strategies as st
from polars.testing import assert_frame_equal

from ledger_rows import Row, call, make_lake
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING

DAY = date(2026, 11, 3)
LOOPS = REPORTS["loops"]


def random_loops(draw: random.Random, count: int = 120) -> list[Row]:
    """Return calls of a few traces that send a few prompts, from the evening before DAY to the morning after it."""
    begin = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) - timedelta(hours=2)
    rows = []
    for number in range(count):
        prompt: Row = draw.choice(
            [
                {"prefix_chain": [1, draw.randrange(3)], "prompt_hash": "whole"},
                {"prefix_chain": draw.choice([None, []]), "prompt_hash": draw.choice(["a", "b", None])},
            ]
        )
        start = begin + timedelta(hours=draw.randrange(28), seconds=draw.choice([0, 0, draw.randrange(3600)]))
        model = draw.choice(["gpt-5", "unknown-model", draw.choice(["gpt-5", "claude-haiku-4-5"])])
        feature = draw.choice(["x", "y", "", None])
        told = {"feature": feature, "user_id": draw.choice(["ann", None]), **prompt}
        rows.append(
            call(draw.randrange(1, 4), number, start, model, draw.randrange(9_000), draw.choice([0, 90]), **told)
        )
    return rows


def naive(calls: Sequence[Row], times: int) -> list[tuple[Any, ...]]:
    """Put calls of one trace, model, prompt and feature on a heap, and look at those that are high enough."""
    heaps: dict[tuple[str, str, str, str | None], list[Row]] = {}
    for one in sorted(calls, key=lambda row: (row["start_time"], row["span_id"])):
        prompt = str(one["prefix_chain"][-1]) if one["prefix_chain"] else one["prompt_hash"]
        if prompt is not None:
            heaps.setdefault((one["trace_id"], one["response_model"], prompt, one["feature"] or None), []).append(one)
    found = [
        (
            *(trace, heap[0]["start_time"], model, feature, len(heap)),
            *(cost(heap[1:]), cost(heap), prompt),
        )
        for (trace, model, prompt, feature), heap in heaps.items()
        if len(heap) >= times
    ]
    return sorted(
        found, key=lambda row: (row[5] is None, -(row[5] or 0), row[0], row[2], row[7], row[1], row[3] is None, row[3])
    )


def cost(calls: Sequence[Row]) -> Decimal | None:
    known = [one["cost_usd"] for one in calls if "cost_usd" in one]
    return sum(known, Decimal(0)) if known else None


@settings(max_examples=3, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 2**32), st.integers(2, 5))
def test_loops_are_those_of_a_naive_count(seed: int, times: int) -> None:
    rows = random_loops(random.Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(make_lake(Path(folder) / "lake", rows), EVERYTHING)
        period = Period(DAY, DAY)
        found = LOOPS.answer(ledger, Question(period), times=times).frame
        of_ann = LOOPS.answer(ledger, Question(period, (), parse_where(["user=ann"])), times=times).frame
    calls = [row for row in rows if row["start_time"].date() == DAY]
    for frame, some in ((found, calls), (of_ann, [row for row in calls if row["user_id"] == "ann"])):
        assert_frame_equal(frame, pl.DataFrame(naive(some, times), schema=frame.schema, orient="row"))

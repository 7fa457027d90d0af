"""What calls say of themselves, on a ledger that can be added up by hand and on random ones."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ledger_rows import Row, call, make_lake
from small_ledger import small_ledger
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING

WEEKS = Period(date(2026, 11, 2), date(2026, 11, 15))
COVERAGE = REPORTS["tag-coverage"]
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def test_what_calls_say(tmp_path: Path) -> None:
    # All but the two calls of dan, $3.00, say everything; he says who he is.
    answer = COVERAGE.answer(small_ledger(tmp_path), Question(WEEKS))
    most = (16, Decimal("0.888889"), Decimal("38.8"), Decimal("0.928230"))
    assert answer.frame.rows() == [
        ("team", *most),
        ("customer", *most),
        ("user", 18, Decimal(1), Decimal("41.8"), Decimal(1)),
        ("feature", *most),
        ("session", *most),
        (None, 0, Decimal(0), Decimal(0), Decimal(0)),
    ]
    assert not [note for note in answer.notes if note.startswith("unallocated")]


def test_tags_of_ones_own_and_calls_that_say_nothing(tmp_path: Path) -> None:
    calls = [
        call(1, 1, NOON, "gpt-5", 800_000, 0, tags={"plan": "pro", "empty": ""}, service_name="shop"),
        call(2, 1, NOON, "gpt-5", 2_400_000, 0, user_id="", service_name="shop"),
        call(3, 1, NOON, "unknown", 5, 0, team_id="search", service_name="desk"),
    ]
    answer = COVERAGE.answer(Ledger(make_lake(tmp_path, calls), EVERYTHING), Question(WEEKS, ("service",)))
    nothing = (0, Decimal(0), Decimal(0))
    known = ("team", "customer", "user", "feature", "session")
    assert answer.frame.rows() == [
        ("desk", "team", 1, Decimal(1), None, None),
        *(("desk", tag, *nothing, None) for tag in (*known[1:], None)),
        *(("shop", tag, *nothing, Decimal(0)) for tag in known),
        ("shop", "tag.plan", 1, Decimal("0.5"), Decimal(1), Decimal("0.25")),
        ("shop", None, 1, Decimal("0.5"), Decimal(3), Decimal("0.75")),
    ]
    assert answer.notes[-1] == "unallocated: 1 call (33.3 %), $3.00 (75.0 %) that say none of them"


def test_no_calls_are_told_of(tmp_path: Path) -> None:
    answer = COVERAGE.answer(Ledger(make_lake(tmp_path, []), EVERYTHING), Question(WEEKS, ("service",)))
    assert (answer.frame.height, answer.notes) == (0, ("no calls in these days",))


@pytest.mark.parametrize("seed", range(2))
def test_rows_are_those_of_a_naive_count(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lake = make_lake(tmp_path, [_random_call(draw, number) for number in range(1, 200)])
    with connect(lake) as connection:
        calls: list[Row] = connection.sql("select * from llm_calls").pl().to_dicts()
    expected: dict[tuple[date, str | None], tuple[int, Decimal | None]] = {}
    for one in calls:
        said = [name for name in ("team", "customer", "user") if one[f"{name}_id"]]
        said += [name for name, column in (("feature", "feature"), ("session", "session_id")) if one[column]]
        said += [f"tag.{key}" for key, value in (one["tags"] or {}).items() if value]
        tags: list[str | None] = [*said] or [None]
        for tag in tags:
            key = (one["dt"], tag)
            count, cost = expected.get(key, (0, None))
            known = one["cost_usd"] if cost is None else cost + (one["cost_usd"] or 0)
            expected[key] = (count + 1, known)
    frame = COVERAGE.answer(Ledger(lake, EVERYTHING), Question(WEEKS, ("day",))).frame
    found = {(row[0], row[1]): row[2:] for row in frame.select("day", "tag", "calls", "cost_usd").rows() if row[2]}
    assert found == expected


def _random_call(draw: random.Random, number: int) -> Row:
    told: Row = {f"{name}_id": draw.choice([None, "", "x"]) for name in ("team", "user", "customer", "session")}
    told |= {"feature": draw.choice([None, "x"]), "tags": draw.choice([None, {}, {"a": "1"}, {"a": "", "b": "2"}])}
    start = NOON + timedelta(seconds=draw.randrange(3 * 86_400))
    return call(number, 1, start, draw.choice(["gpt-5", "unknown"]), draw.randrange(9_000), 5, **told)

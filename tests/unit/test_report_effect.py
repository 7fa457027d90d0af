"""What a moment changed has an interval that is right as often as it says, also where few users make many calls."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from ledger_rows import call, make_lake
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports import effect as effect_module
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.effect import Group, Window, effect, group, stretch
from spanledger_analytics.reports.question import Question, Where
from spanledger_analytics.scope import EVERYTHING

DEPLOY = datetime(2026, 11, 5, 14, tzinfo=UTC)
DAY = timedelta(days=1)
COLUMNS: Final = ("after", "of_users", "block", "requests", "cost_usd")
TRUE_CHANGE: Final = 20.0
"""Cents, of a made-up deploy."""

Rows = list[tuple[bool, bool, int, int, Decimal]]


def users_requests(draw: random.Random, users: int, change: float) -> Iterator[tuple[int, bool, Decimal]]:
    """Yield user, side and cost of requests: each user has a level and a change of its own, and makes eight a side."""
    for user in range(users):
        level, own = draw.gauss(100, 30), draw.gauss(change, 25)
        for after in (False, True):
            for _ in range(8):
                yield user, after, Decimal(round(draw.gauss(level + own * after, 10))) / 100


def made_group(requests: list[tuple[int, bool, Decimal]], *, of_users: bool) -> Group:
    """Put requests in blocks as the SQL does: by user, or each by itself."""
    rows: Rows = []
    for number, (user, after, cost) in enumerate(requests):
        rows.append((after, of_users, user if of_users else number, 1, cost))
    frame = pl.DataFrame(rows, schema=COLUMNS, orient="row").with_columns(pl.col("cost_usd").cast(pl.Decimal(38, 12)))
    keys = ["after", "of_users", "block"]
    return Group("made", frame.group_by(keys, maintain_order=True).agg(pl.col("requests", "cost_usd").sum()))


def coverage(users: int, *, of_users: bool, controlled: bool, simulations: int = 100) -> float:
    """Return how often the interval holds the true change."""
    draw, right = random.Random(5), 0
    for _ in range(simulations):
        groups = [made_group(list(users_requests(draw, users, TRUE_CHANGE)), of_users=of_users)]
        if controlled:
            groups.append(made_group(list(users_requests(draw, users, 0)), of_users=of_users))
        found = effect(groups[0], groups[1:])[2 if controlled else 0]
        assert found.low_usd is not None
        assert found.high_usd is not None
        right += found.low_usd <= Decimal(TRUE_CHANGE) / 100 <= found.high_usd
    return right / simulations


@pytest.mark.parametrize(("users", "controlled"), [(6, False), (25, False), (10, True)])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(
    monkeypatch: pytest.MonkeyPatch, users: int, controlled: bool
) -> None:
    """Of a hundred ledgers 95 are expected, and fewer than 90 or none amiss hardly ever."""
    monkeypatch.setattr(effect_module, "DRAWS", 200)
    assert 0.90 <= coverage(users, of_users=True, controlled=controlled) <= 0.99


def test_taking_requests_of_a_user_for_independent_would_be_right_far_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(effect_module, "DRAWS", 200)
    assert coverage(10, of_users=False, controlled=False, simulations=40) < 0.85


def test_an_interval_of_few_is_stretched_as_students_t_is() -> None:
    """2.7764, 2.2622 and 1.9842 are Student's 97.5 % quantiles of 4, 9 and 99."""
    expected = [(5 / 4) ** 0.5 * 2.7764, (10 / 9) ** 0.5 * 2.2622, (100 / 99) ** 0.5 * 1.9842]
    found = [float(stretch(count)) * 1.959964 for count in (5, 10, 100)]
    assert found == pytest.approx(expected, rel=0.005)


def test_a_user_is_drawn_with_all_requests_of_both_sides_and_others_one_by_one(tmp_path: Path) -> None:
    """A dollar each of ann's three, two of bob's one before; nobody's two after, of which one has no price."""
    told = [("ann", -3), ("ann", -2), ("ann", 1), ("bob", -1), (None, 1), (None, 2), ("", 3)]
    rows = [
        call(
            number,
            1,
            DEPLOY + hours * timedelta(hours=1),
            "gpt-5",
            1_600_000 if user == "bob" else 800_000,
            0,
            user_id=user,
        )
        for number, (user, hours) in enumerate(told, 1)
    ]
    rows.append(call(9, 1, DEPLOY + DAY / 2, "unknown", user_id="ann"))
    ledger = Ledger(make_lake(tmp_path, rows), EVERYTHING)
    asked = Question(Period(date(2026, 11, 5), date(2026, 11, 5)))
    found = group(ledger, Where(), asked, Window(DEPLOY - DAY, DEPLOY, DEPLOY + DAY), "asked")
    dollar = 10**12
    nobody = (0, 0, 1, dollar)
    assert sorted(found.blocks()) == [nobody, nobody, nobody, (1, 2 * dollar, 0, 0), (2, 2 * dollar, 1, dollar)]
    assert (found.users, found.drawn, found.unpriced) == (2, 2, 1)

"""`[[breaker]]` of a policy: what it says, and how it is refused where it says what can't be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from spanledger.guard.breaker import Breaker
from spanledger.guard.policy import EVERYTHING, Policy, Threshold
from spanledger.guard.policy_file import PolicyError, read_policy
from spanledger.guard.store import NANO
from spanledger.settings import load

BUDGETS = """
[[budget]]
name = "teams"
match = { team_id = "*" }
per = "month"
usd = 100

[[budget]]
name = "ever"
per = "total"
usd = 100

[[budget]]
name = "one call"
per = "request"
usd = 1
"""


def read(folder: Path, text: str) -> Policy:
    path = folder / "policy.toml"
    path.write_text(text)
    return read_policy(path, load(home=str(folder)))


def test_a_breaker_says_what_it_watches_what_it_does_and_for_how_long(tmp_path: Path) -> None:
    policy = read(
        tmp_path,
        """
        [[breaker]]
        name = "everything"
        match = { feature = "*" }
        budget = "teams"
        budget_share = "90%"
        forecast = "120%"
        usd_per_minute = "2.50"
        velocity = "3x"
        velocity_floor_usd = 1
        usual_usd_per_hour = 8
        retry_share = "50%"
        retry_calls = 30
        at = { "80%" = "degrade", "100%" = "block" }
        hold = "10m"
        allowance_usd = "0.25"
        flags = ["premium-model"]
        shadow = true
        """
        + BUDGETS,
    )

    (found,) = policy.more["breaker"]
    assert found == Breaker(
        name="everything",
        match=found.match,
        at=(Threshold(Fraction(4, 5), "degrade"), Threshold(Fraction(1), "block")),
        hold_ms=600_000,
        allowance=NANO // 4,
        budget=policy.budgets[0],
        budget_share=90 * NANO,
        forecast=120 * NANO,
        usd_per_minute=2_500_000_000,
        velocity=Fraction(3),
        velocity_floor=NANO,
        usual_per_hour=8 * NANO,
        retry_share=Fraction(1, 2),
        retry_calls=30,
        flags=("premium-model",),
        shadow=True,
    )
    assert found.match.scope({"feature.id": "chat"}) == "feature=chat"


def test_a_breaker_blocks_at_its_limit_for_five_minutes_where_nothing_else_is_said(tmp_path: Path) -> None:
    policy = read(tmp_path, '[[breaker]]\nname = "a run"\nsession_usd = 5\nsession_calls = 200')

    (found,) = policy.more["breaker"]
    assert found == Breaker("a run", found.match, session_usd=5 * NANO, session_calls=200)
    assert (found.at, found.hold_ms, found.allowance) == ((Threshold(Fraction(1), "block"),), 300_000, NANO // 2)
    assert found.match.scope({}) == EVERYTHING


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        ("shadow = true", 2, "name: needs at least one of budget_share, forecast, session_usd"),
        ('budget_share = "90%"', 1, "budget: needed, as text in quotes"),
        (
            'budget = "tems"\nbudget_share = "90%"',
            3,
            "there is no budget 'tems'; there are: 'teams', 'ever', 'one call'",
        ),
        ('budget = "one call"\nbudget_share = "90%"', 3, "'one call' is one of a request"),
        ('budget = "ever"\nforecast = "100%"', 4, "the budget 'ever' has no end that could be looked ahead to"),
        ('budget = "teams"\nusd_per_minute = 1', 3, "budget: says nothing without budget_share or forecast"),
        ('budget = "teams"\nbudget_share = "0%"', 4, 'expected a share, as "90%"'),
        ("session_usd = 1\nusd_per_minute = 1", 3, "has a state for each session, and usd_per_minute has not"),
        ('velocity = "3x"', 3, "velocity: needs velocity_floor_usd"),
        ('velocity = "1x"\nvelocity_floor_usd = 1', 3, 'expected how many times the usual, as "3x"'),
        ("usd_per_minute = 1\nretry_calls = 10", 4, "says nothing without retry_share"),
        ('retry_share = "50%"\nretry_calls = 2', 4, "expected a whole number of at least 5"),
        ('usd_per_minute = 1\nat = { "100%" = "warn" }', 4, "at: expected degrade or block, not 'warn'"),
        ("usd_per_minute = 0", 3, "expected a number above 0, not 0"),
        ('usd_per_minute = 1\nhold = "soon"', 4, "hold: expected a length of time"),
        ("usd_per_hour = 1", 3, "unknown; known: allowance_usd, at, budget"),
    ],
)
def test_a_breaker_that_can_not_be_is_refused_by_line_and_key(
    tmp_path: Path, text: str, line: int, advice: str
) -> None:
    with pytest.raises(PolicyError) as wrong:
        read(tmp_path, f'[[breaker]]\nname = "b"\n{text}\n{BUDGETS}')

    assert (wrong.value.line, advice in wrong.value.advice) == (line, True), wrong.value.advice

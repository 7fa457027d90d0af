"""Policies: what a person writes, and what is said of what can't be."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from spanledger import names
from spanledger.guard.policy import Budget, Degrade, Limit, Policy, Threshold, make_match
from spanledger.guard.policy_file import PolicyError, read_policy
from spanledger.settings import load

WHOLE = """
store = "sqlite"

[[budget]]
name = "support team, a month"
match = { team_id = "support" }
per = "month"
usd = 500
estimate = "strict"
at = { "100%" = "block", "70%" = "warn", "90%" = "degrade" }
zone = "Europe/Berlin"
store_away = "closed"
unknown_price = "0.05"

[[budget]]
name = "tokens of a run"
per = "session"
tokens = 1_000_000
shadow = true

[[limit]]
name = "no user floods us"
match = { user_id = "*" }
requests_per_minute = 60
tokens_per_minute = 100_000
concurrent = 8
max_wait = "2s"

[[degrade]]
model = "gpt-5"
to = "gpt-5-mini"
drop = ["temperature"]
"""


def _read(folder: Path, text: str) -> Policy:
    path = folder / "policy.toml"
    path.write_text(text)
    return read_policy(path, load())


def test_a_policy_says_what_was_written(tmp_path: Path) -> None:
    policy = _read(tmp_path, WHOLE)

    team, run = policy.budgets
    (limit,) = policy.limits
    assert policy.store == "sqlite"
    assert policy.degrades == (Degrade("gpt-5 -> gpt-5-mini", "gpt-5", "gpt-5-mini", ("temperature",)),)
    assert (limit.requests_per_minute, limit.tokens_per_minute, limit.concurrent) == (60, 100_000, 8)
    assert (limit.max_wait_ms, limit.shadow) == (2000, False)
    assert team == Budget(
        name="support team, a month",
        match=team.match,
        per="month",
        cap=500 * 10**9,
        unit="usd",
        at=(
            Threshold(Fraction(70, 100), "warn"),
            Threshold(Fraction(90, 100), "degrade"),
            Threshold(Fraction(1), "block"),
        ),
        estimate="strict",
        zone=ZoneInfo("Europe/Berlin"),
        unknown_price=50_000_000,
        fail_closed=True,
    )
    assert (run.cap, run.unit, run.per, run.shadow, run.at) == (
        1_000_000,
        "tokens",
        "session",
        True,
        (Threshold(Fraction(1), "block"),),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[[budget]]\nname = "a"\nper = "year"\nusd = 1\n',
            "line 3: [[budget]] per: expected one of request, session,",
        ),
        (
            '[[budget]]\nname = "a"\nper = "day"\nusd = -1\n',
            "line 4: [[budget]] usd: expected a number above 0, not -1",
        ),
        ('[[budget]]\nname = "a"\nper = "day"\n', "line 1: [[budget]] usd: needed, or else tokens: one of the two"),
        ('[[budget]]\nname = "a"\nper = "day"\nusd = 1\ntokens = 1\n', "[[budget]] usd: needed, or else tokens"),
        ('[[budget]]\nname = "a"\nper = "day"\nusd = 1\nat = { "half" = "warn" }\n', "line 5: [[budget]] at: 'half'"),
        ('[[budget]]\nname = "a"\nper = "day"\nusd = 1\nat = { "90%" = "stop" }\n', "at: 90%: expected one of allow,"),
        (
            '[[budget]]\nname = "a"\nper = "day"\nusd = 1\nzone = "Berlin"\n',
            "line 5: [[budget]] zone: unknown time zone",
        ),
        ('[[budget]]\nname = "a"\nper = "day"\nusd = 10_000_000\n', "usd: expected at most 9,000,000 dollars"),
        ('[[budget]]\nname = "a"\nper = "day"\nusd = 1\nmatch = { user_id = 7 }\n', "match: user_id: expected text"),
        ('[[budget]]\nname = "a"\nper = "day"\nusd = 1\nuser = "x"\n', "line 5: [[budget]] user: unknown; known: at,"),
        ('[[limit]]\nname = "a"\n', "needs requests_per_minute, tokens_per_minute or concurrent"),
        (
            '[[limit]]\nname = "a"\nconcurrent = 0\n',
            "line 3: [[limit]] concurrent: expected a whole number of at least 1",
        ),
        ('[[limit]]\nname = "a"\nconcurrent = 1\nmax_wait = 2\n', "line 4: [[limit]] max_wait: needed, as text"),
        ('[[limit]]\nname = "a"\nconcurrent = 1\n[[limit]]\nname = "a"\nconcurrent = 2\n', "'a' stands twice"),
        ('store = "mysql"\n', 'store: expected "memory", "sqlite" or "redis://host:6379/0", not \'mysql\''),
        ("[[budgets]]\n", "line 1: unknown entry budgets; known: budget, limit, degrade"),
        ("[[budget\n", "not valid TOML"),
        ("store = " + "[" * 10_000, "not valid TOML"),
        ("store = " + "9" * 5_000, "not valid TOML"),
        ("", "is empty, as where a disk was full; write a comment if nothing is meant"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_key(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(PolicyError) as wrong:
        _read(tmp_path, text)

    assert told in str(wrong.value)
    assert str(tmp_path / "policy.toml") in str(wrong.value)


def test_a_mark_of_the_byte_order_is_no_part_of_a_policy(tmp_path: Path) -> None:
    assert _read(tmp_path, "\ufeff" + WHOLE) == _read(tmp_path, WHOLE)


def test_a_pipe_is_no_policy_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "policy.toml")
    with pytest.raises(PolicyError, match=r"can't be read \(it is no file\); correct SPANLEDGER_POLICY or unset it"):
        read_policy(tmp_path / "policy.toml", load())


def test_dollars_of_a_fraction_are_those_that_stand_there(tmp_path: Path) -> None:
    policy = _read(tmp_path, '[[budget]]\nname = "a"\nper = "day"\nusd = 0.1\n')

    assert policy.budgets[0].cap == 100_000_000


@pytest.mark.parametrize(
    ("match", "values", "scope"),
    [
        ({}, {}, "everything"),
        ({"user_id": "*"}, {names.USER_ID: "ann"}, "user_id=ann"),
        ({"user_id": "*"}, {}, None),
        ({"user_id": "*"}, {names.USER_ID: ""}, None),
        ({"model": "gpt-5*"}, {names.REQUEST_MODEL: "gpt-5-mini"}, "model=gpt-5-mini"),
        ({"model": "gpt-5*"}, {names.REQUEST_MODEL: "gpt-4o"}, None),
        ({"model": "gpt.5"}, {names.REQUEST_MODEL: "gpt-5"}, None),
        ({"team_id": "a", "user_id": "*"}, {names.TEAM_ID: "a", names.USER_ID: "u"}, "team_id=a,user_id=u"),
        ({"team_id": "a", "user_id": "*"}, {names.TEAM_ID: "b", names.USER_ID: "u"}, None),
        ({"plan": "free"}, {"spanledger.tag.plan": "free"}, "plan=free"),
        ({"environment": "prod"}, {"deployment.environment.name": "prod"}, "environment=prod"),
    ],
)
def test_a_rule_is_about_calls_that_have_all_its_keys(
    match: dict[str, str], values: dict[str, str], scope: str | None
) -> None:
    assert make_match(match).scope(values) == scope


def test_limits_and_budgets_are_what_calls_draw_on(tmp_path: Path) -> None:
    assert [type(rule) for rule in _read(tmp_path, WHOLE).rules] == [Budget, Budget, Limit]

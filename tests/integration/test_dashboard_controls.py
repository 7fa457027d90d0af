"""The page Controls: what the policy did to calls, what it saved, and how to begin."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from guarded_rows import controlled_ledger
from ledger_rows import call, make_lake
from spanledger_analytics.scope import EVERYTHING, scope_of_teams
from spanledger_dashboard.data import Lake
from spanledger_dashboard.policies import standing

NOW = datetime.now(UTC)
TWO_DAYS_AGO = (NOW - timedelta(days=2)).replace(hour=9, minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("controls") / "lake", controlled_ledger(TWO_DAYS_AGO))


@pytest.fixture
def home(tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake)])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    return tmp_path


def shown(part: Callable[[], None], **parameters: str) -> AppTest:
    page = AppTest.from_function(part, default_timeout=120)
    page.query_params.update(parameters)
    page.run()
    assert not page.exception
    return page


def titles(page: AppTest) -> list[str]:
    return [title.value.replace("\\", "") for title in page.subheader]


def controls() -> None:
    from spanledger_dashboard.pages import controls

    controls.page()


def overview() -> None:
    from spanledger_dashboard.pages import overview

    overview.page()


def test_the_page_says_what_was_refused_avoided_routed_and_decided(home: Path) -> None:
    said = titles(shown(controls))
    assert said[:3] == [
        "4 calls were refused, expected to cost $1.00; in shadow 1 call would have been",
        "$0.654 avoided, on 7 calls, of 1 call it isn't known",
        "Routing saved $0.0036 on 2 calls; the others would have saved $0.0072",
    ]
    assert said[3].startswith("Latest: 'support, a month' put off, ")


def test_filters_leave_a_teams_own(home: Path) -> None:
    said = titles(shown(controls, team="support"))
    assert said[:2] == [
        "2 calls were refused, expected to cost $1.00",
        "$0.550 avoided, on 4 calls, of 1 call it isn't known",
    ]


def test_the_overview_has_a_line_on_controls_if_they_had_anything_to_do(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [one.value for one in shown(overview).caption if one.value.startswith("Controls")]
    assert [line.replace("\\", "") for line in lines] == [
        "Controls, the last 7 days: 4 calls refused, $0.654 avoided on 7 calls."
    ]
    plain = make_lake(tmp_path / "plain", [call(1, 1, NOW - timedelta(hours=1))])
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(plain)])
    assert [one.value for one in shown(overview).caption if one.value.startswith("Controls")] == []


def test_without_a_policy_there_is_one_sentence_and_one_to_copy_that_can_be_used(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spanledger.guard.policy_file import read_policy
    from spanledger.settings import load

    plain = make_lake(tmp_path / "plain", [call(1, 1, NOW - timedelta(hours=1))])
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(plain)])
    page = shown(controls)
    assert titles(page) == ["No policy is set: calls may spend what they like"]
    (home / "policy.toml").write_text(page.code[0].value, "utf-8")
    (budget,) = read_policy(home / "policy.toml", load()).budgets
    assert (budget.name, budget.cap, budget.shadow) == ("everybody, a day", 50 * 10**9, True)
    assert titles(shown(controls)) == ["Every budget has room", "No call was refused"]


POLICY = """
store = "sqlite"
[[budget]]
name = "support, a month"
match = { team_id = "support" }
per = "month"
usd = 10
at = { "90%" = "degrade", "100%" = "block" }
[[budget]]
name = "each user of a team, a day"
match = { team_id = "*", user_id = "*" }
per = "day"
usd = 2
shadow = true
[[budget]]
name = "unused"
match = { team_id = "support", feature = "new" }
per = "day"
usd = 3
[[budget]]
name = "each user, in all"
match = { user_id = "*" }
per = "total"
tokens = 1000
[[limit]]
name = "no user floods us"
match = { user_id = "*" }
requests_per_minute = 60
concurrent = 8
[[breaker]]
name = "runaway"
match = { team_id = "*" }
usd_per_minute = 5
"""


def with_policy(home: Path) -> None:
    """Write a policy, and have calls spend and hold some of it, as the gate does."""
    from spanledger.guard.breaker import State, encode
    from spanledger.guard.plans import of_budget
    from spanledger.guard.policy_file import read_policy
    from spanledger.guard.store import NANO, Line
    from spanledger.guard.stores import open_shared
    from spanledger.settings import load

    (home / "policy.toml").write_text(POLICY, "utf-8")
    month, day, _, total = read_policy(home / "policy.toml", load()).budgets
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    store = open_shared("sqlite", home)

    def draw(call: str, budget: Any, scope: str, amount: int) -> None:
        (plan,) = of_budget(budget, scope, "", amount, now_ms, lambda _key: False)
        lease = Line("limit/no user floods us/user_id=ann/concurrent", "lease", "calls", 1, 8)
        assert store.reserve(call, [plan.line._replace(cap=-1), lease], now_ms).refused == -1

    draw("01", month, "team_id=support", 9 * NANO)
    store.settle("01", 9 * NANO, 10, now_ms)
    draw("02", month, "team_id=support", NANO // 4)
    draw("03", day, "team_id=search,user_id=bob", 3 * NANO)
    store.settle("03", 3 * NANO, 10, now_ms, flagged=True)
    draw("04", total, "user_id=eve,team_id=support", 10)
    store.settle("04", 0, 10, now_ms)
    state = State("runaway", "team_id=search", "open", now_ms, by_hand=True)
    assert store.put_state(state.key, encode(state), None)
    store.close()


def test_the_page_shows_how_the_rules_of_the_policy_stand(home: Path) -> None:
    with_policy(home)
    page = shown(controls)
    said = titles(page)
    assert said[:3] == [
        "Of 3 budget accounts, 1 has calls refused in shadow and 1 has calls answered by a cheaper model",
        "1 limit on how fast calls come, 1 call under way",
        "1 of 1 breaker is not closed",
    ]
    words = [caption.value.replace("\\", "") for caption in page.caption]
    assert any(
        text.startswith("$9.00 spent, $0.250 held of $10.00 a month. It starts anew ") and text.endswith("UTC.")
        for text in words
    )
    assert "unused: $3.00 a day for team_id=support,feature=new. No call has drawn on it yet." in words
    assert "60 calls a minute, 8 at a time, for user_id=*." in words
    assert any(text.startswith("It refuses calls, since ") and text.endswith(": by hand.") for text in words)


def test_a_viewer_of_a_team_sees_its_accounts_and_breakers_and_no_others(home: Path, lake: Path) -> None:
    with_policy(home)
    whole = standing(Lake(lake, EVERYTHING))
    assert whole is not None
    assert sorted(one.scope for one in whole.budgets if one.spent is not None) == [
        "team_id=search,user_id=bob",
        "team_id=support",
        "user_id=eve,team_id=support",
    ]
    seen = {team: standing(Lake(lake, scope_of_teams([team]))) for team in ("support", "search", "sales")}
    assert {
        team: found
        and ([one.scope for one in found.budgets], list(found.limits), [one.scope for _, one in found.breakers])
        for team, found in seen.items()
    } == {
        "support": (["team_id=support"], [], []),
        "search": (["team_id=search,user_id=bob"], [], ["team_id=search"]),
        "sales": None,
    }


def test_a_policy_or_store_that_can_not_be_read_is_told(home: Path, lake: Path) -> None:
    (home / "policy.toml").write_text("[[budget]]\nname = 5\n", "utf-8")
    assert "usd: needed" in shown(controls).warning[0].value.replace("\\", "")
    (home / "policy.toml").write_text(POLICY.replace('"sqlite"', '"redis://127.0.0.1:9/0"'), "utf-8")
    assert "can't be reached" in shown(controls).warning[0].value.replace("\\", "")
    (home / "policy.toml").write_text(POLICY.replace('"sqlite"', '"memory"'), "utf-8")
    assert "in the memory of each process" in shown(controls).warning[0].value.replace("\\", "")


def test_of_many_accounts_that_are_full_a_few_are_told_of_in_words(home: Path) -> None:
    from spanledger.guard.store import NANO
    from spanledger.guard.stores import open_shared

    with_policy(home)
    store = open_shared("sqlite", home)
    for number in range(9):
        key = f"budget/each user of a team, a day/team_id=search,user_id=u{number}/{datetime.now(UTC):%Y-%m-%d}"
        store.set_spent(key, 3 * NANO, 0, "usd")
    store.close()
    words = [caption.value for caption in shown(controls).caption]
    assert sum("spent" in text and "of $2" in text.replace("\\", "") for text in words) == 4
    assert "7 more are in the table." in words

"""The page Controls: what the policy did to calls, what it saved, and how to begin."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from guarded_rows import DAY, controlled_ledger
from ledger_rows import call, make_lake

NOW = datetime.now(UTC)
LATER = (NOW - timedelta(days=2)).replace(hour=9, minute=0, second=0, microsecond=0) - DAY


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [row | {name: row[name] + LATER for name in ("start_time", "ingested_at")} for row in controlled_ledger()]
    return make_lake(tmp_path_factory.mktemp("controls") / "lake", rows)


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
    assert (titles(page), page.markdown[0].value.split(",")[0]) == ([], "**No policy is set**")
    (home / "policy.toml").write_text(page.code[0].value, "utf-8")
    (budget,) = read_policy(home / "policy.toml", load()).budgets
    assert (budget.name, budget.cap, budget.shadow) == ("everybody, a day", 50 * 10**9, True)
    assert titles(shown(controls))[-1] == "No call was refused"

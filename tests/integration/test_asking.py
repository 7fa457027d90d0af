"""A question of the SQL page on its way: what comes of it, stopping it, and how many are answered at once."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ledger_rows import Row, call, make_lake
from spanledger_analytics.scope import EVERYTHING, scope_of_teams
from spanledger_analytics.snapshot import LakeFiles, files_now
from spanledger_dashboard.sql import asking as asking_module
from spanledger_dashboard.sql.asking import Asking, Outcome, prepare
from waiting import wait_until

ENDLESS = "select count(*) from range(100000000) a, range(100000000) b"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> LakeFiles:
    lake = tmp_path_factory.mktemp("asking") / "lake"
    now = datetime.now(UTC)
    tags: list[Row] = [{"team_id": "search"}, {"team_id": "ads"}]
    return files_now(make_lake(lake, [call(number, 1, now, **tag) for number, tag in enumerate(tags)]))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a question take longer than a page does: what is endless goes on until a test ends it."""
    monkeypatch.setattr(asking_module, "LIMITS", replace(asking_module.LIMITS, seconds=600))


def asked(query: str, files: LakeFiles, **how: object) -> Outcome:
    asking = Asking(query, explained=bool(how.get("explained")))
    asking.start(files, scope_of_teams(["ads"]) if how.get("scoped") else EVERYTHING)
    assert asking.wait(120)
    assert asking.outcome is not None
    return asking.outcome


def test_an_answer_an_error_with_its_place_and_a_refusal_are_told_apart(files: LakeFiles) -> None:
    answer = asked("select count(*) as calls from llm_calls", files)
    assert answer.table is not None
    assert answer.table.to_pylist() == [{"calls": 2}]
    assert (answer.note, answer.wrong, answer.stopped) == (None, None, None)

    wrong = asked("select teem_id\nfrom llm_calls", files)
    assert wrong.table is None
    assert wrong.wrong is not None
    message, _, place = wrong.wrong.partition("\n\n")
    assert message.splitlines()[1] == "Did you mean team_id?" or "team_id" in message
    assert place == "LINE 1: select teem_id\n               ^^^^^^^"

    forbidden = asked("copy (select 1) to '/tmp/x.csv'", files)
    assert forbidden.wrong is not None
    assert "Permission Error" in forbidden.wrong


def test_a_long_answer_says_that_it_is_cut(files: LakeFiles) -> None:
    long = asked("select * from range(200000)", files)
    assert long.table is not None
    assert (long.table.num_rows, long.note) == (100_000, "truncated at 100,000 rows")


def test_how_it_would_be_run_is_asked_without_running_it(files: LakeFiles) -> None:
    plan = asked(ENDLESS, files, explained=True)
    assert plan.table is not None
    assert plan.table.column_names == ["explain_key", "explain_value"]


def test_with_a_scope_nothing_outside_is_there(files: LakeFiles) -> None:
    inside = asked("select team_id, count(*) as calls from spans group by all", files, scoped=True)
    assert inside.table is not None
    assert inside.table.to_pylist() == [{"team_id": "ads", "calls": 1}]


def test_a_question_is_stopped_at_once_and_gives_its_place_to_the_next(files: LakeFiles) -> None:
    running = [Asking(ENDLESS) for _ in range(2)]
    for one in running:
        one.start(files, EVERYTHING)
    wait_until(lambda: not any(one.waits for one in running), timeout_s=60, what="two questions under way")
    third = Asking("select 1 as one")
    third.start(files, EVERYTHING)
    fourth = Asking("select 1")
    fourth.start(files, EVERYTHING)
    assert third.waits
    fourth.stop()
    assert fourth.wait(120)
    assert fourth.outcome == Outcome(stopped="Stopped before it was asked.")
    running[0].stop()
    assert third.wait(120)
    assert third.outcome is not None
    assert third.outcome.table is not None
    running[1].stop()
    for one in running:
        assert one.wait(120)
        assert one.outcome is not None
        assert one.outcome.stopped is not None
        assert one.outcome.stopped.startswith("Stopped after ")


def test_a_process_that_was_started_before_is_used_once(files: LakeFiles) -> None:
    prepare()
    prepare()
    first, second = (asked("select 1 as one", files) for _ in range(2))
    assert first.table is not None
    assert second.table is not None
    assert first.table.to_pylist() == second.table.to_pylist() == [{"one": 1}]


def test_a_question_whose_page_was_left_makes_room(files: LakeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking_module, "_AWAY_S", 0.2)
    running = [Asking(ENDLESS) for _ in range(2)]
    left = threading.Event()
    for one in running:
        one.start(files, EVERYTHING, lambda: not left.is_set())
    wait_until(lambda: not any(one.waits for one in running), timeout_s=60, what="two questions under way")
    third = Asking(ENDLESS)
    third.start(files, EVERYTHING, lambda: False)
    assert third.wait(120)
    assert third.outcome == Outcome(stopped="Stopped before it was asked.")
    assert [one.outcome for one in running] == [None, None]
    left.set()
    for one in running:
        assert one.wait(120)
        assert one.outcome is not None
        assert one.outcome.stopped is not None
        assert one.outcome.stopped.startswith("Stopped after ")
    assert asked("select 1 as one", files).table is not None

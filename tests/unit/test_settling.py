"""Settling a lake: what is new is found by the log, decided once, and shown by the views."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger_rows import make_lake
from settled_rows import NOON, Row, agent, booked, metered, span
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.scope import EVERYTHING
from spanledger_collector import maintain, settle, settling
from spanledger_collector.jobs import Terms, run_jobs
from spanledger_collector.lake import open_table, read_rows, table_path
from spanledger_collector.settle import Settler
from spanledger_collector.settling import Settled, settle_again, settle_new
from spanledger_collector.tables import SETTLED, SETTLEMENTS
from spanledger_collector.upkeep import merge_small_files
from spanledger_collector.worker import if_free

DAY = timedelta(days=1)
AT_ONCE = timedelta(0)
PRICE = Decimal("0.00225")
_WRITERS: Iterator[int] = itertools.count()


def commit(lake: Path, *rows: Row) -> None:
    """Commit rows as a collector of their own would."""
    make_lake(lake, booked(rows).to_pylist(maps_as_pydicts="strict"), writer=f"w{next(_WRITERS)}")


def costs(lake: Path) -> dict[int, Decimal]:
    """Return what each charged span costs, by number."""
    found = ask(lake, "select span_id, cost_usd from llm_calls where cost_usd is not null")
    return {int(span_id, 16): cost for span_id, cost in found}


def ask(lake: Path, query: str) -> list[Any]:
    return connect(lake).execute(query).fetchall()


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def test_a_lake_without_spans_is_left_alone(lake: Path) -> None:
    assert settle_new(lake, AT_ONCE) == Settled(0, 0, False)
    assert not lake.exists()


def test_a_call_may_be_in_another_segment_or_on_another_day_and_come_late(lake: Path) -> None:
    commit(lake, agent(1), agent(11, trace=2))
    assert settle_new(lake, AT_ONCE) == Settled(2, 2, False)
    assert costs(lake) == {1: PRICE, 11: PRICE}
    commit(lake, metered(2, 1, start_time=NOON + DAY))
    commit(lake, metered(12, 11, trace=2))
    assert settle_new(lake, AT_ONCE) == Settled(2, 2, False)
    assert costs(lake) == {2: PRICE, 12: PRICE}


def test_a_call_that_two_services_tell_of_in_two_traces_is_one_charge(lake: Path) -> None:
    same: Row = {"response_id": "chatcmpl-0123456789"}
    midnight = datetime(2026, 11, 4, tzinfo=UTC)
    before, after = midnight - timedelta(milliseconds=300), midnight + timedelta(milliseconds=300)
    commit(lake, metered(1, trace=1, dialect="litellm", service_name="gateway", start_time=after, **same))
    assert settle_new(lake, AT_ONCE) == Settled(1, 0, False)
    commit(lake, metered(2, trace=2, start_time=before, **same))
    assert settle_new(lake, AT_ONCE) == Settled(1, 1, False)
    assert costs(lake) == {2: PRICE}


def test_settling_with_nothing_new_writes_nothing(lake: Path) -> None:
    commit(lake, span(1, user_id="u"), metered(2, 1), agent(3))
    assert settle_new(lake, AT_ONCE) == Settled(1, 2, False)
    version = open_table(lake, SETTLEMENTS).version()
    assert settle_new(lake, AT_ONCE) == Settled(0, 0, False)
    assert settle_again(lake, date(2026, 11, 1)) == Settled(1, 0, False)
    assert open_table(lake, SETTLEMENTS).version() == version


def test_spans_wait_until_they_have_been_there_for_a_while(lake: Path) -> None:
    commit(lake, agent(1))
    assert settle_new(lake, timedelta(minutes=10)) == Settled(0, 0, True)
    assert costs(lake) == {}
    assert settle_new(lake, AT_ONCE) == Settled(1, 1, False)


def test_a_lake_from_before_settling_is_settled_from_its_start_though_its_log_is_gone(lake: Path) -> None:
    for number in range(4):
        commit(lake, agent(number + 1, trace=number + 1, start_time=NOON - number * DAY))
    merge_small_files(open_table(lake))
    open_table(lake).create_checkpoint()
    for entry in sorted((table_path(lake) / "_delta_log").glob("*.json"))[:-1]:
        entry.unlink()
    commit(lake, agent(9, trace=9))
    assert settle_new(lake, AT_ONCE).decisions == 5
    assert settle_new(lake, AT_ONCE) == Settled(0, 0, False)


def test_spans_that_were_merged_before_they_were_settled_are_found(lake: Path) -> None:
    commit(lake, span(1, user_id="u"))
    assert settle_new(lake, AT_ONCE).decisions == 0
    commit(lake, metered(2, 1))
    commit(lake, agent(3, trace=3))
    merge_small_files(open_table(lake))
    assert settle_new(lake, AT_ONCE) == Settled(2, 2, False)


def test_a_merge_of_spans_gives_nothing_to_settle(lake: Path) -> None:
    commit(lake, agent(1))
    commit(lake, agent(2, trace=2))
    settle_new(lake, AT_ONCE)
    merge_small_files(open_table(lake))
    assert settle_new(lake, AT_ONCE) == Settled(0, 0, False)


def test_a_lake_that_was_made_again_is_settled_anew(lake: Path) -> None:
    for number in range(3):
        commit(lake, agent(number + 1, trace=number + 1))
    settle_new(lake, AT_ONCE)
    shutil.rmtree(table_path(lake))
    commit(lake, agent(7, trace=7))
    assert settle_new(lake, AT_ONCE) == Settled(1, 1, False)


def test_what_is_too_much_at_once_is_settled_in_portions(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "MOST_ROWS", 7)
    commit(lake, *(agent(number, trace=number) for number in range(1, 41)))
    for number in range(41, 51):
        commit(lake, agent(number, trace=number, start_time=NOON + DAY))
    assert settle_new(lake, AT_ONCE) == Settled(50, 50, False)
    assert set(costs(lake)) == set(range(1, 51))


def test_settlers_of_one_lake_write_each_decision_once(lake: Path) -> None:
    for number in range(1, 31):
        commit(lake, agent(number, trace=number))
    failures: list[BaseException] = []

    def settle_all() -> None:
        try:
            while settle_new(lake, AT_ONCE).left:
                pass
        except BaseException as error:
            failures.append(error)

    settlers = [threading.Thread(target=settle_all) for _ in range(4)]
    for one in settlers:
        one.start()
    for one in settlers:
        one.join()
    assert failures == []
    assert read_rows(lake, SETTLEMENTS).num_rows == 30
    assert ask(lake, "select count(*), count(distinct span_id) from spans") == [(30, 30)]


def test_a_settlement_is_of_one_version_of_a_row(lake: Path) -> None:
    """A fuller copy counts as it was booked, until its trace is settled again."""
    commit(lake, agent(1), metered(2, 1, usage_state="missing", unpriced_reason="no_usage", input_tokens=None))
    settle_new(lake, AT_ONCE)
    (first,) = read_rows(lake, SETTLEMENTS).to_pylist()
    assert (first["span_id"], first["ingested_at"]) == (f"{1:016x}", NOON + timedelta(seconds=3))


# Views


def test_the_views_show_rows_as_settled_and_as_booked(lake: Path) -> None:
    same: Row = {"response_id": "chatcmpl-0123456789"}
    commit(lake, span(1, user_id="u"), metered(2, 1, **same), agent(3, 1, aggregate_cost_usd=Decimal(1)))
    commit(lake, metered(4, trace=4, dialect="openinference", **same))
    query = "select span_id[-1:], user_id, cost_usd, unpriced_reason, duplicate_of[-1:] from {} order by span_id"
    as_booked = ask(lake, query.format("spans"))
    settle_new(lake, AT_ONCE)
    assert (
        as_booked
        == ask(lake, query.format("spans_as_booked"))
        == [
            ("1", "u", None, None, None),
            ("2", None, PRICE, None, None),
            ("3", None, None, "aggregate", None),
            ("4", None, PRICE, None, None),
        ]
    )
    assert ask(lake, query.format("spans")) == [
        ("1", "u", None, None, None),
        ("2", "u", PRICE, None, None),
        ("3", "u", PRICE, None, None),
        ("4", None, None, None, "2"),
    ]
    assert ask(lake, "select count(*), sum(cost_usd) from llm_calls") == [(2, 2 * PRICE)]


def test_all_columns_that_are_settled_are_shown(lake: Path) -> None:
    commit(lake, agent(1), span(2, 1), metered(3, 2), metered(4, trace=4, request_model="x", response_model="x"))
    settle_new(lake, AT_ONCE)
    commit(lake, agent(5, trace=4))
    settle_new(lake, AT_ONCE)
    names = ", ".join(SETTLED)
    decided = ask(lake, f"select {names} from settled_in(getvariable('settlements_files')) order by span_id")
    shown = ask(lake, f"select {names} from spans where span_id in (select span_id from settlements) order by span_id")
    assert shown == decided != []


def test_the_products_questions_are_about_rows_as_settled(lake: Path) -> None:
    commit(lake, agent(1), span(2, user_id="u"), metered(3, 2), metered(4, 2, start_time=NOON + DAY))
    ledger = Ledger(lake, EVERYTHING)
    day = {"team": None, "feature": None, "model": None, "environment": None, "wanted_tags": None}
    before = ledger.ask("days", **day).select("dt", "calls", "provisional_calls").rows()
    stamp = ledger.stamp(NOON.date(), NOON.date())
    settle_new(lake, AT_ONCE)
    after = ledger.ask("days", **day).select("dt", "calls", "cost_usd", "provisional_calls").rows()
    users = ledger.ask("users", day=NOON.date(), hour=None, **day).select("user_id", "calls").rows()
    assert before == [(NOON.date(), 1, 1), (NOON.date() + DAY, 1, 1)]
    assert after == [(NOON.date(), 2, 2 * PRICE, 0), (NOON.date() + DAY, 1, PRICE, 0)]
    assert sorted(users) == [("", 1), ("u", 1)]
    assert ledger.stamp(NOON.date(), NOON.date()) != stamp


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (metered(1, ingested_at=datetime.now(UTC)), False),
        (metered(1, 7, ingested_at=datetime.now(UTC)), True),
        (metered(1, dialect="litellm", ingested_at=datetime.now(UTC)), True),
    ],
    ids=["ours and nothing above it", "something above it", "another emitter"],
)
def test_a_call_is_provisional_until_its_trace_was_seen_whole(lake: Path, call: Row, expected: bool) -> None:
    provisional = "select provisional from llm_calls"
    commit(lake, call)
    assert ask(lake, provisional) == [(expected,)]
    settle_new(lake, timedelta(minutes=10))
    assert ask(lake, provisional) == [(expected,)]
    settle_new(lake, AT_ONCE)
    assert ask(lake, provisional) == [(False,)]


# The process


def test_the_settler_looks_again_only_where_something_was_written(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Path] = []

    def look(at: Path, quiet: timedelta) -> Settled:
        looks.append(at)
        return settle_new(at, quiet)

    monkeypatch.setattr(settle, "settle_new", look)
    settler = Settler(lake, AT_ONCE)
    monkeypatch.setattr(settle, "_REST", 0)
    settler.step()
    commit(lake, agent(1))
    for _ in range(5):
        assert settler.step() is False
    assert (looks, costs(lake)) == ([lake], {1: PRICE})
    commit(lake, metered(2, 1))
    settler.step()
    assert (looks, costs(lake)) == ([lake, lake], {2: PRICE})


def test_files_of_settlements_are_merged_sooner_than_others_and_stay_settled(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "_MOST_SMALL_FILES_OF", {"settlements": 2})
    for number in range(1, 5):
        commit(lake, agent(number, trace=number))
        settle_new(lake, AT_ONCE)
    done = [(did.job, did.table, did.words) for did in run_jobs(lake, Terms(), ["merge"])]
    assert done == [("merge", "settlements", "4 files merged into 1")]
    assert set(costs(lake)) == set(range(1, 5))
    assert settle_new(lake, AT_ONCE) == Settled(0, 0, False)


def test_one_process_of_a_machine_settles_at_a_time(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(lake, agent(1))
    monkeypatch.setattr(settle, "_REST", 0)
    with if_free(lake / "settle.lock") as free:
        assert free
        Settler(lake, AT_ONCE).step()
        assert costs(lake) == {}
    Settler(lake, AT_ONCE).step()
    assert costs(lake) == {1: PRICE}

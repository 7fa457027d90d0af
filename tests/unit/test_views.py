"""The views that people query: as documented, one row each for a run and a session, and every dollar in one of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings, strategies as st

import settled_rows
from ledger_rows import Row, call, hotel_trace, make_lake, outcome, span
from spanledger_analytics.connection import connect
from spanledger_analytics.snapshot import files_now
from spanledger_analytics.views import NAMES, VIEWS, sql_type
from spanledger_cli.sql import ask
from spanledger_collector.lake import add_files, write_days
from spanledger_collector.row import MONEY_PARTS
from spanledger_collector.tables import SETTLEMENTS

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)


def shown(lake: Path, view: str) -> list[Row]:
    """Return a view's rows by its first column, without what is NULL or 0."""
    rows = connect(lake).sql(f"select * from {view} order by 1").pl().to_dicts()
    return [{name: value for name, value in row.items() if value is not None and value != 0} for row in rows]


def test_views_have_the_columns_that_are_documented(tmp_path: Path) -> None:
    connection = connect(tmp_path)
    described = {name: connection.execute(f"describe {name}").fetchall() for name in NAMES}
    long = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}
    assert {name: [(row[0], long.get(row[1], row[1])) for row in rows] for name, rows in described.items()} == {
        view.name: [(column.name, sql_type(column.type)) for column in view.columns] for view in VIEWS
    }


def test_the_catalogue_says_what_views_are_and_what_columns_mean_where_asked_for(tmp_path: Path) -> None:
    views = "select view_name, comment from duckdb_views() where not internal"
    columns = "select table_name, column_name, comment from DUCKDB_COLUMNS() where comment is not null"
    files = files_now(tmp_path)
    of_views, of_columns = (ask(files, query) for query in (views, columns))
    assert of_views is not None
    assert of_columns is not None
    assert {"view_name": "spans", "comment": "one row a span, as settled"} in of_views.to_pylist()
    assert {row["view_name"] for row in of_views.to_pylist() if row["comment"]} == set(NAMES)
    assert {tuple(row.values()) for row in of_columns.to_pylist()} == {
        (view.name, column.name, column.sentence) for view in VIEWS for column in view.columns
    }
    assert connect(tmp_path).execute(columns).fetchall() == []


def test_a_run_is_one_row_with_what_it_cost_and_how_it_ended(tmp_path: Path) -> None:
    tags: Row = {"user_id": "u-1", "team_id": "search", "feature": "hotels", "session_id": "s-1"}
    rows = [*hotel_trace(1, NOON, **tags), outcome(1, 9, NOON + timedelta(hours=3))]
    money = {"cost_usd": "0.1475", "cost_input": "0.1295", "cost_output": "0.018"}
    assert shown(make_lake(tmp_path / "lake", rows), "traces") == [
        {
            "trace_id": f"{1:032x}",
            "dt": NOON.date(),
            "start_time": NOON,
            "duration_us": 7_400_000,
            "name": "invoke_agent hotel-search",
            "status": "unset",
            "service_name": "shop",
            "environment": "production",
            **tags,
            "agent_names": ["hotel-search"],
            "models": ["gpt-4-turbo"],
            "spans": 6,
            "calls": 3,
            "tool_calls": 2,
            "input_tokens": 12_950,
            "output_tokens": 600,
            **{name: Decimal(amount) for name, amount in money.items()},
            "provisional_calls": 3,
            "outcome": "resolved",
            "outcome_label": "success",
            "outcome_score": Decimal(1),
            "outcome_of": "trace",
        }
    ]


def test_a_run_counts_retries_errors_tools_that_cost_and_calls_in_doubt(tmp_path: Path) -> None:
    below: Row = {"parent_span_id": "a" * 16}
    paid: Row = {"cost_usd": Decimal("0.5"), "cost_other": Decimal("0.5"), "cost_source": "declared"}
    rows = [
        call(1, 1, NOON, attempts=3, cache_read=10, cache_write=20, cache_read_audio_tokens=1, reasoning=7, **below),
        call(1, 2, NOON, "unheard-of", status="error", attempts=None, **below),
        call(1, 7, NOON, usage_state="estimated", **below),
        call(1, 3, NOON, duplicate_of="b" * 16, cost_usd=None, **below),
        span(1, 4, NOON, role="tool", status="error", **paid, **below),
        span(1, 5, NOON + timedelta(seconds=1), role="agent", agent_name="second", **below),
        span(1, 6, NOON, role="agent", agent_name="first", user_id="u-1", **below),
    ]
    (row,) = shown(make_lake(tmp_path / "lake", rows), "traces")
    told = ("agent_names", "models", "spans", "calls", "tool_calls", "errors", "tool_errors", "retries")
    tokens = ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    doubts = ("tool_cost_usd", "unpriced_calls", "estimated_calls", "estimated_usd")
    assert {name: row[name] for name in (*told, *tokens, *doubts, "user_id")} == {
        "agent_names": ["first", "second"],
        "models": ["gpt-5", "unheard-of"],
        "spans": 7,
        "calls": 3,
        "tool_calls": 1,
        "errors": 1,
        "tool_errors": 1,
        "retries": 2,
        "cache_read_tokens": 11,
        "cache_write_tokens": 20,
        "reasoning_tokens": 7,
        "tool_cost_usd": Decimal("0.5"),
        "unpriced_calls": 1,
        "estimated_calls": 1,
        "estimated_usd": Decimal("0.00225"),
        "user_id": "u-1",
    }


def test_a_session_is_one_row_of_the_spans_that_name_it(tmp_path: Path) -> None:
    rows = [
        call(1, 1, NOON, turn=1, user_id="u-2", feature="chat", session_id="s-1"),
        call(2, 1, LATER, "gpt-5-mini", turn=2, user_id="u-1", feature="chat", session_id="s-1"),
        call(2, 2, LATER, session_id="s-2"),
        call(3, 1, LATER),
        outcome(4, 1, LATER + timedelta(hours=1), session_id="s-1"),
        outcome(2, 3, LATER + timedelta(hours=2), success=False),
    ]
    lake = make_lake(tmp_path / "lake", rows)
    first, second = shown(lake, "sessions")
    assert first == {
        "session_id": "s-1",
        "dt": NOON.date(),
        "start_time": NOON,
        "end_time": LATER + timedelta(seconds=1),
        "service_name": "shop",
        "environment": "production",
        "user_ids": ["u-1", "u-2"],
        "features": ["chat"],
        "models": ["gpt-5", "gpt-5-mini"],
        "traces": 2,
        "calls": 2,
        "turns": 2,
        "input_tokens": 2000,
        "output_tokens": 200,
        "cost_usd": Decimal("0.00270"),
        "provisional_calls": 2,
        "outcome": "resolved",
        "outcome_label": "failure",
    }
    assert (second["session_id"], second["cost_usd"], second["outcome_label"]) == ("s-2", Decimal("0.00225"), "failure")


def test_an_outcome_of_a_session_holds_for_its_runs_and_is_no_run_itself(tmp_path: Path) -> None:
    rows = [
        call(1, 1, NOON, session_id="s-1"),
        call(2, 1, NOON, session_id="s-1"),
        call(3, 1, NOON),
        outcome(4, 1, NOON + timedelta(hours=1), success=False, session_id="s-1"),
        outcome(5, 1, LATER, session_id="s-1"),
        outcome(2, 2, NOON + timedelta(minutes=1), success=False),
    ]
    lake = make_lake(tmp_path / "lake", rows)
    said = "select trace_id[-1:], outcome_label, outcome_of from traces order by 1"
    now = [("1", "success", "session"), ("2", "failure", "trace"), ("3", None, None)]
    before = [("1", "failure", "session"), ("2", "failure", "trace"), ("3", None, None)]
    assert connect(lake).execute(said).fetchall() == now
    assert connect(lake, as_of=NOON + timedelta(hours=2)).execute(said).fetchall() == before
    assert connect(lake, as_of=NOON).execute("select count(*) from traces").fetchall() == [(0,)]
    named = [call(1, 1, NOON), span(1, 2, NOON, name="outcome analysis")]
    assert shown(make_lake(tmp_path / "other", named), "traces")[0]["spans"] == 2


def test_runs_of_some_days_are_those_of_all_without_reading_the_others(tmp_path: Path) -> None:
    midnight = NOON.replace(hour=23, minute=59)
    rows = [call(day, 1, midnight + timedelta(days=day)) for day in range(9)]
    rows += [call(day, 2, midnight + timedelta(days=day, minutes=5)) for day in range(9)]
    connection = connect(make_lake(tmp_path / "lake", rows))
    first, last = NOON.date() + timedelta(days=3), NOON.date() + timedelta(days=4)
    some = f"select * from traces_between('{first}', '{last}')"
    whole = f"select * from traces where dt between '{first}' and '{last}'"
    assert connection.execute(f"select dt, calls from ({some}) order by dt").fetchall() == [(first, 2), (last, 2)]
    assert connection.execute(f"({some} except all {whole}) union all ({whole} except all {some})").fetchall() == []
    ((_, plan),) = connection.execute(f"explain analyze {some}").fetchall()
    assert "Scanning Files: 4/11" in plan  # with the one that names the columns, which is of another day


IDS = st.sampled_from([None, "a", "b", "c"])
KINDS = ("call", "call", "unpriced", "duplicate", "tool", "agent", "outcome")


@st.composite
def ledgers(draw: st.DrawFn) -> list[Row]:
    """Draw rows of a few traces and sessions over three days: calls with and without a price, repeats, paid tools."""
    rows: list[Row] = []
    for number in range(draw(st.integers(1, 25))):
        trace, start = draw(st.integers(1, 4)), NOON + timedelta(hours=draw(st.integers(-24, 24)))
        more: Row = {
            "session_id": draw(IDS),
            "user_id": draw(IDS),
            "parent_span_id": draw(st.sampled_from([None, "f" * 16])),
        }
        kind, tokens = draw(st.sampled_from(KINDS)), draw(st.integers(0, 10**7))
        if kind == "tool":
            cost = Decimal(tokens).scaleb(-12)
            rows.append(span(trace, number, start, role="tool", cost_usd=cost, cost_other=cost, **more))
        elif kind == "agent":
            rows.append(span(trace, number, start, role="agent", unpriced_reason="aggregate", **more))
        elif kind == "outcome":
            rows.append(outcome(trace, number, start, **more))
        elif kind == "duplicate":
            again: Row = {"duplicate_of": "e" * 16, **dict.fromkeys(("cost_usd", *MONEY_PARTS))}
            rows.append(call(trace, number, start, uncached=tokens, **again, **more))
        else:
            model = "gpt-5" if kind == "call" else "unheard-of"
            rows.append(call(trace, number, start, model, tokens, **more))
    return rows


def expected(rows: list[Row], by: str) -> dict[Any, tuple[int, Decimal | None, Decimal | None]]:
    """Return calls, their cost and that of tools, by trace or session."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        if not row["name"].startswith("outcome "):
            groups.setdefault(row.get(by), []).append(row)
    return {
        key: (
            len([row for row in of_it if _is_call(row)]),
            _sum(row.get("cost_usd") for row in of_it if _is_call(row)),
            _sum(row.get("cost_usd") for row in of_it if not _is_call(row)),
        )
        for key, of_it in groups.items()
    }


def _is_call(row: Row) -> bool:
    return row["role"] == "inference" and row.get("duplicate_of") is None


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


WHOLE = """
select
    (select sum(cost_usd) from traces),
    (select sum(cost_input + cost_cache_read + cost_cache_write + cost_output + cost_other) from traces),
    (select sum(cost_usd) from (
        from sessions select cost_usd union all from llm_calls select cost_usd where session_id is null
    )),
    (select sum(cost_usd) from llm_calls),
    (select sum(tool_cost_usd) from traces),
    (select sum(cost_usd) from spans where role = 'tool'),
"""
"""What calls cost, four ways; what tools cost, two ways."""


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ledgers())
def test_every_dollar_is_in_one_run_and_at_most_one_session(rows: list[Row]) -> None:
    totals = "select {0}, calls, cost_usd, tool_cost_usd from {1} order by 1"
    with tempfile.TemporaryDirectory() as folder:
        connection = connect(make_lake(Path(folder) / "lake", rows))
        traces = connection.execute(totals.format("trace_id", "traces")).fetchall()
        sessions = connection.execute(totals.format("session_id", "sessions")).fetchall()
        (sums,) = connection.execute(WHOLE).fetchall()
    assert {key: tuple(rest) for key, *rest in traces} == expected(rows, "trace_id")
    by_session = {key: told for key, told in expected(rows, "session_id").items() if key is not None}
    assert {key: tuple(rest) for key, *rest in sessions} == by_session
    booked, declared = (
        _sum(row.get("cost_usd") for row in rows if _is_call(row) is called) for called in (True, False)
    )
    assert sums == (booked,) * 4 + (declared,) * 2


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(settled_rows.traces())
def test_every_dollar_is_in_one_run_as_settled_too(rows: list[Row]) -> None:
    books = settled_rows.settled(*rows)
    decided = pa.Table.from_pylist(list(books.settled.values()), SETTLEMENTS.full_schema)
    with tempfile.TemporaryDirectory() as folder:
        lake = make_lake(Path(folder) / "lake", books.rows.to_pylist())
        add_files(lake, write_days(lake, "test", decided, SETTLEMENTS), writer="test", version=0, table=SETTLEMENTS)
        (sums,) = connect(lake).execute(WHOLE).fetchall()
    assert sums == (_sum(row["cost_usd"] for row in books.view("cost_usd").values()),) * 4 + (None, None)

"""What agents' metrics count becomes readings, which are compared with the rows and never charged."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent_bodies import CLAUDE_REQUEST, CLAUDE_WHO, CODEX_COMPLETED, claude, codex, metric
from spanledger_analytics.connection import connect
from spanledger_cli import doctor
from spanledger_cli.doctor import Finding
from spanledger_collector.lake import add_files, write_days
from spanledger_collector.signals import convert_records
from spanledger_collector.tables import READINGS, SPANS
from spanledger_collector.wal import Record

HOUR_NS = 3600 * 10**9
THIS_HOUR_NS = time.time_ns() // HOUR_NS * HOUR_NS
THEN_NS = THIS_HOUR_NS - 5 * HOUR_NS
"""The beginning of a full hour, some hours ago."""
THEN = datetime.fromtimestamp(THEN_NS // 10**9, UTC)
MODEL = CLAUDE_REQUEST["model"]
SESSION = CLAUDE_WHO["session.id"]
COST_USD = Decimal("0.03049065")


def point(kind: str, **more: Any) -> Mapping[str, Any]:
    return {**CLAUDE_WHO, "model": MODEL, "type": kind, **more}


def lake_of(folder: Path, *requests: Any) -> Path:
    """A lake with what each request becomes, committed one after the other."""
    for number, request in enumerate(requests):
        signal: Any = "metrics" if "Metrics" in type(request).__name__ else "logs"
        produced = convert_records([Record(THEN_NS + number, request.SerializeToString(), signal)])
        for table in (SPANS, READINGS):
            if files := write_days(folder, f"w-{number}", produced.of(table), table):
                add_files(folder, files, writer="w", version=number, table=table)
    return folder


def checks(lake: Path, columns: str = "hour, side, session_id, metered, booked, difference") -> list[tuple[Any, ...]]:
    return connect(lake).execute(f"select {columns} from cross_checks order by all").fetchall()


def test_a_counter_is_read_with_who_and_what_it_counts() -> None:
    counted = [(9.0, point("input")), (42.0, point("output")), (3.0, point("unheard of"))]
    request = metric("claude_code.token.usage", counted, since_ns=THEN_NS, at_ns=THEN_NS + HOUR_NS)

    produced = convert_records([Record(THEN_NS, request.SerializeToString(), "metrics")])

    found = produced.of(READINGS).to_pylist()
    assert len({row.pop("series") for row in found}) == 2
    assert found == [
        {
            "metric": "claude_code.token.usage",
            "side": side,
            "value": Decimal(value),
            "temporality": "delta",
            "since": THEN,
            "time": THEN + timedelta(hours=1),
            "service_name": "claude-code",
            "session_id": SESSION,
            "model": MODEL,
            "ingested_at": THEN,
        }
        for side, value in (("input", 9), ("output", 42))
    ]
    assert (produced.of(SPANS).num_rows, produced.dead) == (0, [])


@pytest.mark.parametrize(
    "request_",
    [
        metric("claude_code.lines_of_code.count", [(9.0, {"type": "added"})], at_ns=THEN_NS),
        metric("claude_code.token.usage", [(9.0, point("input"))], at_ns=1),
        metric("claude_code.token.usage", [(float("nan"), point("input"))], at_ns=THEN_NS),
        metric("claude_code.token.usage", [(9.0, point("input"))], at_ns=THEN_NS, temporality=0),
    ],
)
def test_other_metrics_are_dropped(request_: Any) -> None:
    produced = convert_records([Record(THEN_NS, request_.SerializeToString(), "metrics")])

    assert (produced.tables, produced.dead) == ({}, [])


def test_deltas_add_up_to_what_the_rows_say(tmp_path: Path) -> None:
    ends_ns = THEN_NS + 10**9
    counted = [(9.0, "input"), (30008.0, "cacheRead"), (3755.0, "cacheCreation"), (42.0, "output")]
    usage = metric("claude_code.token.usage", [(value, point(kind)) for value, kind in counted], at_ns=ends_ns)
    cost = metric("claude_code.cost.usage", [(0.03087165, {**CLAUDE_WHO, "model": MODEL})], at_ns=ends_ns)

    lake = lake_of(tmp_path, claude(CLAUDE_REQUEST, at_ns=ends_ns), usage, cost, usage)  # one of them a retry

    assert checks(lake) == [
        (THEN, "cost", SESSION, Decimal("0.03087165"), Decimal("0.03087165"), 0),
        (THEN, "input", SESSION, 33_772, 33_772, 0),
        (THEN, "output", SESSION, 42, 42, 0),
    ]


def test_a_request_that_no_event_told_of_is_a_difference(tmp_path: Path) -> None:
    usage = metric("claude_code.token.usage", [(100.0, point("output"))], at_ns=THEN_NS)

    assert checks(lake_of(tmp_path, usage)) == [(THEN, "output", SESSION, 100, 0, -100)]


def test_a_cumulative_count_is_what_came_since_the_point_before(tmp_path: Path) -> None:
    said = [(0, 10.0, 0), (0, 25.0, 1), (0, 25.0, 2), (2, 7.0, 3), (2, 3.0, 4)]  # began anew at 2, and fell at 4
    points = [
        metric(
            "gemini_cli.token.usage",
            [(value, {"model": "gemini-2.5-flash", "type": "output"})],
            service="gemini-cli",
            temporality=2,
            since_ns=THEN_NS + since * HOUR_NS,
            at_ns=THEN_NS + at * HOUR_NS,
        )
        for since, value, at in said
    ]

    lake = lake_of(tmp_path, *reversed(points), points[1])

    assert checks(lake, "hour, metered") == [
        (THEN + timedelta(hours=hour), value) for hour, value in enumerate([10, 15, 0, 7, 3])
    ]


def test_a_metric_without_sessions_is_compared_with_the_calls_of_all(tmp_path: Path) -> None:
    calls = [
        codex({**CODEX_COMPLETED, "conversation.id": conversation}, at_ns=THEN_NS + number)
        for number, conversation in enumerate(("one", "two"))
    ]
    turns = metric(
        "codex.turn.token_usage",
        [
            (value, {"model": "gpt-5.1", "token_type": kind})
            for value, kind in ((4000.0, "input"), (3000.0, "cached_input"))
        ],
        service="codex_cli_rs",
        at_ns=THEN_NS + 10**9,
        histogram=True,
    )

    assert checks(lake_of(tmp_path, *calls, turns)) == [(THEN, "input", None, 4000, 4000, 0)]


def test_doctor_tells_where_metrics_and_rows_differ(tmp_path: Path) -> None:
    ends_ns = THEN_NS + 10**9
    usage = metric("claude_code.token.usage", [(42.0, point("output"))], at_ns=ends_ns)
    turns = metric(
        "codex.turn.token_usage",
        [(4000.0, {"model": "gpt-5.1", "token_type": "input"})],
        service="codex_cli_rs",
        at_ns=ends_ns,
        histogram=True,
    )
    request = claude(CLAUDE_REQUEST, at_ns=ends_ns)

    agreeing = lake_of(tmp_path / "agreeing", request, usage)
    lacking = lake_of(tmp_path / "lacking", request, usage, codex(CODEX_COMPLETED, at_ns=THEN_NS), turns)

    assert [list(doctor._metrics(lake)) for lake in (tmp_path / "none", agreeing, lacking)] == [
        [],
        [Finding("metrics", "ok", "they agree with the rows of the last day: claude-code")],
        [
            Finding(
                "metrics",
                "warn",
                "codex_cli_rs: codex.turn.token_usage says 4000 input, the rows have 50% of it;"
                " are all its log events, or spans, sent here?",
            )
        ],
    ]


def test_the_questions_of_the_page_about_agents_are_answered(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "agents.md").read_text("utf-8")
    ends_ns = THEN_NS + 10**9
    usage = metric("claude_code.token.usage", [(42.0, point("output"))], at_ns=ends_ns)
    lake = connect(lake_of(tmp_path, claude(CLAUDE_REQUEST, at_ns=ends_ns), usage))

    spent, compared = (lake.execute(query).fetchall() for query in re.findall(r"```sql\n(.*?)```", page, re.DOTALL))

    assert spent == [("https://github.com/acme/widgets", CLAUDE_WHO["user.id"], "claude-code", 1, COST_USD, None)]
    assert compared == [("claude-code", "claude_code.token.usage", "output", 42, 42, 0)]

"""Outcomes, from events on spans and from log events, become rows of their own table, once each."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent_bodies import SECOND_NS, logs, pairs
from spanledger_analytics.connection import connect
from spanledger_collector.lake import add_files, write_days
from spanledger_collector.signals import Produced, convert_records
from spanledger_collector.tables import OUTCOMES, SPANS
from spanledger_collector.wal import Record, Signal

TAGS_PAGE = Path(__file__).resolve().parents[2] / "docs" / "tags.md"
NOW_NS = time.time_ns()
NOW = datetime.fromtimestamp(NOW_NS // 1000 / 1e6, UTC)
JUDGED: Mapping[str, Any] = {
    "gen_ai.evaluation.name": "relevance",
    "gen_ai.evaluation.score.value": 0.85,
    "gen_ai.evaluation.score.label": "relevant",
    "gen_ai.evaluation.explanation": "[what a model thought]",
}


def convert(request: Any, signal: Signal, received_ns: int = NOW_NS) -> Produced:
    return convert_records([Record(received_ns, request.SerializeToString(), signal)])


def ticket(session: str = "s-9") -> ExportTraceServiceRequest:
    """What `spanledger outcome --session s-9 --name resolved --success --value-usd 12.50` sends."""
    request = ExportTraceServiceRequest()
    home = request.resource_spans.add()
    home.resource.attributes.extend(pairs({"service.name": "desk"}))
    inside = home.scope_spans.add()
    inside.scope.name = "spanledger"
    span = inside.spans.add(
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        name="outcome resolved",
        start_time_unix_nano=NOW_NS,
        end_time_unix_nano=NOW_NS,
        attributes=pairs({"session.id": session, "team.id": "support"}),
    )
    said = {
        "gen_ai.evaluation.name": "resolved",
        "gen_ai.evaluation.score.label": "success",
        "gen_ai.evaluation.score.value": 1.0,
        "spanledger.outcome.value_usd": "12.50",
    }
    span.events.add(name="gen_ai.evaluation.result", time_unix_nano=NOW_NS, attributes=pairs(said))
    span.events.add(name="log", time_unix_nano=NOW_NS)
    return request


def judgement(**how: Any) -> Any:
    event = {"event.name": "gen_ai.evaluation.result", **JUDGED, "gen_ai.response.id": "resp_1", "session.id": "s-9"}
    return logs("judge", "evals", event, **{"at_ns": NOW_NS, "trace_id": b"t" * 16, "span_id": b"c" * 8, **how})


def outcomes(produced: Produced) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = produced.of(OUTCOMES).to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in found]


def test_an_outcome_on_a_span_has_whose_it_was_from_the_span() -> None:
    [found] = outcomes(convert(ticket(), "traces"))

    assert len(found.pop("outcome_id")) == 32
    assert found == {
        "trace_id": (b"t" * 16).hex(),
        "span_id": (b"s" * 8).hex(),
        "name": "resolved",
        "label": "success",
        "score": Decimal(1),
        "value_usd": Decimal("12.5"),
        "session_id": "s-9",
        "team_id": "support",
        "service_name": "desk",
        "source": "spanledger",
        "occurred_at": NOW,
        "ingested_at": NOW,
    }


def test_an_evaluation_that_is_a_log_event_is_about_the_span_that_it_names() -> None:
    produced = convert(judgement(), "logs")
    [found] = outcomes(produced)

    assert len(found.pop("outcome_id")) == 32
    assert found == {
        "trace_id": (b"t" * 16).hex(),
        "span_id": (b"c" * 8).hex(),
        "response_id": "resp_1",
        "name": "relevance",
        "label": "relevant",
        "score": Decimal("0.85"),
        "session_id": "s-9",
        "service_name": "judge",
        "source": "evals",
        "occurred_at": NOW,
        "ingested_at": NOW,
    }
    assert (produced.of(SPANS).num_rows, produced.dead) == (0, [])


@pytest.mark.parametrize(
    ("score", "kept"), [("high", None), (float("nan"), None), (1e300, None), ("0.5", Decimal("0.5"))]
)
def test_a_score_that_is_no_number_is_left_out(score: object, kept: Decimal | None) -> None:
    event = {"event.name": "gen_ai.evaluation.result", "gen_ai.evaluation.score.value": score}
    [found] = outcomes(convert(logs("judge", "evals", event, at_ns=NOW_NS), "logs"))

    assert found.get("score") == kept


def test_an_outcome_of_another_age_goes_to_dead_alone() -> None:
    old = judgement(at_ns=SECOND_NS)
    old.resource_logs[0].scope_logs[0].log_records.append(judgement().resource_logs[0].scope_logs[0].log_records[0])

    produced = convert(old, "logs")

    assert len(outcomes(produced)) == 1
    [(body, reason)] = produced.dead
    assert (body, reason) == (
        judgement(at_ns=SECOND_NS).SerializeToString(),
        "an outcome dated more than 400 days ago or a day ahead",
    )


def test_an_outcome_that_is_sent_again_is_one_row_of_the_view(tmp_path: Path) -> None:
    sent = [convert(ticket(), "traces"), convert(ticket(), "traces", NOW_NS + SECOND_NS), convert(judgement(), "logs")]
    for number, produced in enumerate(sent):
        files = write_days(tmp_path, f"w-{number}", produced.of(OUTCOMES), OUTCOMES)
        add_files(tmp_path, files, writer="w", version=number, table=OUTCOMES)

    connection = connect(tmp_path)
    found = connection.execute("select name, ingested_at from outcomes order by name").fetchall()
    (question,) = re.findall(r"```sql\n(.*?)```", TAGS_PAGE.read_text("utf-8"), re.DOTALL)

    assert found == [("relevance", NOW), ("resolved", NOW)]
    assert connection.execute(question).fetchall() == [
        ("relevance", "relevant", 1, None),
        ("resolved", "success", 1, None),
    ]

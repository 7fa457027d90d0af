"""`spanledger inspect` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent_bodies import CLAUDE_REQUEST, claude, metric
from otlp_bodies import RECORDED, request, span
from spanledger_collector.row import COLUMNS, MONEY_PARTS
from spanledger_collector.tables import OUTCOMES

CACHED = RECORDED / "otel_with_native" / "ant_cached.pb"
RETRIEVE = RECORDED / "otel" / "oai_responses_create_then_retrieve.pb"


def inspect(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from spanledger_cli import main; main()", "inspect", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_rows_have_every_column_and_say_what_counts() -> None:
    done = inspect(CACHED, RETRIEVE)
    found = rows(done)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(found[0]) == ["file", "counted", "not_counted_reason", *(column.name for column in COLUMNS)]
    assert [(Path(row["file"]).name, row["counted"], row["not_counted_reason"]) for row in found] == [
        ("ant_cached.pb", True, None),
        ("ant_cached.pb", False, "duplicate"),
        ("oai_responses_create_then_retrieve.pb", True, None),
        ("oai_responses_create_then_retrieve.pb", False, "retrieve"),
    ]


def test_money_is_text_and_times_end_in_z() -> None:
    charged, duplicate = rows(inspect(CACHED))
    assert sum(Decimal(charged[part]) for part in MONEY_PARTS) == Decimal(charged["cost_usd"])
    assert charged["cost_other"] == "0.000000000000"
    assert charged["start_time"] == "2026-11-22T06:12:34.824408Z"
    assert (duplicate["cost_usd"], duplicate["duplicate_of"]) == (None, charged["span_id"])


def test_json_body_is_the_same_as_protobuf(tmp_path: Path) -> None:
    body = ExportTraceServiceRequest.FromString(request(span({"own": "text", "gen_ai.operation.name": "chat"})))
    document = json_format.MessageToDict(body)
    for item in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        item |= {"traceId": (0xAA01).to_bytes(16).hex(), "spanId": (0xBB01).to_bytes(8).hex()}
    (tmp_path / "body.pb").write_bytes(body.SerializeToString())
    (tmp_path / "body.json").write_text(json.dumps(document))
    first, second = rows(inspect(tmp_path / "body.pb", tmp_path / "body.json"))
    for row in (first, second):
        del row["file"], row["ingested_at"]
    assert first == second


def test_each_file_is_a_batch_of_its_own() -> None:
    assert [row["counted"] for row in rows(inspect(CACHED, CACHED))] == [True, False, True, False]


def test_spans_of_any_date_are_shown(tmp_path: Path) -> None:
    (tmp_path / "old.pb").write_bytes(request(span(start_time_unix_nano=10**18, end_time_unix_nano=10**18)))
    assert [row["start_time"] for row in rows(inspect(tmp_path / "old.pb"))] == ["2001-09-09T01:46:40.000000Z"]


@pytest.mark.parametrize("content", [b"hello", b"{", b"[]", b'{"resourceSpans": 7}', b"\x08\x01", b""])
def test_file_that_is_no_otlp_is_told_and_the_others_shown(tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.pb"
    bad.write_bytes(content)
    done = inspect(bad, CACHED)
    assert done.returncode == 1
    assert done.stderr.startswith(f"spanledger: {bad}: ")
    assert len(rows(done)) == 2


def test_json_file_is_told_what_is_wrong_with_its_json(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"spans": []}')
    done = inspect(bad)
    told = f"spanledger: {bad}: the JSON has none of resourceSpans, resourceLogs, resourceMetrics\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


def test_file_that_is_not_there_is_told_and_the_others_shown(tmp_path: Path) -> None:
    done = inspect(tmp_path / "none.pb", tmp_path, CACHED)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"spanledger: {tmp_path / 'none.pb'}: No such file or directory",
        f"spanledger: {tmp_path}: Is a directory",
    ]
    assert len(rows(done)) == 2


def test_logs_are_shown_as_calls_and_outcomes_protobuf_or_json(tmp_path: Path) -> None:
    judged = {"event.name": "gen_ai.evaluation.result", "gen_ai.evaluation.name": "relevance"}
    request = claude(CLAUDE_REQUEST, judged, {"event.name": "user_prompt"}, at_ns=10**18)
    (tmp_path / "logs.pb").write_bytes(request.SerializeToString())
    (tmp_path / "logs.json").write_text(json_format.MessageToJson(request))

    done = inspect("--signal", "logs", tmp_path / "logs.pb", tmp_path / "logs.json")

    call, outcome, *same = found = rows(done)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(call) == ["file", "counted", "not_counted_reason", *(column.name for column in COLUMNS)]
    assert (call["counted"], call["dialect"], call["input_tokens"]) == (True, "claude_code", 33772)
    assert list(outcome) == ["file", "table", *(column.name for column in OUTCOMES.columns)]
    assert (outcome["table"], outcome["name"], outcome["occurred_at"]) == (
        "outcomes",
        "relevance",
        "2001-09-09T01:46:40.000000Z",
    )
    for row in found:
        del row["file"], row["ingested_at"]
    assert same == [call, outcome]


def test_metrics_are_shown_as_readings(tmp_path: Path) -> None:
    counted = metric("codex.turn.token_usage", [(7.0, {"token_type": "input", "model": "gpt-5.1"})], histogram=True)
    (tmp_path / "metrics.pb").write_bytes(counted.SerializeToString())

    [reading] = rows(inspect("--signal", "metrics", tmp_path / "metrics.pb"))

    assert (reading["table"], reading["metric"], reading["side"], reading["value"]) == (
        "readings",
        "codex.turn.token_usage",
        "input",
        "7.000000000000",
    )


@pytest.mark.parametrize("signal", ["logs", "metrics"])
def test_a_body_of_another_signal_is_told(signal: str) -> None:
    done = inspect("--signal", signal, CACHED)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"spanledger: {CACHED}: not an OTLP {signal} request: ")

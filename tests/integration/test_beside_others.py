"""Another instrumentation beside ours: a call is charged once, its spans are as without us, and so is the application.

What the peer emits goes to our collector as well, in one batch with ours, which is the case where it could be charged
twice. Here the peer is the official one; `tools/beside_others.py` names more, each in an environment of its own.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otlp_sink import span_dict
from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS
from spanledger_collector.inspect import not_counted_reason
from spanledger_collector.rows import convert

ROOT = Path(__file__).resolve().parents[2]
PEERS: dict[str, str] = json.loads(os.environ.get("SPANLEDGER_BESIDE", "{}")) or {
    "otel": sys.executable,
    "anthropic": sys.executable,
}
"""Peer to the interpreter of an environment that has it."""
FEW = (
    "oai_chat_simple",
    "oai_chat_async",
    "oai_stream_usage",
    "oai_stream_no_usage",
    "oai_raw_response",
    "oai_error_429",
    "oai_retry",
    "oai_stream_early_close",
    "oai_stream_mid_error",
    "oai_async_cancel",
    "oai_embeddings",
    "oai_responses_stream",
    "oai_responses_parse",
    "ant_simple",
    "ant_cached",
    "ant_stream_create",
    "ant_stream_helper_async",
    "ant_streaming_response",
    "ant_beta",
    "ant_beta_stream",
    "ant_count_tokens",
    "ant_error_429",
    "ant_stream_early_close",
)
CHANGING = frozenset(
    {
        "server.port",
        "gen_ai.response.time_to_first_chunk",
        "exception.stacktrace",
        "logfire.exception.fingerprint",  # of the stack's functions, ours among them
        # Logfire's idea of the application's line: the first outside installed packages, and we are run from source.
        "code.filepath",
        "code.function",
        "code.lineno",
        "duration",
        "logfire.metrics",
        "logfire.json_schema",  # names the other attributes once more
    }
)
GAINED = {"logfire": "gen_ai.usage."}
"""What a peer knows thanks to us: Logfire listens within the SDK's stream, where the usage passes that we asked for."""
_CHANGING_TEXT = re.compile(r'127\.0\.0\.1:\d+|"\w+_at": ?[\d.]+|"created": ?\d+|0x[0-9a-f]+|took [\d.]+s')


def cases_of(peer: str) -> list[str]:
    """Name the cases to run; none for all of them."""
    sdk = "ant_" if peer == "anthropic" else ""
    return [] if "SPANLEDGER_BESIDE" in os.environ else [name for name in FEW if name.startswith(sdk)]


@cache
def told(peer: str, order: str) -> dict[str, Any]:
    """Run the cases in a process of their own; what happened in each."""
    folders = [str(ROOT / folder) for folder in ("tests", "instrumentation", "cli")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
    done = subprocess.run(
        [PEERS[peer], str(ROOT / "tests" / "beside_worker.py"), peer, order, *cases_of(peer)],
        env={**environment, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cases = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {case["name"]: case for case in cases}


def rows(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Take in all spans of a case as one batch."""
    bodies = [base64.b64decode(body) for body in case["ours"] + case["foreign"]]
    converted = convert(bodies, [time.time_ns()] * len(bodies), any_date=True)
    assert converted.dead == []
    return [dict(row) for row in converted.rows.to_pylist()]


def foreign_spans(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Show the peer's spans without what differs from run to run; a parent by its name."""
    requests = [ExportTraceServiceRequest.FromString(base64.b64decode(body)) for body in case["foreign"]]
    spans = [
        {**span_dict(span), "scope": scope_spans.scope.name}
        for request in requests
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]
    names = {span["span_id"]: span["name"] for span in spans}
    for span in spans:
        span["parent"] = names.get(span.pop("parent_span_id"), "")
        for changing in ("trace_id", "span_id", "nanoseconds"):
            del span[changing]
        span["attributes"] = _lasting(span["attributes"])
        span["events"] = [{**event, "attributes": _lasting(event["attributes"])} for event in span["events"]]
    return spans


def without_gain(spans: list[dict[str, Any]], alone: list[dict[str, Any]], prefix: str | None) -> list[dict[str, Any]]:
    """Leave out attributes with that prefix that a span has only beside us."""
    for span, before in zip(spans, alone, strict=False):
        gained = {name for name in span["attributes"] if prefix and name.startswith(prefix)} - {*before["attributes"]}
        span["attributes"] = {name: value for name, value in span["attributes"].items() if name not in gained}
    return spans


def _lasting(attributes: dict[str, Any]) -> dict[str, str]:
    return {name: _CHANGING_TEXT.sub("", str(value)) for name, value in attributes.items() if name not in CHANGING}


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("peer", PEERS)
def test_application_gets_what_it_gets_without_us(peer: str, order: str) -> None:
    """`before` and `after` ours: the order in which the two are switched on."""
    both = told(peer, order)
    assert {name: case["result"] for name, case in both.items()} == {
        name: case["result"] for name, case in told(peer, "alone").items()
    }
    assert {name: case["faults"] for name, case in both.items() if case["faults"]} == {}


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("peer", PEERS)
def test_spans_of_the_other_are_as_without_us(peer: str, order: str) -> None:
    alone, both = told(peer, "alone"), told(peer, order)
    assert any(case["foreign"] for case in alone.values())
    for name, case in both.items():
        without_us = foreign_spans(alone[name])
        assert without_gain(foreign_spans(case), without_us, GAINED.get(peer)) == without_us, name


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("peer", PEERS)
def test_each_call_is_counted_once_and_by_our_span(peer: str, order: str) -> None:
    for name, case in told(peer, order).items():
        taken = rows(case)
        counted = [row for row in taken if not_counted_reason(row) is None]
        ours = [row for row in taken if row["dialect"] == "spanledger" and row["role"] == "inference"]
        assert [row["span_id"] for row in counted] == [row["span_id"] for row in ours], name
        assert not [row for row in taken if row["duplicate_of"] is not None and row["cost_usd"] is not None], name


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("peer", PEERS)
def test_tokens_that_are_charged_are_those_on_the_bill(peer: str, order: str) -> None:
    compared = 0
    for name, case in told(peer, order).items():
        charged = [row for row in rows(case) if row["cost_usd"] is not None and row["usage_state"] == "reported"]
        billed = [_tokens(usage) for usage in case["billed"]]
        if len(charged) == len(billed):  # a stream that was left early is not told to the end
            assert sorted(_tokens(row) for row in charged) == sorted(billed), name
            compared += len(billed)
    assert compared >= 4


def _tokens(counts: dict[str, Any]) -> list[Decimal]:
    return [Decimal(counts[part] or 0) for part in (*INPUT_PARTS, *OUTPUT_PARTS)]

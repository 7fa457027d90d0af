"""Batch, tiers and speed from the call to the ledger: what the process reckons is what the collector books, once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from canned_server import CannedServer, lines
from collecting import collecting
from spanledger_collector.rows import convert
from tracing import MESSAGES, Traced, switched_on

TOKENS = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
MADE = int(time.time()) // 86_400 * 86_400 - 86_400


def rows(traced: Traced) -> list[dict[str, Any]]:
    traced.spans()
    bodies = [request.body.SerializeToString() for request in traced.sink.received]
    booked: list[dict[str, Any]] = convert(bodies, [time.time_ns()] * len(bodies)).rows.to_pylist()
    return booked


def response(tier: str | None) -> dict[str, Any]:
    body = {"id": "resp_priced", "object": "response", "model": "gpt-5.4", "status": "completed", "output": []}
    return {**body, "service_tier": tier, "usage": TOKENS}


def message(model: str, **usage: Any) -> dict[str, Any]:
    body = {"id": "msg_priced", "type": "message", "role": "assistant", "model": model, "content": []}
    return {**body, "stop_reason": "end_turn", "usage": {"input_tokens": 1000, "output_tokens": 100, **usage}}


@pytest.mark.parametrize(
    ("tier", "context", "cost"),
    [
        # gpt-5.4 is $2.50 and $15 a million; flex is half of it, priority double.
        ("default", "", "0.004"),
        ("flex", "service_tier=flex", "0.002"),
        ("priority", "service_tier=priority", "0.008"),
    ],
)
def test_the_tier_that_answered_is_the_one_priced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tier: str, context: str, cost: str
) -> None:
    with CannedServer() as server, switched_on(monkeypatch, tmp_path) as traced:
        server.on("POST", "/v1/responses", response(tier))
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
        client.responses.create(model="gpt-5.4", input="Hi", service_tier="auto")
        (row,) = rows(traced)

    assert row["cost_usd"] == row["reported_cost_usd"] == Decimal(cost)
    assert (row["service_tier"], row["is_batch"]) == (tier, None)
    assert row["price_id"].partition("+")[2] == context


def test_speed_and_batch_of_anthropic_are_priced_alike_here_and_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = {
        "custom_id": "a",
        "result": {"type": "succeeded", "message": message("claude-opus-4-8", service_tier="batch")},
    }
    with CannedServer() as server, switched_on(monkeypatch, tmp_path) as traced:
        path = "/v1/messages/batches/msgbatch_01"
        batch = {"id": "msgbatch_01", "processing_status": "ended", "results_url": f"{server.url}{path}/results"}
        server.on("GET", path, {**batch, "created_at": f"{time.strftime('%Y-%m-%d', time.gmtime(MADE))}T00:00:00Z"})
        server.on("GET", f"{path}/results", lines(line), kind="application/x-jsonl")
        client: Any = anthropic.Anthropic(base_url=server.url, api_key="none")
        for speed in ("standard", "fast"):
            server.on("POST", "/v1/messages", message("claude-opus-4-8", speed=speed))
            client.beta.messages.create(model="claude-opus-4-8", max_tokens=50, messages=MESSAGES)
        list(client.messages.batches.results("msgbatch_01"))
        booked = rows(traced)

    assert all(row["cost_usd"] == row["reported_cost_usd"] for row in booked)
    standard, fast, batched = (row["cost_usd"] for row in booked)
    assert (fast > standard, batched) == (True, standard / 2)
    assert [row["is_batch"] for row in booked] == [None, None, True]
    assert [row["role"] for row in booked] == ["inference"] * 3


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "paid-later.md").read_text("utf-8")
QUERY = PAGE.partition("```sql")[2].partition("```")[0]
READER = """
import openai
client = openai.OpenAI(base_url="{url}/v1", api_key="none")
client.batches.retrieve("batch_1")
client.files.content("file-out")
client.responses.retrieve("resp_background_00000001")
import spanledger
spanledger.flush(60)
"""


def test_what_two_processes_read_is_booked_once(tmp_path: Path) -> None:
    body = {"id": "chatcmpl-booked-00000001", "object": "chat.completion", "created": MADE, "model": "gpt-4o"}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    line = {"id": "batch_req_1", "custom_id": "a", "response": {"status_code": 200, "body": {**body, "usage": usage}}}
    answered = {**response(None), "id": "resp_background_00000001", "created_at": MADE, "background": True}
    with CannedServer() as server, collecting(tmp_path) as collector:
        server.on("GET", "/v1/files/file-out/content", lines(line), kind="application/octet-stream")
        server.on("GET", "/v1/responses/resp_background_00000001", answered)
        server.on("GET", "/v1/batches/batch_1", {"id": "batch_1", "output_file_id": "file-out", "created_at": MADE})
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
        clean |= {"HOME": str(tmp_path), "SPANLEDGER_ENABLED": "1", "SPANLEDGER_ENDPOINT": collector.endpoint}
        # The collector's: it takes over what can't be sent to it in the time that there is at the end.
        clean["SPANLEDGER_HOME"] = str(tmp_path / "home")
        for number in range(2):
            code = READER.format(url=server.url)
            subprocess.run(
                [sys.executable, "-c", code], env={**clean, "OTEL_SERVICE_NAME": f"s{number}"}, check=True, timeout=180
            )
            collector.wait_for_spans(2)
        # Sent after the repeats, so that they are in when it is.
        marker = "import spanledger\nwith spanledger.span('marker', kind='step'): pass\nspanledger.flush(60)"
        subprocess.run([sys.executable, "-c", marker], env={**clean, "OTEL_SERVICE_NAME": "s"}, check=True, timeout=180)
        collector.wait_for_spans(3)
        booked = collector.ask("select response_id, is_batch, cost_usd from spans where role = 'inference' order by 1")
        by_batch = collector.ask(QUERY)

    assert by_batch == [("batch_1", 1, Decimal("0.00175"))]
    assert booked == [
        ("chatcmpl-booked-00000001", True, Decimal("0.00175")),
        ("resp_background_00000001", None, Decimal("0.004")),
    ]

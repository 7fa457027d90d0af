"""Real collectors on one lake settle what no single one of them could see."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector_process import Collector, start_collector
from otlp_bodies import Value, request, span
from spanledger import names
from spanledger_analytics.connection import connect
from waiting import wait_until

DAY_NS = 86_400 * 10**9
CALL: dict[str, Value] = {
    names.OPERATION: "chat",
    names.PROVIDER: "openai",
    names.REQUEST_MODEL: "gpt-5",
    names.RESPONSE_MODEL: "gpt-5",
    names.RESPONSE_ID: "chatcmpl-0123456789",
    names.INPUT_TOKENS: 1000,
    names.OUTPUT_TOKENS: 100,
}
AGENT: dict[str, Value] = {**CALL, names.OPERATION: "invoke_agent"}
OURS, FRAMEWORK, GATEWAY = "spanledger", "agents-framework", "litellm"


def send(collector: Collector, body: bytes) -> None:
    """Send one body, and return when it is acknowledged."""
    headers = {"Content-Type": "application/x-protobuf"}
    address = f"http://127.0.0.1:{collector.http_port}/v1/traces"
    with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=60) as answer:
        assert answer.status == 200


def one(
    number: int, attributes: dict[str, Value], parent: int | None = None, *, trace: int, back_ns: int = 0, **kind: Any
) -> bytes:
    """Build a body of one span, `back_ns` before now."""
    now = time.time_ns() - back_ns
    made = span(
        attributes,
        number=number,
        trace_id=trace.to_bytes(16),
        parent_span_id=b"" if parent is None else (0xBB00 + parent).to_bytes(8),
        start_time_unix_nano=now - 10**9,
        end_time_unix_nano=now,
    )
    return request(made, **kind)


def ask(lake: Path, query: str) -> list[Any]:
    with contextlib.closing(connect(lake)) as connection:
        return connection.execute(query).fetchall()


def charged(lake: Path) -> dict[int, str | None]:
    """Return the numbers of the charged spans, with their users."""
    rows = ask(lake, "select span_id, user_id from llm_calls where cost_usd is not null")
    return {int(span_id, 16) - 0xBB00: user for span_id, user in rows}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def pair(tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Collector, Collector]]:
    """Run two collectors, with homes of their own, on one lake, where traces are settled after a second."""
    monkeypatch.setenv("SPANLEDGER_SETTLE_AFTER_S", "1")
    with contextlib.ExitStack() as running:
        errors = running.enter_context((tmp_path / "collectors.log").open("ab"))
        made = [start_collector(tmp_path / name, lake, errors) for name in ("here", "there")]
        for collector in made:
            running.callback(collector.kill)
        yield made[0], made[1]


def test_two_collectors_settle_what_neither_sees_alone(lake: Path, pair: tuple[Collector, Collector]) -> None:
    here, there = pair

    # An agent of yesterday; its call comes late, through the other collector, and was made today.
    send(here, one(1, AGENT, trace=1, scope=FRAMEWORK, back_ns=DAY_NS))
    wait_until(lambda: charged(lake) == {1: None}, timeout_s=120, what="the agent's charge")
    late = {**CALL, names.RESPONSE_ID: "chatcmpl-another-answer"}
    send(there, one(2, late, 1, trace=1, scope=FRAMEWORK))
    wait_until(lambda: charged(lake) == {2: None}, timeout_s=120, what="the call to take it over")

    # The user stands on the root alone.
    send(there, one(3, {names.USER_ID: "u-1"}, trace=2, scope="app"))
    plain = {**CALL, names.RESPONSE_ID: "chatcmpl-third-answer"}
    send(here, one(4, plain, 3, trace=2))
    wait_until(lambda: charged(lake) == {2: None, 4: "u-1"}, timeout_s=120, what="the root's user")

    # A gateway and an SDK tell of one call in traces of their own.
    gateway = one(5, CALL, trace=3, scope=GATEWAY, resource={"service.name": "gateway"})
    shop = one(6, CALL, trace=4, resource={"service.name": "shop"})  # built before either is sent: they overlap
    send(here, gateway)
    send(there, shop)
    marks = "select span_id, duplicate_of from spans where duplicate_of is not null"
    marked = [(f"{0xBB05:016x}", f"{0xBB06:016x}")]
    wait_until(lambda: ask(lake, marks) == marked, timeout_s=120, what="one charge for one call")
    assert charged(lake) == {2: None, 4: "u-1", 6: None}
    provisional = "select count(*) from llm_calls where provisional"
    wait_until(lambda: ask(lake, provisional) == [(0,)], timeout_s=120, what="nothing provisional")
    assert [collector.stop() for collector in pair] == [0, 0]


def test_maintain_settles_a_lake_on_which_no_collector_runs(tmp_path: Path, lake: Path) -> None:
    with (tmp_path / "collector.log").open("ab") as errors:
        collector = start_collector(tmp_path / "home", lake, errors)
        try:
            send(collector, one(1, AGENT, trace=1, scope=FRAMEWORK))
            collector.wait_for_commit()
        finally:
            collector.kill()
    assert charged(lake) == {}

    def maintain(*flags: str) -> str:
        argv = [sys.executable, "-m", "spanledger_cli", "maintain", "--lake", str(lake), *flags]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=180, env=os.environ)
        assert done.stdout in ("", "count      rollups      1 day counted\n")
        return done.stderr

    idle = "spanledger: nothing else is due"
    assert maintain().splitlines() == ["spanledger: settled 0 traces, 0 decisions", idle]
    assert maintain("--settle-after", "0").splitlines() == ["spanledger: settled 1 trace, 1 decision", idle]
    assert charged(lake) == {1: None}
    again = maintain("--from", "2026-01-01").splitlines()
    assert again == [
        "spanledger: settled 1 trace, 0 decisions",
        "spanledger: settled 0 traces, 0 decisions",
        "spanledger: nothing else is due",
    ]

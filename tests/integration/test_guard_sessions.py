"""Accounts of sessions: how long they are kept, of sessions and of traces that stand for one."""

from __future__ import annotations

import time
from pathlib import Path

import openai
import pytest

import spanledger
from guarded import accounts, write_policy
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, switched_on

DAY = 86_400_000
POLICY = """
store = "sqlite"
[[budget]]
name = "run"
per = "session"
usd = 1
[[breaker]]
name = "loop"
session_calls = 50
"""


def test_a_session_is_kept_a_month_and_a_trace_without_one_a_day(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_policy(monkeypatch, tmp_path, POLICY)
    begin_ms = time.time_ns() // 1_000_000
    with LocalProvider() as provider, switched_on(monkeypatch, tmp_path / "home") as traced:
        client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none", max_retries=0)
        with spanledger.tags(session_id="f" * 32):
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        _, alone = traced.spans()
        kept = {one.key: one.until_ms for one in accounts()}
    end_ms = time.time_ns() // 1_000_000
    trace, session = alone["trace_id"], "f" * 32
    month = {begin_ms // DAY * DAY + 31 * DAY, end_ms // DAY * DAY + 31 * DAY}
    assert kept.pop(f"budget/run/everything/session:{session}") in month
    assert kept.pop(f"breaker/loop/session_id={session}/calls") in month
    assert kept.keys() == {f"budget/run/everything/session:{trace}", f"breaker/loop/session_id={trace}/calls"}
    assert all(begin_ms + DAY <= until_ms <= end_ms + DAY for until_ms in kept.values())

"""Alerts with real processes: spans in by OTLP, a webhook and a mail server told, once, through kill -9 and restart."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest

from alert_sinks import SmtpSink, WebhookSink
from collector_process import Collector, start_collector
from ledger_rows import call, make_lake
from otlp_bodies import request, span
from receiving import PROTOBUF, request as post
from spanledger_analytics.alert import alert_command
from spanledger_analytics.alerts.store import Store
from waiting import wait_until

RULES = """
[alerting]
every = "1s"
group_interval = "1s"
external_url = "http://127.0.0.1:8501"

[[receiver]]
name = "hook"
kind = "webhook"
url = "{url}"

[[receiver]]
name = "mail"
kind = "email"
host = "127.0.0.1"
port = {port}
tls = "none"
from = "ledger@example.com"
to = ["ops@example.com"]

[[rule]]
name = "spend is fast"
kind = "velocity"
by = "team"
percent = 150
floor_usd = "{floor}"
cooldown = "0s"
labels = {{ channel = "finops" }}
"""


@pytest.fixture
def sinks() -> Iterator[tuple[WebhookSink, SmtpSink]]:
    with WebhookSink() as hook, SmtpSink() as mail:
        yield hook, mail


def write_rules(home: Path, hook: WebhookSink, mail: SmtpSink, floor: str) -> None:
    draft = home / "alerts.draft"
    draft.write_text(RULES.format(url=hook.url, port=mail.port, floor=floor), "utf-8")
    draft.rename(home / "alerts.toml")


def quiet_days(lake: Path) -> None:
    """Write three days of a team that spends $1 an hour: 800,000 tokens of gpt-5."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [now - timedelta(hours=back) for back in range(2, 75)]
    rows = [call(back, 1, hour, "gpt-5", 800_000, 0, team_id="search") for back, hour in enumerate(hours)]
    make_lake(lake, rows)


def send_spike(collector: Collector, calls: int) -> None:
    """Send calls of just now: 2 M input tokens of gpt-4o at $2.50 a million are $5 each."""
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 2_000_000,
        "gen_ai.usage.output_tokens": 0,
        "team.id": "search",
    }
    start = time.time_ns() - 5 * 10**9
    spans = [
        span(
            attributes,
            number=number,
            start_time_unix_nano=start + number,
            end_time_unix_nano=start + number + 10**9,
        )
        for number in range(calls)
    ]
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", collector.http_port, timeout=60)) as connection:
        assert post(connection, request(*spans), PROTOBUF).status == 200


def evaluations(home: Path, count: int) -> None:
    """Return when so many more evaluations were made."""
    store = Store(home)
    for _ in range(count):
        before = store.facts().get("evaluated_at")
        wait_until(
            lambda before=before: store.facts().get("evaluated_at") != before,  # type: ignore[misc]
            timeout_s=60,
            what="an evaluation",
        )
    store.close()


def noted(home: Path, count: int) -> None:
    """Return when it is kept that so many notifications have arrived: who is killed before that sends again."""
    store = Store(home)
    wait_until(
        lambda: [one["done_at"] is not None for one in store.outbox()] == [True] * count,
        timeout_s=60,
        what="arrivals that are noted",
    )
    store.close()


def evaluator(home: Path) -> int:
    """Return the process that has evaluated last."""
    store = Store(home)
    pid = int(store.facts().get("pid", 0))
    store.close()
    return pid


def start_evaluator(home: Path, lake: Path, words: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start another process that evaluates, which ends with this one."""
    argv = alert_command(home, lake).argv
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=words, stderr=words)


def test_a_spike_is_told_once_by_webhook_and_mail_and_so_is_its_end(
    tmp_path: Path, sinks: tuple[WebhookSink, SmtpSink]
) -> None:
    """The process that fired is killed, and one that waited for the lock goes on."""
    hook, mail = sinks
    home, lake = tmp_path / "home", tmp_path / "lake"
    home.mkdir()
    quiet_days(lake)
    with (tmp_path / "words.txt").open("ab") as words:
        collector = start_collector(home, lake, words, ("-m", "spanledger_cli", "collect"))
        second: subprocess.Popen[bytes] | None = None
        try:
            write_rules(home, hook, mail, "10")  # the process finds them when they come
            send_spike(collector, 4)
            wait_until(lambda: len(hook.bodies) == 1 and len(mail.mails) == 1, timeout_s=60, what="both told")
            noted(home, 2)
            first = evaluator(home)
            second = start_evaluator(home, lake, words)
            evaluations(home, 2)
            assert evaluator(home) == first != second.pid
            collector.kill()
            wait_until(lambda: evaluator(home) == second.pid, timeout_s=120, what="the other one to go on")
            evaluations(home, 2)
            assert (len(hook.bodies), len(mail.mails)) == (1, 1)
            write_rules(home, hook, mail, "1000")
            wait_until(
                lambda: len(hook.bodies) == 2 and len(mail.mails) == 2, timeout_s=60, what="both told of the end"
            )
            noted(home, 4)
            evaluations(home, 1)
        finally:
            if second is not None:
                second.kill()
                second.communicate(timeout=60)
            if collector.process.poll() is None:
                collector.kill()
    firing, over = hook.bodies
    (alert,), (ended,) = firing["alerts"], over["alerts"]
    assert (firing["status"], over["status"], len(hook.bodies)) == ("firing", "resolved", 2)
    assert alert["labels"] == {
        "alertname": "spend is fast",
        "channel": "finops",
        "kind": "velocity",
        "scope": "team",
        "severity": "warning",
        "team": "search",
    }
    assert alert["annotations"]["summary"] == (
        "team search: $20.00 in the last 60 minutes, 2,000 % of the $1.00 that are usual (this hour of the day)"
    )
    assert (alert["annotations"]["value"], alert["annotations"]["trip_level"]) == ("20", "11")
    assert (ended["startsAt"], ended["fingerprint"]) == (alert["startsAt"], alert["fingerprint"])
    assert ended["endsAt"] > ended["startsAt"]
    assert len({headers["idempotency-key"] for headers in hook.headers}) == 2
    assert [sent.to for sent in mail.mails] == [["ops@example.com"]] * 2
    assert "Subject: [firing] spend is fast" in mail.mails[0].text
    assert "Subject: [resolved] spend is fast" in mail.mails[1].text

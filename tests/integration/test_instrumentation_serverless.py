"""Processes that are frozen between two calls: what was recorded has left before that."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import spanledger
from application import CALL, billed_ids, environment, response_ids, run_script, running
from otlp_sink import OtlpSink
from patience import PATIENT
from ports import held_port
from spanledger import delivery as sending, ledger, settings
from spanledger.endings import flushes_calls
from spanledger.errors import SettingError
from spanledger.spool import backlog
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, switched_on
from waiting import wait_until

CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES}
HANDLER = """
import os
for event in sys.stdin:
    {work}
    os.write(1, b"returned\\n")
"""


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


def _invoke(process: subprocess.Popen[bytes], output: Path) -> None:
    """Have the handler run, and freeze the process the moment that it returns, as a function service does."""
    before = output.read_bytes().count(b"returned")
    assert process.stdin is not None
    process.stdin.write(b"event\n")
    process.stdin.flush()
    wait_until(lambda: output.read_bytes().count(b"returned") > before, timeout_s=100, what="the handler's end")
    process.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize(
    ("work", "variables"),
    [
        pytest.param("call()", {"AWS_LAMBDA_FUNCTION_NAME": "refunds"}, id="lambda"),
        pytest.param("call()", {"SPANLEDGER_FLUSH": "call"}, id="asked for"),
        pytest.param("list(call(stream=True))", {"SPANLEDGER_FLUSH": "call"}, id="stream"),
        pytest.param("call(); spanledger.flush(60)", {}, id="flushed by hand"),
    ],
)
def test_a_process_that_is_frozen_when_its_handler_returns_and_never_thawed_has_delivered(
    provider: LocalProvider, tmp_path: Path, work: str, variables: dict[str, str]
) -> None:
    argv = [sys.executable, "-c", CALL + PATIENT + "import spanledger" + HANDLER.format(work=work), provider.url]
    variables = {**variables, "OTEL_BSP_SCHEDULE_DELAY": "600000"}
    with OtlpSink() as sink, running(argv, environment(sink.url, tmp_path / "home", **variables), tmp_path) as process:
        _invoke(process, tmp_path / "output")
        # What has left the process may still be read by the collector.
        wait_until(lambda: bool(response_ids(sink)), what="the call at the collector")
        arrived = response_ids(sink)
        process.kill()

    assert arrived == billed_ids(provider)
    assert len(arrived) == 1


def test_a_frozen_process_goes_on_when_it_is_thawed_and_loses_nothing_to_a_collector_that_was_started_anew(
    provider: LocalProvider, tmp_path: Path
) -> None:
    argv = [sys.executable, "-c", CALL + HANDLER.format(work="call()"), provider.url]
    with (
        held_port() as port,
        running(argv, environment(f"http://127.0.0.1:{port}", tmp_path / "home"), tmp_path) as process,
    ):
        with OtlpSink(port) as first:
            _invoke(process, tmp_path / "output")
        with OtlpSink(port) as second:
            process.send_signal(signal.SIGCONT)
            wait_until(lambda: len(first.spans()) + len(second.spans()) >= 1, timeout_s=60, what="the call from before")
            _invoke(process, tmp_path / "output")
            process.send_signal(signal.SIGCONT)
            wait_until(
                lambda: {*response_ids(first), *response_ids(second)} == set(billed_ids(provider)),
                timeout_s=60,
                what="both calls",
            )

    assert len(provider.billed) == 2


def test_steps_wait_once_at_the_outermost(provider: LocalProvider, tmp_path: Path) -> None:
    code = """
import spanledger
from spanledger import ledger
waits, plain = [], ledger.settle
ledger.settle = lambda: (waits.append(ledger._worker is not None), plain())
with spanledger.span("agent"):
    call()
    list(call(stream=True))
    with spanledger.span("tool", kind="tool"):
        pass
print(len(waits), spanledger.flush(0))
"""
    with OtlpSink() as sink:
        ran = run_script(PATIENT + code, provider, sink.url, tmp_path, SPANLEDGER_FLUSH="call")
        names = sorted(span["name"] for span in sink.spans())

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("1 ")
    assert names == ["chat gpt-4o", "chat gpt-4o", "execute_tool tool", "invoke_agent agent"]


def test_where_the_collector_is_away_a_call_is_in_the_spool_before_the_application_goes_on(
    provider: LocalProvider, tmp_path: Path
) -> None:
    argv = [sys.executable, "-c", CALL + PATIENT + HANDLER.format(work="call()"), provider.url]
    with (
        held_port() as port,
        running(
            argv, environment(f"http://127.0.0.1:{port}", tmp_path / "home", SPANLEDGER_FLUSH="call"), tmp_path
        ) as process,
    ):
        for _ in range(3):
            process.send_signal(signal.SIGCONT)
            _invoke(process, tmp_path / "output")
        waiting = backlog(tmp_path / "home" / "spool")

    assert waiting.files == 3


def test_a_collector_that_hangs_costs_one_time_out_and_not_one_for_every_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    attempts: list[float] = []
    for pause in ("FIRST_PAUSE_S", "LONGEST_PAUSE_S"):  # or a slow machine tries again between these lines
        monkeypatch.setattr(sending, pause, 600.0)
    with (
        openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client,
        switched_on(monkeypatch, tmp_path, faultless=False) as traced,
    ):
        monkeypatch.setenv("SPANLEDGER_FLUSH", "call")
        traced.sink.status = 503
        client.chat.completions.create(**CHAT)
        assert ledger._worker is not None
        delivery = ledger._worker._delivery
        assert delivery is not None
        plain = delivery._transport.send

        def send(body: bytes, limit_s: float) -> None:
            attempts.append(limit_s)
            plain(body, limit_s)

        monkeypatch.setattr(delivery._transport, "send", send)
        for _ in range(5):
            client.chat.completions.create(**CHAT)
        waiting, tried = backlog(tmp_path / "spool"), len(attempts)
        delivery._closed_until = 0.0
        traced.sink.status = 200
        assert spanledger.flush(20)

    assert (waiting.files, tried) == (6, 0)
    assert attempts
    assert response_ids(traced.sink) == billed_ids(provider)


@pytest.mark.parametrize(("word", "expected"), [("auto", False), ("batch", False), ("call", True), (" CALL ", True)])
def test_the_setting_decides_when_calls_are_sent(
    word: str, expected: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    monkeypatch.setenv("SPANLEDGER_FLUSH", word)

    assert flushes_calls(settings.load()) is expected


def test_in_a_lambda_function_the_setting_still_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "refunds")
    assert flushes_calls(settings.load(flush="auto"))
    assert not flushes_calls(settings.load(flush="batch"))


def test_a_word_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_FLUSH", "often")
    with pytest.raises(SettingError, match="SPANLEDGER_FLUSH = 'often': expected auto, batch or call"):
        settings.load()


def _close_all(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            server.accept()[0].close()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_answer_that_never_comes_back_keeps_the_body_for_another_attempt(
    protocol: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    """As when the other end closed the connection while the process was frozen."""
    with (
        socket.socket() as closing,
        openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client,
        switched_on(monkeypatch, tmp_path, faultless=False),
    ):
        closing.bind(("127.0.0.1", 0))
        closing.listen()
        monkeypatch.setenv("SPANLEDGER_ENDPOINT", f"http://127.0.0.1:{closing.getsockname()[1]}")
        monkeypatch.setenv("SPANLEDGER_PROTOCOL", protocol)
        threading.Thread(target=_close_all, args=(closing,), daemon=True).start()
        client.chat.completions.create(**CHAT)
        assert spanledger.flush(20) is False

    assert backlog(tmp_path / "spool").files == 1

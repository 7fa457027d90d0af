"""The way from the application's process to the collector: batches, absences, exits, forks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import openai
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

import spanledger
from otlp_sink import OtlpSink
from patience import PATIENT
from ports import held_port
from spanledger import faults
from spanledger.spool import Spool, backlog, waiting
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, switched_on
from waiting import wait_until

CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES}
CALL = """
import sys
from openai import OpenAI

def call(**more):
    client = OpenAI(base_url=sys.argv[1] + "/v1", api_key="none")  # a new one: processes must not share connections
    return client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}], **more)
"""


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        yield client


def _run(
    code: str, provider: LocalProvider, endpoint: str, home: Path, begin: str = PATIENT
) -> subprocess.CompletedProcess[str]:
    """Run an application that does not know of spanledger; only its environment does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
    switched = {"SPANLEDGER_ENABLED": "1", "SPANLEDGER_ENDPOINT": endpoint, "SPANLEDGER_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-c", CALL + begin + code, provider.url],
        env={**kept, **switched},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _response_ids(sink: OtlpSink) -> list[str]:
    return sorted(span["attributes"]["gen_ai.response.id"] for span in sink.spans())


def _spooled_ids(home: Path) -> set[str]:
    """Return the ids of the spans that wait: one that is kept while an attempt fails may wait twice."""
    bodies = (ExportTraceServiceRequest.FromString(file.read_bytes()) for file in waiting(home / "spool"))
    return {
        span.span_id.hex()
        for body in bodies
        for resource_spans in body.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    }


def _billed_ids(provider: LocalProvider) -> list[str]:
    return sorted(call.response_id for call in provider.billed)


def test_a_script_that_ends_at_once_loses_nothing(provider: LocalProvider, tmp_path: Path) -> None:
    with OtlpSink() as sink:
        ran = _run("call()\nstream = call(stream=True)\nnext(stream)\n", provider, sink.url, tmp_path)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert _response_ids(sink) == _billed_ids(provider)
    assert len(provider.billed) == 2


def test_calls_made_while_the_ledger_starts_are_recorded(provider: LocalProvider, tmp_path: Path) -> None:
    code = """
import spanledger
from spanledger import ledger
made = 0
while not made or (made < 5000 and not ledger._worker.ready.wait(0.0005)):
    made += 1
    with spanledger.span(f"step {made}"):
        pass
print(made, flush=True)
spanledger.flush(60)
"""
    with OtlpSink() as sink:
        ran = _run(code, provider, sink.url, tmp_path)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(sink.spans()) == int(ran.stdout) > 0


def test_a_script_that_fails_keeps_its_traceback_and_exit_code(provider: LocalProvider, tmp_path: Path) -> None:
    with OtlpSink() as sink:
        ran = _run("call()\nsys.exit(3 if call().choices else 0)\n", provider, sink.url, tmp_path)

    assert ran.returncode == 3
    assert _response_ids(sink) == _billed_ids(provider)


def test_calls_made_while_the_collector_is_away_arrive_with_the_next_process(
    provider: LocalProvider, tmp_path: Path
) -> None:
    with held_port() as port:
        away = _run("call()\n", provider, f"http://127.0.0.1:{port}", tmp_path)
        left = backlog(tmp_path / "spool")
        with OtlpSink(port) as sink:
            _run("call()\n", provider, sink.url, tmp_path)

    assert away.returncode == 0
    assert (left.files, left.dropped) == (1, 0)
    assert _response_ids(sink) == _billed_ids(provider)
    assert len(provider.billed) == 2
    assert backlog(tmp_path / "spool").files == 0


def test_a_collector_that_hangs_does_not_hold_the_exit_up_for_long(provider: LocalProvider, tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        ran = _run("call()\n", provider, f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path, begin="")

    assert ran.returncode == 0
    assert len(_spooled_ids(tmp_path)) == 1


def test_a_running_process_catches_up_when_the_collector_is_back(
    provider: LocalProvider, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        traced.sink.status = 503
        client.chat.completions.create(**CHAT)
        assert spanledger.flush(20) is False
        assert backlog(tmp_path / "spool").files == 1
        traced.sink.status = 200
        client.chat.completions.create(**CHAT)
        wait_until(lambda: len(traced.sink.spans()) == 2, timeout_s=60, what="both calls at the collector")
        wait_until(lambda: backlog(tmp_path / "spool").files == 0, timeout_s=60, what="an empty spool")

    assert _response_ids(traced.sink) == _billed_ids(provider)


def test_what_the_collector_refuses_for_good_is_not_kept(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = faults.counts().get("batch lost, the collector refuses it: RefusedError", 0)
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        traced.sink.status = 400
        client.chat.completions.create(**CHAT)
        spanledger.flush(20)

    assert faults.counts()["batch lost, the collector refuses it: RefusedError"] == before + 1
    assert backlog(tmp_path / "spool").files == 0


def test_headers_and_path_are_the_settings_own(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPANLEDGER_HEADERS", "authorization=Bearer%20abc, x-team=blue")
    with switched_on(monkeypatch, tmp_path) as traced:
        client.chat.completions.create(**CHAT)
        traced.span()
        (request,) = traced.sink.received

    assert request.path == "/v1/traces"
    assert (request.headers["authorization"], request.headers["x-team"]) == ("Bearer abc", "blue")


def test_opentelemetrys_variables_are_used_when_the_endpoint_says_so(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with OtlpSink() as other, switched_on(monkeypatch, tmp_path) as traced:
        monkeypatch.setenv("SPANLEDGER_ENDPOINT", "otel")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{other.url}/base")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=1")
        client.chat.completions.create(**CHAT)
        assert spanledger.flush(20)
        (request,) = other.received

    assert (request.path, request.headers["x-key"]) == ("/base/v1/traces", "1")
    assert traced.sink.received == []


def test_spans_go_by_grpc_when_the_protocol_says_so(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    received: list[ExportTraceServiceRequest] = []

    class Service(TraceServiceServicer):
        def Export(self, request: ExportTraceServiceRequest, context: object) -> ExportTraceServiceResponse:
            received.append(request)
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with switched_on(monkeypatch, tmp_path):
            monkeypatch.setenv("SPANLEDGER_ENDPOINT", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("SPANLEDGER_PROTOCOL", "grpc")
            client.chat.completions.create(**CHAT)
            assert spanledger.flush(20)
    finally:
        server.stop(None).wait()

    (request,) = received
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "chat gpt-4o"


def test_our_own_requests_take_no_proxy_to_this_machine(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with held_port() as port, switched_on(monkeypatch, tmp_path) as traced:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        client.chat.completions.create(**CHAT)
        assert traced.span()["name"] == "chat gpt-4o"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_records_its_own_calls_once(provider: LocalProvider, tmp_path: Path) -> None:
    code = """
import os
call()
child = os.fork()
call()
if child:
    os.waitpid(child, 0)
"""
    with OtlpSink() as sink:
        ran = _run(code, provider, sink.url, tmp_path)

    assert ran.returncode == 0, ran.stderr
    assert _response_ids(sink) == _billed_ids(provider)
    assert len(provider.billed) == 3
    assert len({span["span_id"] for span in sink.spans()}) == 3


def test_a_stream_that_is_open_at_a_fork_is_the_parents_to_record(provider: LocalProvider, tmp_path: Path) -> None:
    code = """
import os
stream = call(stream=True)
next(stream)
if os.fork() == 0:
    call()
    sys.exit()
os.wait()
list(stream)
"""
    with OtlpSink() as sink:
        ran = _run(code, provider, sink.url, tmp_path)

    assert (ran.returncode, ran.stderr) == (0, "")
    spans = sink.spans()
    assert len({span["span_id"] for span in spans}) == len(spans) == 2
    assert [span["attributes"]["spanledger.usage.state"] for span in spans] == ["reported", "reported"]


@pytest.mark.parametrize("value", ["x-team=a%0Ab", "x-team=%E2%82%AC"])
def test_spans_that_a_header_keeps_from_being_sent_are_kept(
    provider: LocalProvider,
    client: openai.OpenAI,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
) -> None:
    with switched_on(monkeypatch, tmp_path, faultless=False):
        monkeypatch.setenv("SPANLEDGER_HEADERS", value)
        client.chat.completions.create(**CHAT)
        assert not spanledger.flush(20)

    assert backlog(tmp_path / "spool").files == 1


def test_what_the_spool_cannot_read_or_delete_stops_nothing_else(
    provider: LocalProvider, client: openai.OpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool")
    spool.keep(b"")
    spool.keep(b"")
    (tmp_path / "spool" / "folder").mkdir()
    locked, held = sorted(
        path.name for path in (tmp_path / "spool").iterdir() if path.is_file() and path.name[0] != "."
    )
    plain_read, plain_unlink = Path.read_bytes, Path.unlink

    def read_bytes(path: Path) -> bytes:
        if path.name == locked:
            raise PermissionError(13, "Permission denied")
        return plain_read(path)

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.name == held:
            raise PermissionError(13, "Permission denied")
        plain_unlink(path, missing_ok)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    monkeypatch.setattr(Path, "unlink", unlink)
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        client.chat.completions.create(**CHAT)
        assert not spanledger.flush(20)
        monkeypatch.setattr(Path, "unlink", plain_unlink)
        client.chat.completions.create(**CHAT)
        assert not spanledger.flush(20)
        assert len(traced.sink.spans()) == 2

    assert backlog(tmp_path / "spool").files == 1


def test_a_user_without_a_home_is_traced(provider: LocalProvider, tmp_path: Path) -> None:
    code = "import pwd; pwd.getpwuid = lambda _: {}[0]; import os; del os.environ['SPANLEDGER_HOME']\ncall()\n"
    with OtlpSink() as sink:
        ran = _run(f"import os; os.environ.pop('HOME', None); {code}", provider, sink.url, tmp_path)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert _response_ids(sink) == _billed_ids(provider)


def test_a_process_pool_records_the_calls_of_its_children(provider: LocalProvider, tmp_path: Path) -> None:
    code = """
import multiprocessing
call()
context = multiprocessing.get_context("fork")
children = [context.Process(target=call) for _ in range(2)]
for child in children:
    child.start()
for child in children:
    child.join()
"""
    with OtlpSink() as sink:
        ran = _run(code, provider, sink.url, tmp_path)

    assert ran.returncode == 0, ran.stderr
    assert _response_ids(sink) == _billed_ids(provider)
    assert len(provider.billed) == 3


def test_a_process_that_is_killed_has_delivered_what_is_older_than_a_batch(
    provider: LocalProvider, tmp_path: Path
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
    with OtlpSink() as sink:
        switched = {"SPANLEDGER_ENABLED": "1", "SPANLEDGER_ENDPOINT": sink.url, "SPANLEDGER_HOME": str(tmp_path)}
        running = subprocess.Popen(
            [sys.executable, "-c", CALL + "call()\nsys.stdin.read()\n", provider.url],
            env={**kept, **switched},
            stdin=subprocess.PIPE,
        )
        try:
            wait_until(lambda: len(sink.spans()) == 1, timeout_s=100, what="the call at the collector")
        finally:
            running.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            running.communicate()

    assert _response_ids(sink) == _billed_ids(provider)


def test_without_the_variable_nothing_happens(provider: LocalProvider, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
    code = CALL + "call()\nprint([name for name in sys.modules if 'spanledger' in name])"
    with OtlpSink() as sink:
        ran = subprocess.run(
            [sys.executable, "-c", code, provider.url],
            env={**kept, "SPANLEDGER_ENDPOINT": sink.url, "SPANLEDGER_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )

    assert (ran.stdout, ran.stderr) == ("[]\n", "")
    assert (sink.received, list(tmp_path.iterdir())) == ([], [])

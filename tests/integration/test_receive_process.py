"""The collector as a process: ready line, supervision, clean stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from collector_process import Collector, collecting, span_ids, start_collector
from spanledger_collector.serve import STAGES, main, state_path
from spanledger_collector.wal import segments, wal_dir
from waiting import wait_until

PATIENCE_S = 60


def over_http(port: int) -> SpanExporter:
    return HttpExporter(f"http://127.0.0.1:{port}/v1/traces", timeout=PATIENCE_S)


def over_grpc(port: int) -> SpanExporter:
    return GrpcExporter(f"127.0.0.1:{port}", insecure=True, timeout=PATIENCE_S)


def emit(exporter: SpanExporter) -> str:
    """Emit one span and return its id."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = provider.get_tracer("test").start_span("chat")
    span.end()
    provider.shutdown()
    return f"{span.get_span_context().span_id:016x}"


STOPS_PATIENTLY = "from spanledger_collector import serve; serve.DRAIN_S = 120.0; serve.main()"


@contextlib.contextmanager
def stopping_patiently(folder: Path) -> Iterator[Collector]:
    """Run a collector that waits at its stop for rows however slow the machine is."""
    with (folder / "collector.log").open("ab") as errors:
        collector = start_collector(folder / "home", folder / "lake", errors, ("-c", STOPS_PATIENTLY))
        try:
            yield collector
        finally:
            if collector.process.poll() is None:
                collector.kill()


def test_spans_of_both_doors_reach_the_lake_and_a_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    with stopping_patiently(tmp_path) as collector:
        sent = [
            emit(over_http(collector.http_port)),
            emit(over_grpc(collector.grpc_port)),
        ]
        collector.wait_for_commit()
        sent.append(emit(over_http(collector.http_port)))
        children = collector.children()
        collector.process.terminate()
        assert collector.process.wait(150) == 0
    assert sorted(span_ids(collector.lake)) == sorted(sent)
    assert (len(children), [pid for pid in children if Path(f"/proc/{pid}").exists()]) == (len(STAGES), [])
    assert (state_path(collector.home).exists(), segments(wal_dir(collector.home))) == (False, [])
    lines = (tmp_path / "collector.log").read_text().splitlines()
    address = f"http://127.0.0.1:{collector.http_port} grpc 127.0.0.1:{collector.grpc_port}"
    assert lines[0] == f"collector: OTLP {address} lake {collector.lake}"


def test_children_that_die_are_started_again(tmp_path: Path) -> None:
    with collecting(tmp_path) as collector:
        wait_until(lambda: len(collector.children()) == len(STAGES), what="all stages")
        first = collector.children()
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        sent = emit(over_http(collector.http_port))
        collector.wait_for_commit()
        assert span_ids(collector.lake) == [sent]
        assert not set(first) & set(collector.children())


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with collecting(tmp_path) as collector:
        wait_until(lambda: len(collector.children()) == len(STAGES), what="all stages")
        children = collector.children()
        collector.process.kill()
        collector.process.wait(60)
        wait_until(
            lambda: not [pid for pid in children if Path(f"/proc/{pid}").exists()], timeout_s=60, what="their end"
        )


def test_a_collector_that_stops_leaves_the_announcement_of_the_next_one(tmp_path: Path) -> None:
    with collecting(tmp_path) as collector:
        next_one = state_path(collector.home).read_text().replace(str(collector.process.pid), "1")
        state_path(collector.home).write_text(next_one)
        assert collector.stop() == 0
    assert state_path(collector.home).read_text() == next_one


def test_a_second_collector_on_the_same_home_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with collecting(tmp_path) as collector:
        ports = ["--grpc-port", "0", "--http-port", "0"]
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(collector.home), "--lake", str(collector.lake), *ports])
    said = f"is in use by another collector (process {collector.process.pid}); stop it or choose another --home"
    assert (ended.value.code, capsys.readouterr().err) == (
        1,
        f"spanledger: the write-ahead log {collector.home / 'wal'} {said}\n",
    )


def test_a_second_interrupt_does_not_wait_for_the_rows(tmp_path: Path) -> None:
    with collecting(tmp_path) as collector:
        wait_until(lambda: len(collector.children()) == len(STAGES), what="all stages")
        children = collector.children()
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        sent = emit(over_http(collector.http_port))
        collector.process.send_signal(signal.SIGINT)
        wait_until(lambda: b"stopping" in (tmp_path / "collector.log").read_bytes(), what="the first to be seen")
        collector.process.send_signal(signal.SIGINT)
        assert collector.process.wait(60) == 0
    assert len(segments(wal_dir(collector.home))) == 1
    with collecting(tmp_path) as again:
        again.wait_for_commit()
    assert span_ids(collector.lake) == [sent]


def test_idle_connections_leave_the_log_the_files_that_it_needs(tmp_path: Path) -> None:
    """With fewer open files allowed than there are connections."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300));"
        "from spanledger_collector.serve import main; main(sys.argv[1:])"
    )
    places = [
        "--home",
        str(tmp_path / "home"),
        "--lake",
        str(tmp_path / "lake"),
        "--grpc-port",
        "0",
        "--http-port",
        "0",
    ]
    with (
        subprocess.Popen([sys.executable, "-c", code, *places], stdin=subprocess.DEVNULL) as process,
        contextlib.ExitStack() as stack,
    ):
        try:
            wait_until(lambda: state_path(tmp_path / "home").exists(), timeout_s=60, what="the collector")
            port = json.loads(state_path(tmp_path / "home").read_text())["http_port"]
            for _ in range(400):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            emit(over_http(port))
            wait_until(lambda: span_ids(tmp_path / "lake") != [], timeout_s=180, what="the span in the lake")
        finally:
            process.terminate()
            process.wait(60)

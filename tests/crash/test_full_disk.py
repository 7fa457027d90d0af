"""A disk that fills up: the collector refuses so that clients try again, goes on by itself, and loses nothing.

Once in the short form; with SPANLEDGER_PROVE set, ten times over in one life of the collector.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from google.rpc.status_pb2 import Status

from collector_process import Collector, span_ids, start_collector
from otlp_bodies import request, span
from process_tree import Process
from receiving import PROTOBUF, request as send
from small_disk import FileLimit, SmallDisk, memory_disk
from spanledger_collector.serve import STAGES
from waiting import wait_until

TIMES = 10 if os.environ.get("SPANLEDGER_PROVE") else 1
RESERVE_BYTES = 16 << 20
SPANS = 50
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LIMITED: dict[str, Callable[[Process], bool]] = {
    "home": lambda process: ".serve " in process.command,
    "lake": lambda process: ".serve " not in process.command,
    "both": lambda process: True,
}


@dataclass(slots=True)
class Sender:
    """Sends small batches through both doors in turn, and remembers what was acknowledged."""

    collector: Collector
    log: Path
    acknowledged: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    _number: int = 0

    def send(self) -> bool:
        """Send a batch; say whether it was acknowledged."""
        spans = [span({"gen_ai.operation.name": "chat", "x": "y" * 500}, number=self._number + n) for n in range(SPANS)]
        self._number += SPANS
        answer = (self._through_grpc if self._number % (2 * SPANS) else self._through_http)(request(*spans))
        self.answers[answer] += 1
        if answer in ("http 200", "grpc OK"):
            self.acknowledged += [one.span_id.hex() for one in spans]
            return True
        assert answer in ("http 503, to be sent again", "grpc UNAVAILABLE, to be sent again")
        return False

    def _through_http(self, body: bytes) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.collector.http_port, timeout=60)
        reply = send(connection, body, PROTOBUF)
        connection.close()
        again = ", to be sent again" if int(reply.headers.get("retry-after", "0")) > 0 else ""
        return f"http {reply.status}{again}"

    def _through_grpc(self, body: bytes) -> str:
        with grpc.insecure_channel(f"127.0.0.1:{self.collector.grpc_port}") as channel:
            export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
            call = export.future(body, timeout=60)
            code = call.code()
            again = ", to be sent again" if _names_a_delay(call) else ""
        return f"grpc {code.name}{again}"


def _names_a_delay(error: grpc.Call) -> bool:
    trailers = dict(error.trailing_metadata() or ())
    said = trailers.get("grpc-status-details-bin")
    details = Status.FromString(said).details if isinstance(said, bytes) else ()
    return any(detail.type_url.endswith("/google.rpc.RetryInfo") for detail in details)


@pytest.mark.parametrize(("on", "kind"), [("home", "disk"), ("lake", "disk"), ("both", "disk"), ("both", "limit")])
def test_a_full_disk_is_refused_and_gone_on_from(tmp_path: Path, on: str, kind: str) -> None:
    with memory_disk(tmp_path / "disk") as mounted:
        disk: SmallDisk = mounted if mounted and kind == "disk" else FileLimit(tmp_path / "disk", LIMITED[on])
        home = (disk.folder if on in ("home", "both") else tmp_path) / "home"
        lake = (disk.folder if on in ("lake", "both") else tmp_path) / "lake"
        log = tmp_path / "collector.log"
        with log.open("ab") as errors:
            collector = start_collector(home, lake, errors, more=("--reserve-bytes", str(RESERVE_BYTES)))
            try:
                sender = Sender(collector, log)
                for _ in range(TIMES):
                    fill_up_and_make_room(sender, disk, fills_home=on != "lake")
                collector.wait_for_commit()
                stored = Counter(span_ids(lake))
            finally:
                collector.kill()
    shown = {
        "times_full": TIMES,
        "acknowledged_spans": len(sender.acknowledged),
        "answers": dict(sender.answers),
        "lost": len(set(sender.acknowledged) - set(stored)),
        "counted_twice": sum(count > 1 for count in stored.values()),
    }
    print(f"evidence: {json.dumps({f'{on}, {type(disk).__name__}': shown})}")
    assert stored == Counter(sender.acknowledged)
    assert collector.process.returncode == -9  # it lived until the test ended it


def fill_up_and_make_room(sender: Sender, disk: SmallDisk, *, fills_home: bool) -> None:
    """Fill the disk in two steps while spans come in, and go on as before once there is room."""
    collector = sender.collector
    wait_until(lambda: len(collector.children()) == len(STAGES), timeout_s=60, what="all stages")
    if disk.leave(RESERVE_BYTES // 2):
        wait_until(lambda: not sender.send(), timeout_s=60, what="a refusal below the reserve")
        collector.wait_for_commit()
        disk.free(collector.process.pid)
    with halted(collector.children()):  # else what is sent may be rows before the disk is full
        wait_until(sender.send, timeout_s=60, what="spans that wait to become rows")
        before = stumbles(sender.log)
        disk.fill(collector.process.pid)
    wait_until(lambda: not sender.send() and not sender.send(), timeout_s=60, what="refusals")
    if not fills_home:  # else no segment can be sealed, and the stages have nothing to do
        wait_until(lambda: stumbles(sender.log) > before, timeout_s=60, what="a stage that has no room")
    disk.free(collector.process.pid)
    wait_until(lambda: sender.send() and sender.send(), timeout_s=60, what="spans after there is room")


@contextlib.contextmanager
def halted(pids: Sequence[int]) -> Iterator[None]:
    """Have processes do nothing."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def stumbles(log: Path) -> int:
    """Return how often a stage has ended."""
    return log.read_text().count("ended (exit code")

"""Broken requests of every signal through both doors of a real collector.

Each is answered with what is wrong, no process dies, and no good request between them is lost. The short form sends
1,000 bodies; with SPANLEDGER_PROVE set, 20,000. The seed is fixed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from collector_process import Collector, collecting, span_ids
from hostile import PROTOBUF, Forge, Hostile, for_grpc
from otlp_bodies import request, span
from process_tree import watching_memory
from receiving import request as send
from spanledger_collector.serve import STAGES
from waiting import wait_until

SEED = 20_261_128
BODIES = 20_000 if os.environ.get("SPANLEDGER_PROVE") else 1_000
CLIENTS = 4
GOOD_EVERY = 10
MOST_BYTES = 1_000_000_000
HTTP_CODES = {200, 400, 413, 415}
GRPC_CODES = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
PACKAGE = "/opentelemetry.proto.collector"
DOORS = {
    "/v1/traces": f"{PACKAGE}.trace.v1.TraceService/Export",
    "/v1/logs": f"{PACKAGE}.logs.v1.LogsService/Export",
    "/v1/metrics": f"{PACKAGE}.metrics.v1.MetricsService/Export",
}
TAKEN = (8, 1, 1)
"""How often each signal's door is taken."""


@dataclass(slots=True)
class Client:
    """Sends broken and good requests through both doors in turn."""

    collector: Collector
    number: int
    answers: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    """Answers that no request should get."""
    good: list[str] = field(default_factory=list)
    """Span ids of good requests that were acknowledged."""

    def run(self) -> None:
        """Send this client's share."""
        forge, chance = Forge(SEED + self.number), random.Random(self.number)
        with (
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.collector.http_port, timeout=60)) as door,
            grpc.insecure_channel(f"127.0.0.1:{self.collector.grpc_port}") as channel,
        ):
            for turn in range(BODIES // CLIENTS):
                hostile = forge.next()
                self.kinds[hostile.kind] += 1
                (path,) = chance.choices(list(DOORS), TAKEN)
                if turn % 2:
                    self._through_http(door, path, hostile)
                else:
                    self._through_grpc(channel, DOORS[path], for_grpc(hostile))
                if turn % GOOD_EVERY == 0:
                    self._send_good(door, turn)

    def _through_http(self, door: http.client.HTTPConnection, path: str, hostile: Hostile) -> None:
        headers = {"Content-Type": hostile.content_type}
        if hostile.encoding:
            headers["Content-Encoding"] = hostile.encoding
        try:
            reply = send(door, hostile.body, headers, path)
        except (OSError, http.client.HTTPException) as error:
            self.strange.append(f"http {hostile.kind}: {error!r}")
            door.close()
            return
        self.answers[f"http {reply.status}"] += 1
        if reply.status not in HTTP_CODES:
            self.strange.append(f"http {hostile.kind}: {reply.status} {reply.body[:200]!r}")

    def _through_grpc(self, channel: grpc.Channel, method: str, hostile: Hostile) -> None:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        try:
            export(hostile.body, timeout=60)
            code = grpc.StatusCode.OK
        except grpc.RpcError as error:
            code = error.code()
        self.answers[f"grpc {code.name}"] += 1
        if code not in GRPC_CODES:
            self.strange.append(f"grpc {hostile.kind}: {code.name}")

    def _send_good(self, door: http.client.HTTPConnection, turn: int) -> None:
        sound = span({"gen_ai.operation.name": "chat"}, number=self.number * 1_000_000 + turn)
        assert send(door, request(sound), {"Content-Type": PROTOBUF}).status == 200
        self.good.append(sound.span_id.hex())


def test_broken_requests_are_answered_and_good_ones_between_them_kept(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    with collecting(tmp_path) as collector:
        wait_until(lambda: len(collector.children()) == len(STAGES), timeout_s=60, what="all stages")
        children = collector.children()
        clients = [Client(collector, number) for number in range(CLIENTS)]
        with watching_memory(collector.process.pid) as memory:
            threads = [threading.Thread(target=client.run) for client in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            collector.wait_for_commit()
        survivors = (collector.process.poll(), collector.children())
    stored = Counter(span_ids(collector.lake))
    good = [span_id for client in clients for span_id in client.good]
    shown = {
        "bodies": BODIES,
        "good_between": len(good),
        "answers": dict(sum((client.answers for client in clients), Counter()).most_common()),
        "kinds": dict(sum((client.kinds for client in clients), Counter()).most_common()),
        "peak_memory_mb": round(max(memory) / 1e6),
        "rows": stored.total(),
        "dead_letters": len(list((collector.home / "dead").glob("*"))) // 2,
    }
    print(f"evidence: {json.dumps(shown)}")
    assert [line for client in clients for line in client.strange] == []
    assert survivors == (None, children)
    assert {span_id: stored[span_id] for span_id in good} == dict.fromkeys(good, 1)
    assert max(memory) < MOST_BYTES

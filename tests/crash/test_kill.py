"""kill -9 of the whole collector at random moments: every acknowledged span is in the lake, and none twice."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector_process import span_ids, start_collector
from receiving import PROTOBUF, request
from waiting import wait_until

SEED = 20_261_122
KILLS = 10
LONGEST_LIFE_S = 2.5
"""A life is as long as chance has it: from before the children are up to the middle of a later commit."""
CLIENTS = 3
BATCH_SPANS = 20
PAUSE_S = 0.01


@dataclass(slots=True)
class Load:
    """Clients that send batches, each until it is acknowledged, and remember what was."""

    port: int
    """Where the collector listens now, or did last."""
    acknowledged: set[str] = field(default_factory=set)
    retries: int = 0
    repeats: int = 0
    """Batches sent again after they had been acknowledged, as when an answer is lost on its way."""
    ending: threading.Event = field(default_factory=threading.Event)
    _start_ns: int = field(default_factory=lambda: time.time_ns() - 3600 * 1_000_000_000)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, client: int) -> None:
        """Send batch after batch until told to end."""
        chance = random.Random(SEED + client)
        batch = 0
        while not self.ending.is_set():
            batch += 1
            body, ids = self._batch(client, batch)
            tries = self._send_until_acknowledged(body)
            repeated = chance.random() < 0.1 and self._send(body)
            with self._lock:
                self.acknowledged.update(ids)
                self.retries += tries - 1
                self.repeats += repeated
            self.ending.wait(PAUSE_S)

    def _batch(self, client: int, batch: int) -> tuple[bytes, list[str]]:
        message = ExportTraceServiceRequest()
        scope = message.resource_spans.add().scope_spans.add()
        first = (client << 48) + batch * BATCH_SPANS
        numbers = range(first, first + BATCH_SPANS)
        for number in numbers:
            span = scope.spans.add(trace_id=first.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name="chat")
            span.start_time_unix_nano = self._start_ns + batch * 1_000_000
            span.end_time_unix_nano = span.start_time_unix_nano + 5_000_000
        return message.SerializeToString(), [f"{number:016x}" for number in numbers]

    def _send_until_acknowledged(self, body: bytes) -> int:
        tries = 1
        while not self._send(body):
            tries += 1
            threading.Event().wait(PAUSE_S)
        return tries

    def _send(self, body: bytes) -> bool:
        try:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
                return request(connection, body, PROTOBUF).status == 200
        except (OSError, http.client.HTTPException):
            return False


def test_every_acknowledged_span_is_there_once_after_ten_kills(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    home, lake = tmp_path / "home", tmp_path / "lake"
    with (tmp_path / "collector.log").open("ab") as errors:
        collector = start_collector(home, lake, errors)
        load = Load(collector.http_port)
        clients = [threading.Thread(target=load.run, args=(number,), daemon=True) for number in range(1, CLIENTS + 1)]
        try:
            for client in clients:
                client.start()
            for _ in range(KILLS):
                threading.Event().wait(chance.uniform(0, LONGEST_LIFE_S))
                collector.kill()
                collector = start_collector(home, lake, errors)
                load.port = collector.http_port
            before = len(load.acknowledged)
            wait_until(lambda: len(load.acknowledged) > before, what="spans after the last kill")
            load.ending.set()
            for client in clients:
                client.join()
            collector.wait_for_commit()
        finally:
            load.ending.set()
            collector.kill()
    rows = Counter(span_ids(lake))
    print(f"{len(load.acknowledged)} spans, {load.retries} retries, {load.repeats} batches sent again")
    assert [span_id for span_id, count in rows.items() if count > 1] == []
    assert set(rows) == load.acknowledged
    assert load.retries > KILLS
    assert load.repeats > KILLS

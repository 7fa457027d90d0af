"""kill -9 under load, at random moments and at the worst places: every acknowledged span is in the lake, none twice.

Killed are the whole collector, its doors alone, or one of its stages, as chance has it; besides, the stages die by
themselves between writing and committing, committing and deleting, and within merging. The short form kills 5 times;
with SPANLEDGER_PROVE set, 50. The seed is fixed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import mortal_collector
from collector_process import Collector, span_ids, start_collector
from mortal_collector import PLACES
from process_tree import tree_of
from queryable import look
from receiving import PROTOBUF, request
from waiting import wait_until

SEED = 20_261_122
PROVING = bool(os.environ.get("SPANLEDGER_PROVE"))
KILLS = 50 if PROVING else 5
CHANCE_TO_DIE = 0.25
"""Of a stage, each time it comes to one of its worst places."""
MERGE_AT = 4
"""Small files: so few that merging goes on all the time."""
LONGEST_LIFE_S = 2.0
"""A life is as long as chance has it, and often a commit longer."""
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
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
                return request(connection, body, PROTOBUF).status == 200
        except (OSError, http.client.HTTPException):
            return False


def test_every_acknowledged_span_is_there_once_after_all_kills(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    home, lake, deaths = tmp_path / "home", tmp_path / "lake", tmp_path / "deaths"
    mortal = (str(Path(mortal_collector.__file__)), str(CHANCE_TO_DIE), str(MERGE_AT), str(deaths))
    killed = Counter[str]()
    with (tmp_path / "collector.log").open("ab") as errors:
        collector = start_collector(home, lake, errors, mortal)
        load = Load(collector.http_port)
        clients = [threading.Thread(target=load.run, args=(number,), daemon=True) for number in range(1, CLIENTS + 1)]
        try:
            for client in clients:
                client.start()
            for _ in range(KILLS):
                if chance.random() < 0.6:  # else it may die before its stages are up
                    wait_for_rows(lake)
                threading.Event().wait(chance.uniform(0, LONGEST_LIFE_S))
                victim = chance.choice(("all", "all", "doors", *mortal_collector.STAGES))
                if not kill(collector, victim):  # a stage may just be gone by itself
                    victim = "all"
                    collector.kill()
                killed[victim] += 1
                if collector.process.poll() is not None:
                    collector = start_collector(home, lake, errors, mortal)
                    load.port = collector.http_port
            before = len(load.acknowledged)
            wait_until(lambda: len(load.acknowledged) > before, timeout_s=60, what="spans after the last kill")
            wait_until(lambda: load.repeats > KILLS, timeout_s=120, what="batches sent again")
            load.ending.set()
            for client in clients:
                client.join()
            collector.kill()
            collector = start_collector(home, lake, errors)
            collector.wait_for_commit()
        finally:
            load.ending.set()
            collector.kill()
    rows = Counter(span_ids(lake))
    by_themselves = Counter(deaths.read_text().splitlines() if deaths.exists() else ())
    shown = {
        "kills": killed.total(),
        "killed": dict(killed),
        "stages_died_at": dict(by_themselves),
        "acknowledged_spans": len(load.acknowledged),
        "lost": len(load.acknowledged - set(rows)),
        "counted_twice": sum(count > 1 for count in rows.values()),
        "retries": load.retries,
        "batches_sent_again": load.repeats,
        "dead_letters": len(list((home / "dead").glob("*"))),
    }
    print(f"evidence: {json.dumps(shown)}")
    assert [span_id for span_id, count in rows.items() if count > 1] == []
    assert set(rows) == load.acknowledged
    assert load.retries > 0
    assert not PROVING or set(by_themselves) == {place for places in PLACES.values() for place in places}


def wait_for_rows(lake: Path) -> None:
    """Return after the next commit."""
    before = look(lake).rows
    wait_until(lambda: look(lake).rows > before, timeout_s=180, what="rows")


def kill(collector: Collector, victim: str) -> bool:
    """Kill one of a collector's processes, or all; False where it isn't there."""
    if victim == "all":
        collector.kill()
        return True
    if victim == "doors":
        collector.process.kill()
        collector.process.wait(60)
        return True
    pids = [process.pid for process in tree_of(collector.process.pid) if f" {victim} " in process.command]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(pids)

"""/metrics, read as Prometheus does."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector_process import Collector, collecting
from otlp_bodies import request, span
from receiving import PROTOBUF, receiving, spans_request
from spanledger_collector.figures import FAMILIES
from spanledger_collector.wal_writer import Limits
from waiting import wait_until

PREFIX = "spanledger_collector_"
Samples = dict[str, dict[tuple[str, ...], float]]
LINE = re.compile(r'[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\[\\"n])*"(,[a-z]+="(?:[^"\\\n]|\\[\\"n])*")*\})? [0-9.e+-]+')


def read(text: str) -> Samples:
    """Read what /metrics answers, and check that it is as strict as the format allows."""
    assert text.endswith("\n")
    assert [line for line in text.splitlines() if not line.startswith("# ") and not LINE.fullmatch(line)] == []
    families = list(text_string_to_metric_families(text))
    declared = [(f"{PREFIX}{one.name}".removesuffix("_total"), one.kind, one.sentence) for one in FAMILIES]
    assert [(family.name, family.type, family.documentation) for family in families] == declared
    samples: Samples = {}
    for family in families:
        for sample in family.samples:
            labels = tuple(sample.labels.values())
            held = samples.setdefault(sample.name.removeprefix(PREFIX), {})
            assert labels not in held, "a sample stands twice"
            held[labels] = sample.value
    for one in FAMILIES:
        if one.kind == "histogram":
            counts = list(samples[f"{one.name}_bucket"].values())
            assert counts == sorted(counts)
            assert samples[f"{one.name}_bucket"]["+Inf",] == samples[f"{one.name}_count"][()]
    return samples


def figures_of(collector: Collector) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{collector.http_port}/metrics", timeout=20) as response:
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return read(response.read().decode())


def test_the_doors_count_what_they_took_and_what_not(tmp_path: Path) -> None:
    body = spans_request(0, 1, 2).SerializeToString()
    kept = spans_request(1, 2).SerializeToString()
    with receiving(tmp_path / "wal") as receiver:
        for sent in (body, b"\xff"):
            receiver.post(sent, PROTOBUF)
        found = read(receiver.post(b"", {}, "/metrics", "GET").body.decode())
    assert {name: found[name] for name in ("accepted_total", "accepted_bytes_total", "rejected_total")} == {
        "accepted_total": {("traces",): 2, ("logs",): 0, ("metrics",): 0},
        "accepted_bytes_total": {("traces",): len(kept), ("logs",): 0, ("metrics",): 0},
        "rejected_total": {("traces",): 1, ("logs",): 0, ("metrics",): 0},
    }
    assert found["requests_total"] == {("http", "200"): 1, ("http", "400"): 1}
    assert (found["ack_seconds_count"], found["fsync_seconds_count"]) == ({(): 1}, {(): 1})
    assert (found["wal_backlog_bytes"], found["wal_waiting_bytes"]) == ({(): len(kept) + 20}, {(): 0})
    assert (found["ready"], found["dead_letters"]) == ({(): 1}, {(): 0})
    assert found["disk_free_bytes"].keys() == {("log",), ("lake",)}


def test_what_has_no_room_is_counted_as_refused(tmp_path: Path) -> None:
    with receiving(tmp_path / "wal", limits=Limits(backlog_bytes=1)) as receiver:
        receiver.post(spans_request(1, 2).SerializeToString(), PROTOBUF)
        found = read(receiver.post(b"", {}, "/metrics", "GET").body.decode())
    assert (found["refused_total"]["traces",], found["accepted_total"]["traces",]) == (2, 0)


def test_the_age_of_what_waits_is_that_of_its_first_request(tmp_path: Path) -> None:
    with receiving(tmp_path / "wal") as receiver:
        receiver.post(spans_request(1).SerializeToString(), PROTOBUF)
        wait_until(lambda: receiver.intake.wal_state().backlog_age_s > 0.6, what="it to have waited")
        for path in receiver.folder.glob("*.wal.open"):
            path.unlink()
        wait_until(lambda: receiver.intake.wal_state().backlog_age_s == 0, what="nothing to wait")


@pytest.mark.parametrize("killed", [False, True])
def test_what_became_of_it_is_counted_by_the_children(tmp_path: Path, killed: bool) -> None:
    """Also by those that are started again after the first were killed."""
    unknown = span({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}, number=1)
    with collecting(tmp_path) as collector:

        def send(body: bytes) -> None:
            address = f"http://127.0.0.1:{collector.http_port}/v1/traces"
            with urllib.request.urlopen(urllib.request.Request(address, body, PROTOBUF), timeout=20):
                pass

        def counted(segments: int, rows: int) -> bool:
            """Say whether both have told of so much: who converts and who commits don't wait for each other."""
            found = figures_of(collector)
            return (found["lag_seconds_count"], found.get("rows_total")) == ({(): segments}, {("spans",): rows})

        send(request(unknown, span(number=2)))
        collector.wait_for_commit()
        wait_until(lambda: counted(1, 2), timeout_s=60, what="the first segment")
        if killed:
            for pid in collector.children():
                os.kill(pid, signal.SIGKILL)
        send(request(unknown) + request(span(start_time_unix_nano=1, end_time_unix_nano=2, number=3)))
        collector.wait_for_commit()
        wait_until(lambda: counted(2, 3), timeout_s=60, what="the second segment")
        found = figures_of(collector)
    names = ("rows_total", "unpriced_total", "dead_letters_total", "duplicates_total", "superseded_total")
    assert {name: found.get(name) for name in names} == {
        "rows_total": {("spans",): 3},
        "unpriced_total": {("no_usage",): 2},
        "dead_letters_total": {(): 1},
        "duplicates_total": {(): 1},
        "superseded_total": {(): 0},
    }
    assert (found["dead_letters"], found["wal_backlog_bytes"]) == ({(): 1}, {(): 0})
    assert json.loads((collector.home / "figures" / "commit.json").read_text()).keys() == {"values", "histograms"}

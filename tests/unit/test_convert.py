"""The converter: what it can't convert goes to dead/ whole, and holds nothing else up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from spanledger_collector import convert as convert_module, rows, signals
from spanledger_collector.convert import convert_segment
from spanledger_collector.lake import open_table, table_path
from spanledger_collector.rows import Converted
from spanledger_collector.staging import read_manifest
from spanledger_collector.wal import Segment, record_header

NOW_NS = time.time_ns()


def body(span: int, start_ns: int = NOW_NS) -> bytes:
    request = ExportTraceServiceRequest()
    added = request.resource_spans.add().scope_spans.add().spans.add()
    added.trace_id, added.span_id = span.to_bytes(16, "big"), span.to_bytes(8, "big")
    added.start_time_unix_nano, added.end_time_unix_nano = start_ns, start_ns + 1
    return request.SerializeToString()


KILLED = """
import os, sys
from pathlib import Path
from spanledger_collector import convert
sound = convert.convert_records

def fragile(records, *rest):
    if {poison!r} in [record.payload for record in records]:
        os.abort()
    return sound(records, *rest)

convert.convert_records = fragile
while convert.make_step(Path(sys.argv[1]), Path(sys.argv[2]))():
    pass
"""


class Bench:
    """A home with one sealed segment, and a lake."""

    def __init__(self, folder: Path) -> None:
        self.home, self.lake = folder / "home", folder / "lake"
        (self.home / "wal").mkdir(parents=True)
        (self.home / "wal" / "id").write_text("w", "ascii")
        open_table(self.lake)

    def convert(self, *parts: bytes) -> tuple[int, dict[str, tuple[str, bytes]]]:
        """Seal and convert a segment; returns rows staged, and by name the reason and bytes of the dead."""
        segment = self.home / "wal" / "0000000001.wal"
        segment.write_bytes(b"".join(parts))
        convert_segment(self.home, self.lake, 1, segment)
        staged = read_manifest(self.home, 1)
        assert staged is not None
        assert all((table_path(self.lake) / file.path).exists() for file in staged.files)
        dead = {
            path.stem: (json.loads(path.read_text())["reason"], path.with_suffix(".pb").read_bytes())
            for path in (self.home / "dead").glob("*.json")
        }
        return sum(file.rows for file in staged.files), dead


def record(payload: bytes) -> bytes:
    return record_header(payload, NOW_NS) + payload


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_damaged_place_is_set_aside_and_the_rest_converted(bench: Bench) -> None:
    converted, dead = bench.convert(record(body(1)), b"garbage", record(body(2)))
    assert converted == 2
    assert [data for _, data in dead.values()] == [b"garbage"]


def test_a_segment_of_nothing_is_staged_empty(bench: Bench) -> None:
    assert bench.convert(record(b"")) == (0, {})


def test_a_span_of_another_age_goes_to_dead_with_the_reason(bench: Bench) -> None:
    converted, dead = bench.convert(record(body(1)), record(body(2, start_ns=1)))
    assert converted == 1
    [(reason, data)] = dead.values()
    assert reason == "dated more than 400 days ago"
    assert (
        ExportTraceServiceRequest.FromString(data).resource_spans[0].scope_spans[0].spans[0].span_id
        == b"\0" * 7 + b"\2"
    )


def test_spans_of_another_age_are_one_file_however_many_they_are(bench: Bench) -> None:
    converted, dead = bench.convert(
        *(record(body(number, start_ns=number)) for number in range(1, 40)), record(body(40))
    )
    assert converted == 1
    [(_, data)] = dead.values()
    spans = [one.scope_spans[0].spans[0] for one in ExportTraceServiceRequest.FromString(data).resource_spans]
    assert [one.start_time_unix_nano for one in spans] == list(range(1, 40))


def test_a_resource_that_would_outgrow_memory_goes_to_dead(bench: Bench) -> None:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="command", value=AnyValue(string_value="x" * 200_000))
    spans = resource.scope_spans.add().spans
    for number in range(1, 6001):
        spans.add(trace_id=number.to_bytes(16), span_id=number.to_bytes(8), start_time_unix_nano=NOW_NS)
    converted, dead = bench.convert(record(body(1)), record(request.SerializeToString()), record(body(2)))
    assert converted == 2
    [(reason, data)] = dead.values()
    assert "repeated for every span" in reason
    assert data == request.SerializeToString()


def test_a_record_that_kills_the_converter_is_found_by_halving(bench: Bench, tmp_path: Path) -> None:
    payloads = [body(number) for number in range(1, 10)]
    segment = bench.home / "wal" / "0000000001.wal"
    segment.write_bytes(b"".join(map(record, payloads)))
    script = tmp_path / "converter.py"
    script.write_text(KILLED.format(poison=payloads[4]))
    codes: list[int] = []
    while not codes or codes[-1] != 0:
        argv = [sys.executable, str(script), str(bench.home), str(bench.lake)]
        codes.append(subprocess.run(argv, check=False, timeout=180).returncode)
    staged = read_manifest(bench.home, 1)
    assert staged is not None
    assert sum(file.rows for file in staged.files) == 8
    assert [path.read_bytes() for path in (bench.home / "dead").glob("*.pb")] == [payloads[4]]
    assert codes == [-6, -6, -6, -6, 0]
    assert not (bench.home / "converting").exists()


def test_a_segment_that_is_committed_and_deleted_meanwhile_is_passed_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "nice", lambda _: 0)
    gone = Segment(1, bench.home / "wal" / "0000000001.wal")
    monkeypatch.setattr(convert_module, "segments", lambda _: [gone])
    assert not convert_module.make_step(bench.home, bench.lake)()


def test_a_record_that_breaks_the_converter_goes_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = rows.convert
    poison = body(13)

    def fragile(bodies: Sequence[bytes], received_ns: Sequence[int], **how: Any) -> Converted:
        if poison in bodies:
            raise ZeroDivisionError("thirteen")
        return sound(bodies, received_ns, **how)

    monkeypatch.setattr(signals, "convert", fragile)
    converted, dead = bench.convert(record(body(1)), record(poison), record(body(2)))
    assert converted == 2
    assert list(dead.values()) == [("ZeroDivisionError: thirteen", poison)]

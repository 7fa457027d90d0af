"""The converter: what it can't convert goes to dead/ whole, and holds nothing else up."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger_collector import convert as convert_module, rows
from spanledger_collector.convert import convert_segment
from spanledger_collector.lake import open_table, table_path
from spanledger_collector.rows import Converted
from spanledger_collector.staging import read_manifest
from spanledger_collector.wal import record_header

NOW_NS = time.time_ns()


def body(span: int, start_ns: int = NOW_NS) -> bytes:
    request = ExportTraceServiceRequest()
    added = request.resource_spans.add().scope_spans.add().spans.add()
    added.trace_id, added.span_id = span.to_bytes(16, "big"), span.to_bytes(8, "big")
    added.start_time_unix_nano, added.end_time_unix_nano = start_ns, start_ns + 1
    return request.SerializeToString()


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


def test_a_record_that_breaks_the_converter_goes_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = rows.convert
    poison = body(13)

    def fragile(bodies: Sequence[bytes], received_ns: Sequence[int]) -> Converted:
        if poison in bodies:
            raise ZeroDivisionError("thirteen")
        return sound(bodies, received_ns)

    monkeypatch.setattr(convert_module, "convert", fragile)
    converted, dead = bench.convert(record(body(1)), record(poison), record(body(2)))
    assert converted == 2
    assert list(dead.values()) == [("ZeroDivisionError: thirteen", poison)]

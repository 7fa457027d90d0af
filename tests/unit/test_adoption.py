"""What the collector takes over from the spool, and what it leaves there."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from otlp_bodies import request, span
from spanledger.spool import SENDERS_LOCK, Spool, boot_id, waiting
from spanledger_collector.adoption import FORGOTTEN_S, Adoption
from spanledger_collector.intake import Intake
from spanledger_collector.wal import read_segment, segments
from spanledger_collector.wal_writer import Limits, WalWriter


@pytest.fixture(scope="module")
def dead_pid() -> int:
    """The id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def wal(tmp_path: Path) -> Iterator[WalWriter]:
    writer = WalWriter(tmp_path / "wal", Limits(free_bytes=0))
    yield writer
    writer.close()


def _look(tmp_path: Path, wal: WalWriter) -> int:
    return asyncio.run(Adoption(tmp_path / "spool", tmp_path / "dead", Intake(wal)).look())


def _logged(tmp_path: Path, wal: WalWriter) -> list[bytes]:
    wal.close()
    return [record.payload for one in segments(tmp_path / "wal") for record in read_segment(one.path).records]


def test_what_the_dead_left_is_taken_oldest_first(spool: Path, tmp_path: Path, wal: WalWriter, dead_pid: int) -> None:
    bodies = [request(span(number=number)) for number in range(100)]
    for number, body in enumerate(bodies):
        (spool / f"{boot_id()}-{dead_pid}-{number:06d}").write_bytes(body)

    assert _look(tmp_path, wal) == 100
    assert list(waiting(spool)) == []
    assert _logged(tmp_path, wal) == bodies


def test_what_another_boot_left_is_taken(spool: Path, tmp_path: Path, wal: WalWriter) -> None:
    (spool / f"00000000-{os.getpid()}-000001").write_bytes(request(span()))

    assert _look(tmp_path, wal) == 1


def test_what_the_living_wait_for_is_theirs_to_send(spool: Path, tmp_path: Path, wal: WalWriter) -> None:
    Spool(spool).keep(request(span()))

    assert _look(tmp_path, wal) == 0
    assert len(list(waiting(spool))) == 1


def test_what_nobody_has_sent_for_long_is_taken(spool: Path, tmp_path: Path, wal: WalWriter) -> None:
    Spool(spool).keep(request(span()))
    (file,) = waiting(spool)
    long_ago = time.time() - FORGOTTEN_S - 60
    os.utime(file, (long_ago, long_ago))

    assert _look(tmp_path, wal) == 1


def test_poison_goes_to_the_dead_letters_and_holds_up_nothing(
    spool: Path, tmp_path: Path, wal: WalWriter, dead_pid: int
) -> None:
    name, sound = f"{boot_id()}-{dead_pid}-000001", request(span())
    (spool / name).write_bytes(b"\xffpoison")
    (spool / f"{boot_id()}-{dead_pid}-000002").write_bytes(sound)

    assert _look(tmp_path, wal) == 2
    assert list(waiting(spool)) == []
    assert _logged(tmp_path, wal) == [sound]
    assert (tmp_path / "dead" / f"spool-{name}-0000.pb").read_bytes() == b"\xffpoison"
    reason = json.loads((tmp_path / "dead" / f"spool-{name}-0000.json").read_text())["reason"]
    assert reason.startswith("not an ExportTraceServiceRequest in protobuf: ")


def test_what_the_log_has_no_room_for_stays_in_the_spool(spool: Path, tmp_path: Path, dead_pid: int) -> None:
    (spool / f"{boot_id()}-{dead_pid}-000001").write_bytes(request(span()))
    full = WalWriter(tmp_path / "wal", Limits(free_bytes=1 << 62))
    try:
        assert _look(tmp_path, full) == 0
    finally:
        full.close()

    assert len(list(waiting(spool))) == 1


def test_a_spool_that_a_program_is_sending_is_left_to_it(
    spool: Path, tmp_path: Path, wal: WalWriter, dead_pid: int
) -> None:
    (spool / f"{boot_id()}-{dead_pid}-000001").write_bytes(request(span()))
    with Spool(spool).oldest_first(1):
        assert _look(tmp_path, wal) == 0

    assert (spool / SENDERS_LOCK).exists()
    assert _look(tmp_path, wal) == 1


def test_looking_for_a_spool_that_is_not_there_makes_nothing(tmp_path: Path, wal: WalWriter) -> None:
    assert _look(tmp_path, wal) == 0
    assert not (tmp_path / "spool").exists()

"""Writing the log: what is acknowledged is on disk, and numbers are never used again."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from spanledger.settings import setting_of
from spanledger_collector.disk import Disk
from spanledger_collector.errors import OverloadedError, WalBusyError, WalError
from spanledger_collector.terms import Terms
from spanledger_collector.wal import MARKERS, read_segment, record_header, segments, wal_id
from spanledger_collector.wal_writer import Limits, WalWriter
from waiting import wait_until

NEVER = Limits(segment_age_s=3600)


def put(writer: WalWriter, *payloads: bytes) -> list[OverloadedError | None]:
    """Submit all, wait until each is settled, and return how."""
    outcomes: list[OverloadedError | None] = []
    settled = threading.Event()

    def done(error: OverloadedError | None) -> None:
        outcomes.append(error)
        if len(outcomes) == len(payloads):
            settled.set()

    for payload in payloads:
        writer.submit(payload, done)
    assert settled.wait(60)
    return outcomes


def logged(folder: Path) -> list[tuple[int, list[bytes]]]:
    """Sealed segments as (number, payloads)."""
    return [(s.number, [record.payload for record in read_segment(s.path).records]) for s in segments(folder)]


class FailingDisk(Disk):
    """A disk that fails on demand, after having written part of what it was given."""

    def __init__(self) -> None:
        self.full = False
        self.sync_fails = False
        self.free = 1 << 40

    def write(self, file: int, buffers: Sequence[bytes], offset: int) -> int:
        if self.full:
            os.pwrite(file, b"".join(buffers)[:10], offset)
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(file, buffers, offset)

    def sync(self, file: int) -> None:
        if self.sync_fails:
            raise OSError(errno.EIO, "Input/output error")
        super().sync(file)

    def free_bytes(self, folder: Path) -> int:
        return self.free


def test_an_acknowledged_record_is_in_the_open_segment(tmp_path: Path) -> None:
    writer = WalWriter(tmp_path, NEVER)
    assert put(writer, b"one") == [None]
    assert [r.payload for r in read_segment(tmp_path / "0000000001.wal.open").records] == [b"one"]
    writer.close()
    assert logged(tmp_path) == [(1, [b"one"])]


def test_a_segment_is_sealed_by_age(tmp_path: Path) -> None:
    writer = WalWriter(tmp_path, Limits(segment_age_s=0.05))
    put(writer, b"one")
    wait_until(lambda: logged(tmp_path) == [(1, [b"one"])], what="sealing by age")
    writer.close()


def test_a_segment_is_sealed_by_size_and_numbers_follow_on(tmp_path: Path) -> None:
    writer = WalWriter(tmp_path, Limits(segment_bytes=100, segment_age_s=3600))
    for payload in (b"a" * 90, b"b" * 90, b"c" * 10):
        put(writer, payload)
    writer.close()
    assert logged(tmp_path) == [(1, [b"a" * 90]), (2, [b"b" * 90]), (3, [b"c" * 10])]


def test_many_requests_at_once_are_all_written(tmp_path: Path) -> None:
    payloads = [f"{number}".encode() * 9 for number in range(3000)]
    writer = WalWriter(tmp_path, NEVER)
    assert put(writer, *payloads) == [None] * 3000
    writer.close()
    assert logged(tmp_path) == [(1, payloads)]


def test_a_record_keeps_its_signal(tmp_path: Path) -> None:
    writer = WalWriter(tmp_path, NEVER)
    for signal in MARKERS:
        asyncio.run(writer.append(b"one", signal))
    writer.close()
    assert [record.signal for record in read_segment(segments(tmp_path)[0].path).records] == list(MARKERS)


def test_numbers_are_not_used_again_after_the_committer_deleted_everything(tmp_path: Path) -> None:
    for payload in (b"one", b"two"):
        writer = WalWriter(tmp_path, NEVER)
        put(writer, payload)
        writer.close()
    for segment in segments(tmp_path):
        segment.path.unlink()
    writer = WalWriter(tmp_path, NEVER)
    put(writer, b"three")
    writer.close()
    assert logged(tmp_path) == [(3, [b"three"])]


def test_the_id_stays_with_the_folder(tmp_path: Path) -> None:
    WalWriter(tmp_path / "a").close()
    first = wal_id(tmp_path / "a")
    WalWriter(tmp_path / "a").close()
    WalWriter(tmp_path / "b").close()
    assert wal_id(tmp_path / "a") == first != wal_id(tmp_path / "b")


def test_start_cuts_the_torn_tail_and_seals_what_was_open(tmp_path: Path) -> None:
    WalWriter(tmp_path).close()
    whole = record_header(b"kept", 1) + b"kept"
    torn = record_header(b"never acknowledged", 2) + b"never ack"
    (tmp_path / "0000000001.wal.open").write_bytes(whole + torn)
    WalWriter(tmp_path).close()
    assert (tmp_path / "0000000001.wal").read_bytes() == whole


def test_start_keeps_records_behind_a_corrupt_one(tmp_path: Path) -> None:
    WalWriter(tmp_path).close()
    hurt = bytearray(record_header(b"hurt", 1) + b"hurt")
    hurt[-1] ^= 0xFF
    whole = record_header(b"kept", 1) + b"kept"
    (tmp_path / "0000000001.wal.open").write_bytes(whole + hurt + whole)
    WalWriter(tmp_path).close()
    assert (tmp_path / "0000000001.wal").read_bytes() == whole + hurt + whole


@pytest.mark.parametrize("left", [b"", b"SLW1 torn"])
def test_an_empty_open_segment_is_removed_and_its_number_used(tmp_path: Path, left: bytes) -> None:
    WalWriter(tmp_path).close()
    (tmp_path / "0000000001.wal.open").write_bytes(left)
    writer = WalWriter(tmp_path, NEVER)
    assert not list(tmp_path.glob("*.wal*"))
    put(writer, b"one")
    writer.close()
    assert logged(tmp_path) == [(1, [b"one"])]


def test_a_crash_between_floor_and_rename_keeps_the_number(tmp_path: Path) -> None:
    WalWriter(tmp_path).close()
    (tmp_path / "floor").write_text("1\n")
    (tmp_path / "0000000001.wal.open").write_bytes(record_header(b"one", 1) + b"one")
    writer = WalWriter(tmp_path, NEVER)
    put(writer, b"two")
    writer.close()
    assert logged(tmp_path) == [(1, [b"one"]), (2, [b"two"])]


@pytest.mark.parametrize("damage", ["", "what?"])
def test_a_lost_floor_stops_the_start(tmp_path: Path, damage: str) -> None:
    WalWriter(tmp_path).close()
    (tmp_path / "floor").write_text(damage)
    with pytest.raises(WalError, match="has lost its file `floor`"):
        WalWriter(tmp_path)


def test_a_second_process_is_told_who_has_the_log(tmp_path: Path) -> None:
    writer = WalWriter(tmp_path)
    code = (
        "import sys; from pathlib import Path; from spanledger_collector.wal_writer import WalWriter\n"
        "WalWriter(Path(sys.argv[1]))"
    )
    second = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    writer.close()
    assert "WalBusyError" in second.stderr
    assert f"in use by another collector (process {os.getpid()})" in second.stderr
    assert second.returncode == 1


def test_the_lock_holds_within_a_process_and_ends_with_close(tmp_path: Path) -> None:
    writer = WalWriter(tmp_path)
    with pytest.raises(WalBusyError):
        WalWriter(tmp_path)
    writer.close()
    WalWriter(tmp_path).close()


@pytest.mark.parametrize("fault", ["full", "sync_fails"])
def test_a_failing_disk_refuses_the_batch_and_serving_goes_on(tmp_path: Path, fault: str) -> None:
    disk = FailingDisk()
    writer = WalWriter(tmp_path, NEVER, disk)
    assert put(writer, b"before") == [None]
    setattr(disk, fault, True)
    refused = put(writer, b"refused")[0]
    assert isinstance(refused, OverloadedError)
    setattr(disk, fault, False)
    assert put(writer, b"after") == [None]
    writer.close()
    assert logged(tmp_path) == [(1, [b"before", b"after"])]
    assert read_segment(segments(tmp_path)[0].path).damages == ()


def test_a_disk_that_fails_while_sealing_is_tried_again(tmp_path: Path) -> None:
    disk = FailingDisk()
    writer = WalWriter(tmp_path, Limits(segment_age_s=0.05), disk)
    put(writer, b"one")
    disk.sync_fails = True
    assert put(writer, b"refused")[0] is not None
    disk.sync_fails = False
    wait_until(lambda: logged(tmp_path) == [(1, [b"one"])], what="sealing")
    writer.close()


def test_a_short_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda file, buffers, offset: real(file, [b"".join(buffers)[:23]], offset))
    writer = WalWriter(tmp_path, NEVER)
    assert put(writer, b"one" * 20, b"two" * 20) == [None, None]
    writer.close()
    assert logged(tmp_path) == [(1, [b"one" * 20, b"two" * 20])]


def test_a_backlog_over_the_limit_refuses_until_it_is_committed(tmp_path: Path) -> None:
    writer = WalWriter(tmp_path, Limits(segment_bytes=1, backlog_bytes=100))
    put(writer, b"x" * 60)
    wait_until(lambda: bool(segments(tmp_path)), what="sealing")
    with pytest.raises(OverloadedError, match="wait to become rows"):
        writer.submit(b"x" * 60, lambda error: None)
    assert "wait to become rows" not in writer.state().refusal  # a smaller one would be taken
    segments(tmp_path)[0].path.unlink()
    wait_until(lambda: writer.state().backlog_bytes == 0, what="the backlog to be seen gone")
    assert put(writer, b"x" * 60) == [None]
    writer.close()


def test_a_nearly_full_disk_refuses_before_it_is_full(tmp_path: Path) -> None:
    disk = FailingDisk()
    disk.free = 1000
    writer = WalWriter(tmp_path, Limits(free_bytes=2000), disk)
    with pytest.raises(OverloadedError, match="kept in reserve"):
        writer.submit(b"x", lambda error: None)
    assert "kept in reserve" in writer.state().refusal
    disk.free = 1 << 40
    wait_until(lambda: writer.state().refusal == "", what="the room to be seen")
    assert put(writer, b"x") == [None]
    writer.close()


def test_a_nearly_full_disk_of_the_lake_refuses_too(tmp_path: Path) -> None:
    """The lake's folder is made later, by the first commit."""

    class SmallLake(Disk):
        free = 1000

        def free_bytes(self, folder: Path) -> int:
            return self.free if folder == tmp_path / "disk" else 1 << 40

    (tmp_path / "disk").mkdir()
    disk = SmallLake()
    writer = WalWriter(tmp_path / "wal", Limits(free_bytes=2000), disk, lake=tmp_path / "disk" / "shop" / "lake")
    with pytest.raises(OverloadedError, match="1000 bytes are free for the lake; 2000 are kept in reserve"):
        writer.submit(b"x", lambda error: None)
    disk.free = 1 << 40
    wait_until(lambda: writer.state().refusal == "", what="the room to be seen")
    writer.close()


def test_the_limits_are_those_of_the_settings() -> None:
    defaults = [setting_of(name).default for name in ("backlog_bytes", "reserve_bytes", "max_body_bytes")]
    assert [Limits().backlog_bytes, Limits().free_bytes, Terms().body_bytes] == defaults


def test_a_closed_log_refuses(tmp_path: Path) -> None:
    writer = WalWriter(tmp_path)
    writer.close()
    with pytest.raises(OverloadedError, match="stopping"):
        writer.submit(b"late", lambda error: None)

"""What waits on disk while the collector is away."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from spanledger import faults
from spanledger.spool import Backlog, Spool, backlog


def _take_all(spool: Spool) -> list[bytes]:
    bodies = []
    with spool.oldest_first(100) as kept:
        assert kept is not None
        for item in kept:
            bodies.append(item.body)
            item.forget()
    return bodies


def test_bodies_come_back_in_order_and_are_gone_then(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for number in range(12):
        spool.keep(b"%d" % number)

    assert backlog(tmp_path / "spool").files == 12
    assert _take_all(spool) == [b"%d" % number for number in range(12)]
    assert not spool.has_any()
    assert backlog(tmp_path / "spool") == Backlog(files=0, bytes=0, oldest_s=0.0, dropped=0)


def test_files_are_named_by_boot_pid_and_number_and_are_the_users_own(tmp_path: Path) -> None:
    Spool(tmp_path / "spool").keep(b"body")
    (file,) = (path for path in (tmp_path / "spool").iterdir() if not path.name.startswith("."))
    boot, pid, number = file.name.split("-")

    assert (len(boot), pid, number) == (8, str(os.getpid()), "000001")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_another_process_adopts_what_was_left(tmp_path: Path) -> None:
    Spool(tmp_path).keep(b"left by one that died")
    other = Spool(tmp_path)

    assert other.has_any()
    assert _take_all(other) == [b"left by one that died"]


def test_a_name_that_is_taken_is_not_overwritten(tmp_path: Path) -> None:
    Spool(tmp_path).keep(b"first")
    Spool(tmp_path).keep(b"second, of the same boot and pid")

    assert _take_all(Spool(tmp_path)) == [b"first", b"second, of the same boot and pid"]


def test_a_full_folder_drops_the_oldest_and_counts_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=25)
    for letter in b"abcd":
        spool.keep(bytes([letter]) * 10)

    assert backlog(tmp_path).dropped == 2
    assert _take_all(spool) == [b"c" * 10, b"d" * 10]


def test_only_one_sends_a_folder_at_a_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.keep(b"body")

    with spool.oldest_first(10) as mine, Spool(tmp_path).oldest_first(10) as theirs:
        assert mine is not None
        assert theirs is None


def test_looking_at_a_spool_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "none")

    assert not spool.has_any()
    assert _take_all(spool) == []
    assert list(tmp_path.iterdir()) == []


def test_where_the_disk_cannot_be_written_memory_keeps_the_newest(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    spool = Spool(blocked / "spool", memory_bytes=20)
    before = sum(faults.counts().values())
    for letter in b"abc":
        spool.keep(bytes([letter]) * 10)

    assert spool.has_any()
    assert _take_all(spool) == [b"b" * 10, b"c" * 10]
    assert not spool.has_any()
    assert sum(faults.counts().values()) == before + 4


def test_half_written_files_are_not_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (tmp_path / ".part-of-a-process-that-died").write_bytes(b"half")

    assert not spool.has_any()
    spool.keep(b"whole")
    assert _take_all(spool) == [b"whole"]


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_are_given_than_asked_for(most: int, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for _ in range(3):
        spool.keep(b"body")

    with spool.oldest_first(most) as kept:
        assert kept is not None
        assert len(list(kept)) == most

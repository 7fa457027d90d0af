"""The spool under pressure: many writers and a collector that is away for long, other users, disks that are full."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

import spanledger
from application import environment
from ports import held_port
from spanledger import account, faults
from spanledger.spool import FOLDER_LIMIT_BYTES, Spool, backlog
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, switched_on

CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES}
WRITERS, BODIES, BODY_BYTES = 4, 1000, 40_000
"""160 MB: an hour's worth of four busy workers, all at once."""
WRITER = """
import sys
from pathlib import Path
from spanledger import spool
spool._LOCK_PATIENCE_S = 60.0  # who waits for less writes beyond the account, and beyond the limit until the next count
spool = spool.Spool(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    spool.keep(f"{sys.argv[4]} {number:06d}".encode().ljust(int(sys.argv[3])))
"""
LONG = """
import spanledger
for number in range(30):
    with spanledger.span("x" * 3000, kind="step"):
        pass
    spanledger.flush(60)
"""


def _write(folder: Path, name: str) -> None:
    argv = [sys.executable, "-c", WRITER, str(folder), str(BODIES), str(BODY_BYTES), name]
    subprocess.run(argv, timeout=300, check=True, stderr=subprocess.DEVNULL)


def test_many_writers_share_one_limit_and_the_oldest_give_way_counted_and_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(lambda name: _write(folder, name), "abcd"))
    found = backlog(folder)
    kept: dict[str, list[str]] = {name: [] for name in "abcd"}
    spool = Spool(folder)
    while spool.has_any():
        with spool.oldest_first(1000) as bodies:
            for item in bodies or ():
                name, number = item.body.split()
                kept[name.decode()].append(number.decode())
                item.forget()

    assert FOLDER_LIMIT_BYTES // 2 < found.bytes <= FOLDER_LIMIT_BYTES
    assert found.files + found.dropped == WRITERS * BODIES
    assert sum(map(len, kept.values())) == found.files
    assert all(numbers == sorted(numbers) and len(set(numbers)) == len(numbers) for numbers in kept.values())


def test_a_full_folder_and_what_it_dropped_are_seen_by_doctor(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", limit_bytes=100_000)
    for _ in range(25):
        spool.keep(b"x" * 10_000)
    waits = backlog(tmp_path / "spool")
    argv = [sys.executable, "-m", "spanledger_cli", "doctor", "--format", "json"]
    with held_port() as port:
        variables = environment(f"http://127.0.0.1:{port}", tmp_path)
        ran = subprocess.run(argv, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    found = {finding["check"]: finding for finding in json.loads(ran.stdout)}

    assert waits.files + waits.dropped == 25
    assert found["spool"]["state"] == "warn"
    assert found["spool"]["detail"].startswith(f"{waits.files} batches wait, {waits.bytes / 1000:.1f} kB, 0 % full, ")
    assert found["spool"]["detail"].endswith(f"; {waits.dropped} batches were dropped, the folder was full")


def test_a_writer_that_died_before_it_had_counted_does_not_let_the_folder_grow(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"00000000-1-{number:06d}").write_bytes(b"x" * 1000)
    (tmp_path / ".bytes").write_text("")
    Spool(tmp_path, limit_bytes=10_000).keep(b"y" * 1000)

    assert backlog(tmp_path).bytes <= 10_000
    assert backlog(tmp_path).dropped >= 91


def test_a_disk_that_takes_no_more_leaves_the_newest_in_memory_and_counts_the_rest(tmp_path: Path) -> None:
    """By a limit to the size of files, which Python tells as a full disk would be told."""
    with held_port() as port:
        ran = subprocess.run(
            [sys.executable, "-c", LONG],
            env=environment(f"http://127.0.0.1:{port}", tmp_path / "home"),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    told = {fault.kind: fault.count for fault in account.read(tmp_path / "home")}

    assert ran.stdout == ""
    assert "spool cannot be written, spans are kept in memory: [Errno 27] File too large" in ran.stderr
    assert backlog(tmp_path / "home" / "spool") == backlog(tmp_path / "none")
    assert [path.name for path in (tmp_path / "home" / "spool").iterdir() if path.name.startswith(".part")] == []
    assert told["spool cannot be written, spans are kept in memory: OSError"] == 30
    assert told["batches lost: spool not written, and the process ends"] == 30


def test_what_memory_kept_is_sent_when_the_collector_is_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "spool").write_text("a file in the way")
    before = faults.counts()
    with (
        LocalProvider() as provider,
        openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client,
        switched_on(monkeypatch, home, faultless=False) as traced,
    ):
        traced.sink.status = 503
        for _ in range(3):
            client.chat.completions.create(**CHAT)
            assert not spanledger.flush(20)
        traced.sink.status = 200
        assert spanledger.flush(20)
        assert len(traced.sink.spans()) == 3

    assert faults.counts() != before


def test_a_long_queue_of_files_is_sent_without_looking_at_all_of_them_each_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(300):
        spool.keep(str(number).encode())
    sent = []
    for _ in range(3):
        with spool.oldest_first(64) as kept:
            for item in kept or ():
                sent.append(int(item.body))
                item.forget()
    with spool.oldest_first(64) as kept:
        assert kept is not None
        assert next(kept).body == b"192"  # and it is not forgotten: the attempt failed
    spool.keep(b"300")
    with spool.oldest_first(1000) as kept:
        for item in kept or ():
            sent.append(int(item.body))
            item.forget()

    assert sent == list(range(301))

"""`spanledger up` and `collect` as a user runs them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import authority, signed
from receiving import PROTOBUF
from spanledger_collector.lake import open_table
from waiting import wait_until

FREE = ("--grpc-port", "0", "--http-port", "0")


@contextlib.contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of ours with its words in `words.txt`."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("SPANLEDGER_")}
    argv = [sys.executable, "-m", "spanledger_cli", *arguments]
    with (folder / "words.txt").open("wb") as words:
        process = subprocess.Popen(
            argv, cwd=folder, env={**plain, "HOME": str(folder)}, stdin=subprocess.DEVNULL, stderr=words
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(60)


def said(folder: Path, pattern: str) -> re.Match[str] | None:
    return re.search(pattern, (folder / "words.txt").read_text())


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=30) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def unready(address: str) -> str:
    """Return what /readyz says against sending; empty when it says nothing against it."""
    try:
        with urllib.request.urlopen(address, timeout=60):
            return ""
    except urllib.error.HTTPError as refusal:
        with refusal:
            return str(refusal.read(), "utf-8")


def test_up_runs_both_and_an_interrupt_ends_both(tmp_path: Path) -> None:
    places = ("--home", str(tmp_path / "home"), "--lake", str(tmp_path / "lake"))
    with running(tmp_path, "up", *places, *FREE, "--dashboard-port", "0") as process:
        wait_until(lambda: said(tmp_path, r"collector: OTLP http://") is not None, timeout_s=60, what="the collector")
        collector = said(tmp_path, r"OTLP (http://127\.0\.0\.1:\d+) ")
        dashboard = said(tmp_path, r"dashboard: (http://127\.0\.0\.1:\d+)")
        assert collector is not None
        assert dashboard is not None
        wait_until(lambda: answers(f"{collector[1]}/readyz"), timeout_s=60, what="/readyz")
        wait_until(lambda: answers(f"{dashboard[1]}/_stcore/health"), timeout_s=120, what="the dashboard")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not answers(f"{collector[1]}/readyz")
    assert not answers(f"{dashboard[1]}/_stcore/health")


def test_up_that_is_killed_leaves_no_dashboard_behind(tmp_path: Path) -> None:
    places = ("--home", str(tmp_path / "home"), "--lake", str(tmp_path / "lake"))
    with running(tmp_path, "up", *places, *FREE, "--dashboard-port", "0") as process:
        wait_until(lambda: said(tmp_path, r"dashboard: http://") is not None, timeout_s=60, what="its address")
        dashboard = said(tmp_path, r"dashboard: (http://127\.0\.0\.1:\d+)")
        assert dashboard is not None
        wait_until(lambda: answers(f"{dashboard[1]}/_stcore/health"), timeout_s=120, what="the dashboard")
        process.kill()
        process.wait(60)
        wait_until(lambda: not answers(f"{dashboard[1]}/_stcore/health"), timeout_s=60, what="the dashboard's end")


@pytest.mark.parametrize("command", ["collect", "up"])
def test_a_lake_that_cannot_be_written_is_one_sentence(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").touch()
    places = ("--home", str(tmp_path / "home"), "--lake", str(tmp_path / "file"))
    with running(tmp_path, command, *places, *FREE) as process:
        assert process.wait(60) == 1
    assert (tmp_path / "words.txt").read_text() == (
        f"spanledger: {tmp_path / 'file'} is a file; name another folder with --lake\n"
    )


@pytest.mark.parametrize(
    ("command", "flag"),
    [("collect", "--http-port"), ("collect", "--grpc-port"), ("up", "--dashboard-port"), ("up", "--http-port")],
)
def test_a_taken_port_is_said_with_its_flag(tmp_path: Path, command: str, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        more = ("--dashboard-port", "0") if command == "up" else ()
        with running(tmp_path, command, "--home", str(tmp_path / "home"), *FREE, *more, flag, str(port)) as process:
            assert process.wait(60) == 1
    advice = f"spanledger: port {port} on 127.0.0.1 is taken; stop the other program or choose another with {flag}"
    assert advice in (tmp_path / "words.txt").read_text()


def test_listening_for_other_machines_needs_a_guard_or_a_flag(tmp_path: Path) -> None:
    with running(tmp_path, "collect", "--home", str(tmp_path / "home"), *FREE, "--host", "0.0.0.0") as process:
        assert process.wait(60) == 1
    said_so = "can't listen on 0.0.0.0: any machine that reaches it could send to it; give a --token-file, or"
    assert said_so in (tmp_path / "words.txt").read_text()


def test_collect_takes_token_and_certificate_from_flags_and_limits_from_the_file(tmp_path: Path) -> None:
    ca = authority(tmp_path, "ca")
    server = signed(tmp_path, "server", ca)
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text("an-example-of-a-token\n")
    (tmp_path / "spanledger.toml").write_text("max_body_bytes = 1000\n")
    secret = ("--token-file", str(tokens), "--tls-cert", str(server.cert), "--tls-key", str(server.key))
    trusting = ssl.create_default_context(cafile=str(ca.cert))

    def status(address: str, size: int, headers: dict[str, str]) -> int:
        request = urllib.request.Request(f"{address}/v1/traces", bytes(size), headers | PROTOBUF)
        try:
            with urllib.request.urlopen(request, timeout=60, context=trusting) as response:
                return int(response.status)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return int(refusal.code)

    with running(tmp_path, "collect", "--home", str(tmp_path / "home"), *FREE, *secret):
        wait_until(lambda: said(tmp_path, r"OTLP https://") is not None, timeout_s=60, what="the collector")
        collector = said(tmp_path, r"OTLP (https://127\.0\.0\.1:\d+) ")
        assert collector is not None
        known = {"Authorization": "Bearer an-example-of-a-token"}
        statuses = [status(collector[1], size, headers) for size, headers in ((0, {}), (0, known), (1001, known))]
    assert statuses == [401, 200, 413]


def test_a_lake_of_a_later_version_is_a_sentence_without_a_traceback(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    open_table(lake)
    protocol = {"protocol": {"minReaderVersion": 99, "minWriterVersion": 99}}
    (lake / "spans" / "_delta_log" / f"{1:020}.json").write_text(json.dumps(protocol) + "\n")
    told = f"the lake {lake} can't be read: .*; upgrade spanledger, or choose another with --lake"
    with running(tmp_path, "sql", "select 1", "--lake", str(lake)) as process:
        assert process.wait(60) == 1
    assert said(tmp_path, told) is not None
    with running(tmp_path, "collect", "--home", str(tmp_path / "home"), "--lake", str(lake), *FREE):
        wait_until(lambda: said(tmp_path, f"commit: {told}") is not None, timeout_s=60, what="the committer's sentence")
        collector = said(tmp_path, r"OTLP (http://127\.0\.0\.1:\d+) ")
        assert collector is not None
        # A child has to be started three times for that.
        wait_until(
            lambda: "keeps ending (exit code 1)" in unready(f"{collector[1]}/readyz"), timeout_s=180, what="/readyz"
        )
    assert said(tmp_path, "Traceback") is None

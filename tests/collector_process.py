"""A collector as its own process tree, on a home and a lake of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

import pyarrow.parquet as pq

from spanledger.lake_path import LakePath
from spanledger_collector.lake import live_files, open_table, table_path
from spanledger_collector.serve import state_path
from spanledger_collector.wal import wal_dir
from waiting import wait_until

PROGRAM: Final = ("-m", "spanledger_collector.serve")


@dataclass(frozen=True, slots=True)
class Collector:
    """A running collector."""

    process: subprocess.Popen[bytes]
    home: Path
    lake: Path
    """Or an address in a store."""
    http_port: int
    grpc_port: int

    def children(self) -> list[int]:
        """Return the process ids of its children."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
        pairs = [line.split() for line in listed.stdout.splitlines()]
        return [int(pid) for pid, parent in pairs if int(parent) == self.process.pid]

    def kill(self) -> None:
        """Kill the whole tree with SIGKILL; the parent is halted first, so that it starts nothing meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        for pid in self.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(100)

    def stop(self) -> int:
        """Ask it to end as a service manager would, and return its exit code."""
        self.process.terminate()
        return self.process.wait(100)

    def wait_for_commit(self) -> None:
        """Return when everything in the log is in the lake."""
        log = wal_dir(self.home)
        wait_until(lambda: not list(log.glob("*.wal*")), timeout_s=120, what="an empty log")


def start_collector(
    home: Path, lake: LakePath, errors: IO[bytes], program: Sequence[str] = PROGRAM, more: Sequence[str] = ()
) -> Collector:
    """Start a collector on free ports, and return when it takes requests."""
    ports = ("--grpc-port", "0", "--http-port", "0")
    flags = ("--home", str(home), "--lake", str(lake), *ports)
    argv = [sys.executable, *program, *flags, *more]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=errors)

    def announced() -> dict[str, int]:
        assert process.poll() is None, "the collector ended at once"
        with contextlib.suppress(FileNotFoundError):
            said: dict[str, int] = json.loads(state_path(home).read_text())
            return said if said["pid"] == process.pid else {}
        return {}

    try:
        wait_until(lambda: bool(announced()), timeout_s=100, what="the collector to take requests")
    except BaseException:
        process.kill()
        raise
    said = announced()
    return Collector(process, home, cast(Path, lake), said["http_port"], said["grpc_port"])


@contextlib.contextmanager
def collecting(folder: Path, more: Sequence[str] = ()) -> Iterator[Collector]:
    """Run a collector for the length of a test."""
    with (folder / "collector.log").open("ab") as errors:
        collector = start_collector(folder / "home", folder / "lake", errors, more=more)
        try:
            yield collector
        finally:
            if collector.process.poll() is None:
                collector.kill()


def span_ids(lake: Path) -> list[str]:
    """Return the span id of every row of the lake, repeats included."""
    paths = [table_path(lake) / file.path for file in live_files(open_table(lake))]
    return [span_id for path in paths for span_id in pq.ParquetFile(path).read(["span_id"])["span_id"].to_pylist()]

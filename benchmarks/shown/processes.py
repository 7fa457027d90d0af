"""Servers of the benchmark: started on loopback in process groups of their own, ended by their number, and weighed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spanledger_dashboard.server import command

HOST: Final = "127.0.0.1"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PATIENCE_S: Final = 180


@dataclass(frozen=True, slots=True)
class Server:
    """A process with its children, and where it answers."""

    pid: int
    address: str

    def rss_mb(self) -> int:
        """Return the resident memory of the process and its children."""
        return round(sum(_resident_kb(pid) for pid in self._all()) / 1000)

    def cpu_s(self) -> float:
        """Return the CPU time so far of the process and its children."""
        return sum(_ticks(pid) for pid in self._all()) / _TICKS

    def _all(self) -> list[int]:
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._is_ours(entry)]

    def _is_ours(self, entry: Path) -> bool:
        with contextlib.suppress(OSError):
            return os.getpgid(int(entry.name)) == self.pid
        return False


def _resident_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def _ticks(pid: int) -> int:
    with contextlib.suppress(OSError):
        after_name = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return int(after_name[11]) + int(after_name[12])
    return 0


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def dashboard(lake: Path, log: Path) -> Iterator[Server]:
    """Serve the dashboard of a generated lake, on that lake's clock."""
    port = free_port()
    words = command(lake, port)
    script = next(place for place, word in enumerate(words) if word.endswith("entry/app.py"))
    words[script] = str(Path(__file__).with_name("app.py"))
    with serving([*words, "--started", str(time.time())], port, "/_stcore/health", log) as server:
        yield server


@contextlib.contextmanager
def serving(
    words: Sequence[str], port: int, healthy: str, log: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[Server]:
    """Run a server until the block ends; the block begins when the path `healthy` answers 200.

    Raises:
        SystemExit: it ended, or does not answer.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            words, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent, env=environment, start_new_session=True
        )
    try:
        server = Server(process.pid, f"http://{HOST}:{port}")
        _wait(process, server.address + healthy, log)
        yield server
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(address, timeout=2) as answer:  # noqa: S310
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"{process.args!r} does not answer at {address}; it says:\n{log.read_text()[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the group to end, then end what is left of it."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)

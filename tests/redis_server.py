"""A real Redis, in a process of its own, on a socket in a folder of its own."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from waiting import wait_until


class RedisServer:
    """Started when made; nothing of it outlives its process."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("needs the program redis-server: apt-get install redis-server")
        pytest.importorskip("redis")
        self._folder = folder
        self._socket = folder / "redis.sock"
        self._program = program
        self.url = f"unix://{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, empty."""
        options = ("--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._program, *options], cwd=self._folder, stdout=log, stderr=log)
        wait_until(self._answers, what="a Redis that answers")

    def _answers(self) -> bool:
        from redis import Redis
        from redis.exceptions import RedisError

        with contextlib.suppress(RedisError), contextlib.closing(Redis.from_url(self.url)) as client:
            return bool(client.ping())
        return False

    def stop(self) -> None:
        """Kill it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(20)
        self._socket.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Have it accept connections, and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[RedisServer]:
    """Run a Redis for as long as it lasts."""
    server = RedisServer(folder)
    try:
        yield server
    finally:
        server.thaw()
        server.stop()

"""Handing bodies to the ledger from outside a collector: through the door of one that runs, else into the log itself.

One home has one log, and one process writes it. While a collector runs, that is the collector, and bodies go through
its HTTP door like everybody's; otherwise the log is ours for as long as we hold its lock, and a converter and a
committer are started beside it, as a collector would. Either way `send` returns when the body is on disk, so that a
crash loses nothing of what it returned for; and what is sent twice is counted once.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from spanledger.lake_path import LakePath, absolute

from .errors import BodyRefusedError, DeliveryError, OverloadedError, WalBusyError
from .serve import STAGES, RunningCollector, stage, state_path
from .supervise import Child, stop_in_order
from .wal import Signal, segments, wal_dir
from .wal_writer import Limits, WalWriter

MOST_BYTES: Final = 4 << 20
"""Of one body: far above what a request costs, and far below what the doors take by default."""
PATIENCE_S: Final = 300.0
"""How long one body is offered again and again to a collector or a log that has no room."""
_STALLED_S: Final = 120.0
"""How long nothing may come out of the log before what is left there is left to the next collector."""
_STOP_S: Final = 10.0
_ANSWER_S: Final = 60.0
_LOG_LIMITS: Final = Limits(backlog_bytes=512 << 20)
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_NO_ROOM: Final = frozenset({429, 502, 503, 504})

Say = Callable[[str], None]


class Delivery(Protocol):
    """Takes bodies in."""

    most_bytes: int
    """What a body should have at most."""

    def send(self, body: bytes, signal: Signal) -> None:
        """Return when the body is on disk.

        Raises:
            BodyRefusedError: this body will not be taken; others may.
            DeliveryError: it is not on disk, or that isn't known.
        """


@contextlib.contextmanager
def open_delivery(home: Path, lake: LakePath, say: Say = lambda _words: None) -> Iterator[Delivery]:
    """Give the way into the lake; where no collector runs, all is in the lake when the block is left.

    `say` is told in words what is waited for.

    Raises:
        DeliveryError: there is none: a collector that doesn't answer, or one that fills another lake.
        WalError: the log can't be used.
    """
    running = running_collector(home)
    if running is not None:
        if running.asks_certificate:
            raise DeliveryError(f"the collector of {home} asks for a client's certificate; stop it for this, and go on")
        if running.lake != str(absolute(lake)):
            raise DeliveryError(f"the collector of {home} fills the lake {running.lake}; name that, or another --home")
        with contextlib.closing(_Door(running, say)) as door:
            yield door
        return
    with _open_log(home) as log, _Stages(home, lake) as stages:
        yield log
        log.close()
        stages.drain(say)


def running_collector(home: Path) -> RunningCollector | None:
    """Return the collector that runs on `home`, None where none answers."""
    try:
        running = RunningCollector(**json.loads(state_path(home).read_bytes()))
        if running.asks_certificate:
            os.kill(running.pid, 0)
            return running
        with contextlib.closing(_connect(running, 5.0)) as connection:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
    except (OSError, ValueError, TypeError, http.client.HTTPException):
        return None
    return running


def _connect(running: RunningCollector, timeout_s: float) -> http.client.HTTPConnection:
    host = _LOOPBACK.get(running.host, running.host)
    if running.tls_cert is None:
        return http.client.HTTPConnection(host, running.http_port, timeout=timeout_s)
    # Its own certificate and no other is trusted, by whatever name it goes.
    context = ssl.create_default_context(cafile=running.tls_cert)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return http.client.HTTPSConnection(host, running.http_port, timeout=timeout_s, context=context)


def _token(path: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise DeliveryError(f"the collector asks for a token, and {path} can't be read: {error.strerror}") from error
    return next((line.strip() for line in lines if line.strip() and not line.startswith("#")), "")


class _Door:
    """The HTTP door of a running collector."""

    def __init__(self, running: RunningCollector, say: Say) -> None:
        self.most_bytes = min(MOST_BYTES, running.body_bytes * 3 // 4)
        self._connection = _connect(running, _ANSWER_S)
        self._headers = {"Content-Type": "application/x-protobuf"}
        if running.token_file is not None:
            self._headers["Authorization"] = f"Bearer {_token(running.token_file)}"
        self._say = say

    def send(self, body: bytes, signal: Signal) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status, reply, wait_s = self._post(body, signal)
            if status == 200:
                return
            if status not in _NO_ROOM:
                raise BodyRefusedError(f"the collector refused it: {_message(reply)}")
            if time.monotonic() + wait_s > deadline:
                raise DeliveryError(f"the collector has had no room for {PATIENCE_S:.0f} s: {_message(reply)}")
            self._say(f"waiting: {_message(reply)}")
            time.sleep(wait_s)

    def close(self) -> None:
        self._connection.close()

    def _post(self, body: bytes, signal: Signal) -> tuple[int, bytes, float]:
        reused = self._connection.sock is not None
        try:
            self._connection.request("POST", f"/v1/{signal}", body, self._headers)
            answer = self._connection.getresponse()
            wait = answer.headers.get("Retry-After", "")
            return answer.status, answer.read(), float(wait) if wait.isdecimal() else 1.0
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            if reused:  # the collector may have closed an idle connection; sending twice does no harm
                return self._post(body, signal)
            raise DeliveryError(f"the collector went away: {type(error).__name__} {error}; do it again") from error


def _message(reply: bytes) -> str:
    try:
        return status_pb2.Status.FromString(reply).message or "it gave no reason"
    except DecodeError:
        return repr(reply[:200])


class _Log:
    """The log of a home on which no collector runs."""

    most_bytes = MOST_BYTES

    def __init__(self, wal: WalWriter) -> None:
        self._wal = wal

    def send(self, body: bytes, signal: Signal) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (refusal := self._try(body, signal)) is not None:
            if time.monotonic() > deadline:
                raise DeliveryError(f"the log has had no room for {PATIENCE_S:.0f} s: {refusal.message}")
            time.sleep(0.05)

    def close(self) -> None:
        self._wal.close()

    def _try(self, body: bytes, signal: Signal) -> OverloadedError | None:
        answered = threading.Event()
        refusals: list[OverloadedError | None] = []

        def done(error: OverloadedError | None) -> None:
            refusals.append(error)
            answered.set()

        try:
            self._wal.submit(body, done, signal)
        except OverloadedError as error:
            return error
        answered.wait()
        return refusals[0]


@contextlib.contextmanager
def _open_log(home: Path) -> Iterator[_Log]:
    try:
        wal = WalWriter(wal_dir(home), _LOG_LIMITS)
    except WalBusyError as error:
        advice = f"a collector of {home} is starting or stopping, or does not answer; try again in a moment"
        raise DeliveryError(advice) from error
    try:
        yield _Log(wal)
    finally:
        wal.close()


class _Stages:
    """A converter and a committer, kept running for as long as the block lasts."""

    def __init__(self, home: Path, lake: LakePath) -> None:
        self._home = home
        self._commands = [stage(name, home, lake) for name in STAGES]
        self._children: list[Child] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="spanledger-stages", daemon=True)

    def __enter__(self) -> _Stages:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        stopping = stop_in_order(self._children, _STOP_S)
        asyncio.run_coroutine_threadsafe(stopping, self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._children = [Child(command) for command in self._commands]

    def drain(self, say: Say) -> None:
        """Return when all that is in the log is in the lake.

        Raises:
            DeliveryError: for two minutes nothing has come out of it.
        """
        left, changed_at = -1, time.monotonic()
        while waiting := segments(wal_dir(self._home)):
            if len(waiting) != left:
                left, changed_at = len(waiting), time.monotonic()
                say(f"{left} segments of the log become rows")
            if time.monotonic() - changed_at > _STALLED_S:
                raise DeliveryError(
                    f"everything is in the log of {self._home}, but {left} segments don't become rows; start "
                    "`spanledger collect` on it and see what it says"
                )
            time.sleep(0.05)

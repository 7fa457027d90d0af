"""A network between a client and a server on a Unix socket, which can be slow, or cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Network:
    """Carries what is sent, on a TCP port of its own."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.delay_s = 0.0
        """Of each piece of an answer."""
        self.is_cut = False
        self._ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            self._open += [near, far]
            with contextlib.suppress(OSError):
                far.connect(self._target)
            threading.Thread(target=self._carry, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, True), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                if is_answer and self.delay_s:
                    self._ending.wait(self.delay_s)
                if not self.is_cut:  # else it is lost, and nobody is told
                    target.sendall(piece)
            target.shutdown(socket.SHUT_RDWR)

    def break_off(self) -> None:
        """End the connections that there are."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all connections."""
        self._ending.set()
        self._listener.close()
        for one in self._open:
            one.close()


@contextlib.contextmanager
def network(target: str) -> Iterator[Network]:
    """Carry to the socket `target` for as long as it lasts."""
    made = Network(target)
    try:
        yield made
    finally:
        made.close()

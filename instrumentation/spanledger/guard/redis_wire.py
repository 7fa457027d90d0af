"""Asking a Redis: one script in one round trip, over a few connections, with every failure as `StoreAwayError`.

redis-py speaks the protocol and makes connections; its pool and its client are left out, which would cost more than
the question. A connection that broke while it was idle is replaced once, at once: what is asked is idempotent, by the
id of the call. After a timeout nothing is asked again.

What needs no answer at once is sent without waiting; its answer is read when the connection is used next, before
that to what is sent then. Redis answers in order, so nothing has to be matched.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import deque
from collections.abc import Callable
from importlib.resources import files
from time import monotonic
from typing import Any, Final, TypeAlias, TypeVar

from .store import StoreAwayError
from .stores import without_secret

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as BrokenError, MovedError, NoScriptError, RedisError, ResponseError
    from redis.retry import Retry
except ImportError as error:
    raise ImportError("a store in Redis needs the extra: pip install 'spanledger[redis]'") from error

TIMEOUT_S: Final = 0.25
"""For a connection and, again, for an answer."""


def _without_names(script: str) -> str:
    """Put numbers in the place of constants, `local NAME, OTHER = 1, 2`, which halves what a call costs the server."""
    for line, names, numbers in re.findall(r"^(local ([A-Z_, ]+) = ([0-9, -]+)\n)", script, re.MULTILINE):
        script = script.replace(line, "")
        for name, number in zip(names.split(", "), numbers.split(", "), strict=True):
            script = re.sub(rf"\b{name}\b", number, script)
    return script


_SCRIPT: Final = _without_names(files("spanledger.guard").joinpath("accounts.lua").read_text("utf-8")).encode()
_SHA: Final = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest().encode()
_NAMES: Final = ("accounts", "calls", "live", "unsent", "charged", "returned", "over", "states")
_UNSENT: Final = _NAMES.index("unsent")
_MOST_OWED: Final = 16
"""Answers that a connection may owe."""
_SOON_S: Final = 0.005
"""Within that an answer that is owed needn't be there yet, and looking for it takes longer than reading it later."""
_T = TypeVar("_T")
_A = TypeVar("_A")
Hear: TypeAlias = Callable[[Any], None]
"""Gets an answer when it has been read; None: nobody knows whether anything was done."""
_SKIP: Final = b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n"


class _Link:
    """A connection, and who is to hear of the answers that it owes."""

    __slots__ = ("connection", "owed", "owed_since_s")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.owed_since_s = 0.0
        self.owed: deque[Hear] = deque()

    def send(self, command: bytes) -> None:
        self.connection.send_packed_command([command], check_health=False)

    def take_in(self, *, wait: bool) -> None:
        """Read the answers that are owed; those that are there, or all."""
        while self.owed and (wait or self.connection.can_read(0)):
            try:
                answer = self.connection.read_response()
            except ResponseError:
                answer = None
            self.owed.popleft()(answer)

    def end(self) -> None:
        """Close it; what it owes doesn't come any more."""
        self.connection.disconnect()
        while self.owed:
            self.owed.popleft()(None)


class Wire:
    """Connections to one Redis, whose keys begin with a prefix that is their hash tag, too."""

    def __init__(self, url: str, prefix: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._keys = [f"{{{prefix}}}:{name}".encode() for name in _NAMES]
        self._made_by = self._home = self._pool_at()
        """What makes connections: to the URL or, of a cluster, to the node that has our keys."""
        self._idle: list[_Link] = []
        self._skips: bool | None = None
        """Whether the server knows CLIENT REPLY SKIP; some proxies don't."""

    def _pool_at(self, **place: Any) -> redis.ConnectionPool:
        pool = redis.ConnectionPool.from_url(
            self._url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
        )
        pool.connection_kwargs.update(place)
        return pool

    def run(self, *arguments: bytes) -> Any:
        """Run the script.

        Raises:
            StoreAwayError: no answer, not in time, or an error.
        """
        tail = [b"8", *self._keys, *arguments]
        try:
            return self._asked(_packed([b"EVALSHA", _SHA, *tail]))
        except NoScriptError:
            return self._or_away(self._asked, _packed([b"EVAL", _SCRIPT, *tail]))
        except ResponseError as error:
            if not (isinstance(error, MovedError) or str(error).startswith("MOVED ")):
                raise self._away(error) from error
            self._follow(str(error))
            return self._or_away(self._asked, _packed([b"EVAL", _SCRIPT, *tail]))
        except RedisError as error:
            raise self._away(error) from error

    def run_later(self, hear: Hear, *arguments: bytes) -> None:
        """Run the script without waiting for its answer.

        Raises:
            StoreAwayError: it couldn't be sent.
        """
        command = _packed([b"EVALSHA", _SHA, b"8", *self._keys, *arguments])

        def send(link: _Link) -> None:
            link.take_in(wait=len(link.owed) >= _MOST_OWED)
            link.send(command)
            if not link.owed:
                link.owed_since_s = monotonic()
            link.owed.append(hear)

        self._or_away(self._on_link, send)

    def catch_up(self) -> None:
        """Read the answers that are owed on connections that nobody uses now.

        Raises:
            StoreAwayError: they don't come in time.
        """
        links = self._all_idle()
        try:
            while links:
                self._used(links.pop(), _take_in_all)
        except RedisError as error:
            while links:
                _end_in_peace(links.pop())
            if not isinstance(error, BrokenError):
                raise self._away(error) from error
        finally:
            self._idle.extend(links)

    def tell_sent(self, call: bytes) -> None:
        """Take a call out of those that are unsent, without waiting for an answer.

        Raises:
            StoreAwayError: it couldn't be told.
        """
        command = _packed([b"SREM", self._keys[_UNSENT], call])
        if self._skips:
            self._or_away(self._on_link, lambda link: link.send(_SKIP + command))
        elif self._skips is None:
            self._skips = self._or_away(self._on_link, lambda link: _try_skipping(link, command))
        else:
            self._or_away(self._asked, command)

    def close(self) -> None:
        """Close the connections; the next question makes new ones."""
        for link in self._all_idle():
            _end_in_peace(link)

    def start_anew(self) -> None:
        """Leave the connections to the parent of this forked process."""
        self._idle = []

    def _asked(self, command: bytes) -> Any:
        def ask(link: _Link) -> Any:
            if link.owed and monotonic() - link.owed_since_s > _SOON_S:
                link.take_in(wait=False)  # a connection that turns out broken when it is sent to gives no more of them
            link.send(command)
            link.take_in(wait=True)
            return link.connection.read_response()

        return self._on_link(ask)

    def _on_link(self, use: Callable[[_Link], _T]) -> _T:
        """Use a connection; where one broke while it was idle, use a new one."""
        try:
            link = self._idle.pop()
        except IndexError:
            try:
                return self._used(self._connection(), use)
            except BrokenError:
                self._made_by = self._home
                raise
        with contextlib.suppress(BrokenError):
            return self._used(link, use)
        self.close()
        return self._used(self._connection(), use)

    def _used(self, link: _Link, use: Callable[[_Link], _T]) -> _T:
        try:
            answer = use(link)
        except ResponseError:
            self._idle.append(link)
            raise
        except BaseException:
            link.end()
            raise
        self._idle.append(link)
        return answer

    def _all_idle(self) -> list[_Link]:
        """Take all connections that nobody uses now."""
        taken: list[_Link] = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._idle.pop())
        return taken

    def _connection(self) -> _Link:
        # The pool would count those that were made, and not those that have broken.
        return _Link(self._made_by.connection_class(**self._made_by.connection_kwargs))

    def _follow(self, moved: str) -> None:
        """Go to the node of a cluster that has our keys: `[MOVED] slot host:port`."""
        host, _, port = moved.split()[-1].rpartition(":")
        self.close()
        self._made_by = self._pool_at(host=host, port=int(port)) if host else self._pool_at(port=int(port))

    def _or_away(self, ask: Callable[[_A], _T], what: _A) -> _T:
        try:
            return ask(what)
        except RedisError as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> StoreAwayError:
        return StoreAwayError(f"{without_secret(self._url)}: {error}")


def _take_in_all(link: _Link) -> None:
    link.take_in(wait=True)


def _end_in_peace(link: _Link) -> None:
    """Close a connection, of which the answers that are there are read before."""
    with contextlib.suppress(RedisError):
        link.take_in(wait=False)
    link.end()


def _try_skipping(link: _Link, command: bytes) -> bool:
    """Send a command without an answer; tell whether the server knows of such."""
    link.send(_SKIP + command + _packed([b"PING"]))
    link.take_in(wait=True)
    try:
        skips = bool(link.connection.read_response() == b"PONG")
    except ResponseError:
        skips = False
    if not skips:
        link.connection.read_response()
        link.connection.read_response()
    return skips


def _packed(arguments: list[bytes]) -> bytes:
    """Return a command as it goes over the wire."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        parts.append(b"$%d\r\n%b\r\n" % (len(argument), argument))
    return b"".join(parts)

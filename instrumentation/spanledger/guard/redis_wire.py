"""Asking a Redis: one script in one round trip, over a few connections, with every failure as `StoreAwayError`.

redis-py speaks the protocol and makes connections; its pool and its client are left out, which would cost more than
the question. A connection that broke while it was idle is replaced once, at once: what is asked is idempotent, by the
id of the call. After a timeout nothing is asked again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final, TypeVar

from .store import StoreAwayError

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
_T = TypeVar("_T")
_SKIP: Final = b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n"


class Wire:
    """Connections to one Redis, whose keys begin with a prefix that is their hash tag, too."""

    def __init__(self, url: str, prefix: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._keys = [f"{{{prefix}}}:{name}".encode() for name in _NAMES]
        self._made_by = self._home = self._pool_at()
        """What makes connections: to the URL or, of a cluster, to the node that has our keys."""
        self._idle: list[Any] = []
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

    def tell_sent(self, call: bytes) -> None:
        """Take a call out of those that are unsent, without waiting for an answer.

        Raises:
            StoreAwayError: it couldn't be told.
        """
        command = _packed([b"SREM", self._keys[_UNSENT], call])
        if self._skips:
            self._or_away(self._told, _SKIP + command)
        elif self._skips is None:
            self._skips = self._or_away(self._try_skipping, command)
        else:
            self._or_away(self._asked, command)

    def close(self) -> None:
        """Close the connections; the next question makes new ones."""
        while self._idle:
            self._idle.pop().disconnect()

    def start_anew(self) -> None:
        """Leave the connections to the parent of this forked process."""
        self._idle = []

    def _asked(self, command: bytes) -> Any:
        connection, was_idle = self._taken()
        try:
            return self._answered(connection, command)
        except BrokenError:
            if not was_idle:
                self._made_by = self._home
                raise
        self.close()
        return self._answered(self._connection(), command)

    def _answered(self, connection: Any, command: bytes) -> Any:
        connection.send_packed_command([command], check_health=False)
        try:
            answer = connection.read_response()
        except ResponseError:
            self._idle.append(connection)
            raise
        self._idle.append(connection)
        return answer

    def _told(self, command: bytes) -> None:
        connection, _ = self._taken()
        connection.send_packed_command([command], check_health=False)
        self._idle.append(connection)

    def _try_skipping(self, command: bytes) -> bool:
        connection, _ = self._taken()
        connection.send_packed_command([_SKIP + command + _packed([b"PING"])], check_health=False)
        try:
            skips = bool(connection.read_response() == b"PONG")
        except ResponseError:
            skips = False
        if not skips:
            connection.read_response()
            connection.read_response()
        self._idle.append(connection)
        return skips

    def _taken(self) -> tuple[Any, bool]:
        try:
            return self._idle.pop(), True
        except IndexError:
            return self._connection(), False

    def _connection(self) -> Any:
        # The pool would count those that were made, and not those that have broken.
        return self._made_by.connection_class(**self._made_by.connection_kwargs)

    def _follow(self, moved: str) -> None:
        """Go to the node of a cluster that has our keys: `[MOVED] slot host:port`."""
        host, _, port = moved.split()[-1].rpartition(":")
        self.close()
        self._made_by = self._pool_at(host=host, port=int(port)) if host else self._pool_at(port=int(port))

    def _or_away(self, ask: Callable[[bytes], _T], command: bytes) -> _T:
        try:
            return ask(command)
        except RedisError as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> StoreAwayError:
        return StoreAwayError(f"{without_secret(self._url)}: {error}")


def without_secret(url: str) -> str:
    """Return an address without the user and the password in it."""
    scheme, found, rest = url.partition("://")
    return f"{scheme}{found}{rest.rpartition('@')[2]}"


def _packed(arguments: list[bytes]) -> bytes:
    """Return a command as it goes over the wire."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        parts.append(b"$%d\r\n%b\r\n" % (len(argument), argument))
    return b"".join(parts)

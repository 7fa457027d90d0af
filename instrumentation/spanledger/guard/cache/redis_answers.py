"""Answers in a Redis, for applications of several hosts; the same one that the policy's accounts are in.

Redis ends an answer's time by itself. How much a rule keeps is counted beside it, by last use, and what has not been
used for longest is thrown out when another answer comes: what has ended counts until then, so the bound holds at all
times. A Redis that doesn't answer is left alone for a while, so that not every call waits for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from spanledger import faults

from .answers import Bound, Kept

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry
except ImportError as error:
    raise ImportError("answers in a Redis need the extra: pip install 'spanledger[redis]'") from error

PREFIX: Final = "spanledger"
TIMEOUT_S: Final = 0.25
_PAUSE_S: Final = 5.0
_PUT: Final = """
local answer, index, sizes = KEYS[1], KEYS[2], KEYS[3]
local size, now, ttl = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local most_bytes, most_entries = tonumber(ARGV[5]), tonumber(ARGV[6])
redis.call('DEL', answer)
redis.call('HSET', answer, 'data', ARGV[1], 'index', index)
redis.call('PEXPIRE', answer, ttl)
local before = tonumber(redis.call('HGET', sizes, answer) or '0')
redis.call('ZADD', index, now, answer)
redis.call('HSET', sizes, answer, size)
local total = redis.call('HINCRBY', sizes, 'total', size - before)
while total > most_bytes or redis.call('ZCARD', index) > most_entries do
    local oldest = redis.call('ZPOPMIN', index)[1]
    if not oldest then break end
    total = redis.call('HINCRBY', sizes, 'total', -tonumber(redis.call('HGET', sizes, oldest) or '0'))
    redis.call('HDEL', sizes, oldest)
    redis.call('DEL', oldest)
end
redis.call('PEXPIRE', index, ttl)
redis.call('PEXPIRE', sizes, ttl)
"""
_GET: Final = """
local found = redis.call('HMGET', KEYS[1], 'data', 'avoids', 'index')
if found[1] then redis.call('ZADD', found[3], 'XX', ARGV[1], KEYS[1]) end
return {found[1], found[2]}
"""
_SET_AVOIDS: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then
    if ARGV[1] == '' then redis.call('HDEL', KEYS[1], 'avoids') else redis.call('HSET', KEYS[1], 'avoids', ARGV[1]) end
end
"""
Result = TypeVar("Result")


class RedisAnswers:
    """Answers in a Redis; see `Answers` for what the methods do."""

    blocks = True

    def __init__(self, url: str, *, prefix: str = PREFIX, timeout_s: float = TIMEOUT_S) -> None:
        """Prepare; nothing is connected yet.

        Args:
            url: `redis://`, `rediss://` or `unix://`, as redis-py reads it.
            prefix: What all keys begin with.
            timeout_s: Seconds for a connection and, again, for an answer.
        """
        self._url = url
        self._tag = f"{{{prefix}}}:answers:".encode()  # one slot of a cluster, as scripts need it
        self._timeout_s = timeout_s
        self._away_until_s = float("-inf")
        self._connect()

    def get(self, key: bytes, now_ms: int) -> Kept | None:
        """Return what is kept; Redis has thrown out what is too old."""
        found = self._ask(lambda: self._get(keys=[self._tag + key], args=[now_ms]))
        if not found or found[0] is None:
            return None
        return Kept(found[0], int(found[1]) if found[1] is not None else None)

    def put(self, key: bytes, data: bytes, until_ms: int, now_ms: int, bound: Bound) -> None:
        """Keep packed bytes, and throw out what has not been used for longest where the bound is passed."""
        if len(data) > bound.bytes or until_ms <= now_ms:
            return
        rule = bound.rule.encode()
        keys = [self._tag + key, b"%bby use:%b" % (self._tag, rule), b"%bsizes:%b" % (self._tag, rule)]
        arguments = [data, len(data), now_ms, until_ms - now_ms, bound.bytes, bound.entries]
        self._ask(lambda: self._put(keys=keys, args=arguments))

    def set_avoids(self, key: bytes, pico: int | None) -> None:
        """Say what a hit saves."""
        self._ask(lambda: self._set_avoids(keys=[self._tag + key], args=["" if pico is None else pico]))

    def close(self) -> None:
        """Close the connections; the next use makes new ones."""
        if self._pid == os.getpid():
            self._client.close()

    def _connect(self) -> None:
        self._pid = os.getpid()
        self._client = redis.Redis.from_url(
            self._url,
            protocol=2,
            retry=Retry(NoBackoff(), 1),  # a connection that broke while it was idle
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
        )
        self._get: Any = self._client.register_script(_GET)
        self._put: Any = self._client.register_script(_PUT)
        self._set_avoids: Any = self._client.register_script(_SET_AVOIDS)

    def _ask(self, question: Callable[[], Result]) -> Result | None:
        if time.monotonic() < self._away_until_s:
            return None
        if self._pid != os.getpid():
            self._connect()
        try:
            return question()
        except (RedisError, OSError) as error:
            self._away_until_s = time.monotonic() + _PAUSE_S
            faults.report("answers in Redis can't be reached, calls are made", error, expected=True)
            return None

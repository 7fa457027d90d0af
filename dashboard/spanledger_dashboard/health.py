"""Whether what happens now comes in: the collector of this machine, and what waits in its log.

A lake may be filled by other machines, so a collector that doesn't answer here is told only where nothing came lately.
"""

from __future__ import annotations

import http.client
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from spanledger import settings
from spanledger_collector.status import backlog_of

from .format import ago, size

_LATE: Final = timedelta(minutes=1)
"""Rows are in the lake within seconds; what waits longer is stuck."""
QUIET: Final = timedelta(minutes=2)
"""Without a span for so long one asks whether the collector is there."""
_ANSWERS_WITHIN_S: Final = 0.5
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_READY: Final = 200


def troubles(last_span: datetime | None, now: datetime, *, is_whole: bool) -> list[str]:
    """Return what keeps spans from coming in, in sentences without a full stop; nothing where all is well.

    Who sees a part of the lake isn't told how much waits: it is everybody's, and so is what can't be read.
    """
    read = settings.load()
    waiting = backlog_of(read.home)
    is_late = waiting.since is not None and now - waiting.since > _LATE
    if not is_whole:
        return ["what came lately may not be shown yet"] if is_late else []
    told = []
    if is_late and waiting.since is not None:
        told.append(f"{size(waiting.bytes)} wait to become rows, the oldest came {ago(waiting.since, now)}")
    if waiting.dead_letters:
        told.append("some of what came could not be read: spanledger dead list")
    if last_span is None or now - last_span > QUIET:
        told += _collector(read.endpoint)
    return told


def _collector(endpoint: str) -> list[str]:
    """Ask the collector of this machine, where the settings name one, whether it takes spans."""
    parts = urlsplit(endpoint)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
        return []
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=_ANSWERS_WITHIN_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        if answer.status == _READY:
            return []
        reason = answer.read(200).decode("utf-8", "replace").strip().splitlines()
        return [f"the collector takes no spans: {reason[0] if reason else answer.status}"]
    except (OSError, http.client.HTTPException):
        return [f"no collector answers on {parts.hostname}:{parts.port or 80}: spanledger up starts one"]
    finally:
        connection.close()

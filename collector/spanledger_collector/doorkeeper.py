"""Turning strangers away, and saying so where the one who runs the collector sees it.

An exporter takes this refusal for final and drops what it has, so a wrong token is loss of data: it is logged as an
error, at most once in a while however many requests there are.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from .auth import Access, Tokens
from .errors import StrangerError

log = logging.getLogger(__name__)

_SAY_EVERY_S: Final = 60.0


class Doorkeeper:
    """Looks at the tokens of requests, where there are tokens.

    Raises (on construction):
        AccessError: the file of tokens can't be used.
    """

    def __init__(self, access: Access) -> None:
        self._tokens = Tokens(access.token_file) if access.token_file else None
        self._unsaid = 0
        self._said_at = float("-inf")

    def check(self, authorization: str, peer: str) -> None:
        """Let a request pass whose Authorization header has a token that is known.

        Raises:
            StrangerError: it doesn't.
        """
        if self._tokens is None or self._tokens.allow(authorization):
            return
        self._unsaid += 1
        if time.monotonic() - self._said_at > _SAY_EVERY_S:
            log.error("%d requests had no known token, their data is lost; the last came from %s", self._unsaid, peer)
            self._unsaid, self._said_at = 0, time.monotonic()
        raise StrangerError("send `Authorization: Bearer TOKEN` with a token of the collector's --token-file")

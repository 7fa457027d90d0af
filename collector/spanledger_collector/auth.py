"""Who may send: bearer tokens from a file, and what else a door asks for.

The file has one token a line, so that a new one can be handed out before the old one goes; it is read again when it
changes. What can't be read then leaves the tokens as they were: a slip of the pen must not shut everyone out.
"""

from __future__ import annotations

import hmac
import logging
import os
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from .errors import AccessError

log = logging.getLogger(__name__)

SHORTEST: Final = 16
_ADVICE: Final = (
    "write one token a line, for example with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
)


@dataclass(frozen=True, slots=True)
class Access:
    """What both doors ask of whoever sends; by default nothing, and nothing is encrypted.

    Raises (on construction):
        AccessError: the files don't go together.
    """

    token_file: Path | None = None
    """Bearer tokens; a request has to have one of them."""
    tls_cert: Path | None = None
    """The server's certificate with those that it hangs on, PEM."""
    tls_key: Path | None = None
    """Its private key, PEM, not encrypted."""
    tls_client_ca: Path | None = None
    """Certificates of which one must have signed the client's, PEM."""

    def __post_init__(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise AccessError(self.tls_cert or self.tls_key, "is not enough: give both --tls-cert and --tls-key")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise AccessError(self.tls_client_ca, "is not enough: give --tls-cert and --tls-key, too")

    @property
    def is_guarded(self) -> bool:
        """Whether a stranger is turned away."""
        return self.token_file is not None or self.tls_client_ca is not None


class Tokens:
    """The tokens of one file, as it is now.

    Raises (on construction):
        AccessError: the file can't be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _stamp(path)
        self._digests = _read(path)

    def allow(self, authorization: str) -> bool:
        """Say whether the value of an Authorization header has one of the tokens."""
        self._look()
        scheme, _, token = authorization.partition(" ")
        given = sha256(token.strip().encode()).digest()
        # All are compared, each in constant time, so that the time an answer takes says nothing about them.
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        return scheme.lower() == "bearer" and any(matches)

    def _look(self) -> None:
        seen = _stamp(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._digests = _read(self._path)
        except AccessError as error:
            log.error("%s; the tokens of before stay in force", error)


def _stamp(path: Path) -> tuple[int, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)


def _read(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as handle:
            mode = os.fstat(handle.fileno()).st_mode
            lines = handle.read().decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError(path, f"can't be read ({error}); {_ADVICE}") from error
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise AccessError(path, f"is open to other users of this machine; run: chmod 600 {path}")
    tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not tokens:
        raise AccessError(path, f"has no token; {_ADVICE}")
    if any(len(token) < SHORTEST or not token.isascii() or len(token.split()) > 1 for token in tokens):
        raise AccessError(path, f"has a token that is shorter than {SHORTEST} characters or not one word; {_ADVICE}")
    return [sha256(token.encode()).digest() for token in tokens]

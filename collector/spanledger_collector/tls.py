"""TLS for both doors from the same files, which may be replaced while the collector runs.

A certificate is renewed every few weeks and the doors stay open meanwhile: new connections get the new one. What
can't be read leaves the old one in force.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import NamedTuple

import grpc

from .auth import Access
from .errors import AccessError

log = logging.getLogger(__name__)


class _Files(NamedTuple):
    """Contents of the files at one time."""

    cert: bytes
    key: bytes
    client_ca: bytes | None


class Tls:
    """The server's side of TLS.

    Raises (on construction):
        AccessError: a file can't be used.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None = None) -> None:
        self._cert = cert
        self._key = key
        self._client_ca = client_ca
        self.context = self._new_context()
        """For HTTP."""
        self._in_http = self._in_grpc = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Return what gRPC needs; it asks again at every new connection."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._in_grpc),
            self._renewed,  # type: ignore[arg-type]  # None is for "as before", which the stubs don't know
            require_client_authentication=self._client_ca is not None,
        )

    def look(self) -> None:
        """Give new HTTP connections the files as they are now."""
        files = self._changed(self._in_http)
        if files is not None:
            self._in_http = files
            self.context.load_cert_chain(self._cert, self._key)

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        files = self._changed(self._in_grpc)
        if files is None:
            return None
        self._in_grpc = files
        return _configuration(files)

    def _changed(self, known: _Files) -> _Files | None:
        """Return the files where they differ from `known` and can be used."""
        try:
            files = self._read()
            if files == known:
                return None
            self._new_context()
        except AccessError as error:
            log.warning("%s; the certificate of before stays in force", error)
            return None
        return files

    def _read(self) -> _Files:
        cert, key = _bytes_of(self._cert), _bytes_of(self._key)
        return _Files(cert, key, _bytes_of(self._client_ca) if self._client_ca else None)

    def _new_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            # An empty password, or OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self._cert, self._key, password="")
        except (OSError, ValueError) as error:
            advice = f"can't be used with the key {self._key} ({error}); both must be PEM, and the key not encrypted"
            raise AccessError(self._cert, advice) from error
        if self._client_ca is not None:
            _ask_for_certificates(context, self._client_ca)
        return context


def open_tls(access: Access) -> Tls | None:
    """Return TLS from the files that `access` names, or None where it names none.

    Raises:
        AccessError: a file can't be used.
    """
    if access.tls_cert is None or access.tls_key is None:
        return None
    return Tls(access.tls_cert, access.tls_key, access.tls_client_ca)


def _ask_for_certificates(context: ssl.SSLContext, client_ca: Path) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(client_ca)
    except OSError as error:
        raise AccessError(client_ca, f"has no certificates that can be used ({error}); it must be PEM") from error


def _configuration(files: _Files) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(files.key, files.cert)], files.client_ca)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AccessError(path, f"can't be read: {error.strerror}") from error

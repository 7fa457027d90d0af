"""Where spans go, and one attempt to bring a body there.

Bodies are bytes, because what could not be sent is kept on disk as it is and sent later by another process. That,
and the rule that an application must not pay for what it does not use, is why this is the standard library and not
OpenTelemetry's exporter, which takes spans and brings `requests`.
"""

from __future__ import annotations

import importlib
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from gzip import compress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from .errors import SettingError
from .settings import Settings, parse_pairs

TIMEOUT_S: Final = 5.0
_TRACES_PATH: Final = "/v1/traces"
_GRPC_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_KEPT_S: Final = 2.0
"""A connection that was idle for longer is made anew: servers close them after a while, five seconds at the least."""
REFUSED_FOR_GOOD: Final = frozenset({400, 413, 415, 422})
"""The body itself is at fault. Everything else, a wrong token too, may be put right, so the spans are kept."""


class AwayError(Exception):
    """The collector cannot be reached, or cannot take spans now."""


class RefusedError(Exception):
    """The collector will never take this body."""


class Transport(Protocol):
    """One way to bring a body to a collector."""

    def send(self, body: bytes, timeout_s: float) -> None:
        """Bring an ExportTraceServiceRequest to the collector; raises AwayError or RefusedError."""
        ...

    def close(self) -> None:
        """Let go of the connection; `send` makes another one."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where spans go."""

    url: str
    """Full address for HTTP, scheme and host for gRPC."""
    protocol: str
    """http/protobuf or grpc."""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = TIMEOUT_S
    gzip: bool = False
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None


def target(settings: Settings) -> Target:
    """Work out where spans go; raises SettingError where the settings do not say."""
    found = _otel_target() if settings.endpoint == "otel" else _own_target(settings)
    if not _is_address(found.url):
        said = found.url if settings.endpoint == "otel" else settings.endpoint
        raise SettingError("SPANLEDGER_ENDPOINT", said, "expected http://host:port or https://host:port")
    if found.protocol not in ("http/protobuf", "grpc"):
        raise SettingError("SPANLEDGER_PROTOCOL", found.protocol, "expected http/protobuf or grpc")
    return found


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False


def connect(to: Target) -> Transport:
    """Make the transport; connects on first use.

    What keeps it from being made, as a library or a certificate that is missing, can be put right, so spans are kept.
    """
    try:
        return _Grpc(to) if to.protocol == "grpc" else _Http(to)
    except ImportError:
        return _Away(f"{to.url}: grpc needs the extra: pip install 'spanledger[grpc]', or unset SPANLEDGER_PROTOCOL")
    except OSError as error:
        files = ", ".join(filter(None, (to.certificate, to.client_certificate, to.client_key)))
        return _Away(f"{to.url}: {error} (one of {files})")


def _own_target(settings: Settings) -> Target:
    url = settings.endpoint.rstrip("/")
    if settings.protocol != "grpc" and not url.endswith(_TRACES_PATH):
        url += _TRACES_PATH
    return Target(url, settings.protocol, parse_pairs(settings.headers, "SPANLEDGER_HEADERS"))


def _otel_target() -> Target:
    """Read OpenTelemetry's own variables; the one for traces wins over the general one."""
    protocol = _otel("PROTOCOL") or "http/protobuf"
    url = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not url:
        base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or (
            "http://localhost:4317" if protocol == "grpc" else "http://localhost:4318"
        )
        url = base if protocol == "grpc" else base.rstrip("/") + _TRACES_PATH
    return Target(
        url,
        protocol,
        parse_pairs(_otel("HEADERS") or "", "OTEL_EXPORTER_OTLP_HEADERS"),
        timeout_s=_seconds(_otel("TIMEOUT")),
        gzip=_otel("COMPRESSION") == "gzip",
        certificate=_otel("CERTIFICATE"),
        client_certificate=_otel("CLIENT_CERTIFICATE"),
        client_key=_otel("CLIENT_KEY"),
    )


def _otel(name: str) -> str | None:
    return os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}")


def _seconds(text: str | None) -> float:
    try:
        return float(text) if text else TIMEOUT_S
    except ValueError as error:
        raise SettingError("OTEL_EXPORTER_OTLP_TIMEOUT", str(text), "expected seconds") from error


class _Http:
    """OTLP over HTTP. Redirects are not followed: a POST would turn into a GET and lose its body.

    A busy process keeps its connection: to make one costs more than to send a batch over it.
    """

    def __init__(self, to: Target) -> None:
        self._to = to
        address = urlsplit(to.url)
        self._path = urlunsplit(("", "", address.path, address.query, ""))
        self._headers = {"content-type": "application/x-protobuf", "user-agent": "spanledger", **to.headers}
        if to.gzip:
            self._headers["content-encoding"] = "gzip"
        self._proxy = _by_proxy(to)
        self._connection = _connection(to)
        self._used_at = float("-inf")

    def send(self, body: bytes, timeout_s: float) -> None:
        if self._to.gzip:
            body = compress(body)
        timeout_s = min(timeout_s, self._to.timeout_s)
        try:
            status, reason = self._exchange(body, timeout_s)
        # URLError, timeouts and broken connections are OSErrors; the others are headers and ports that cannot be sent.
        except (OSError, HTTPException, ValueError, OverflowError) as error:
            raise AwayError(f"{self._to.url}: {getattr(error, 'reason', error)}") from error
        if not 200 <= status < 300:
            refused = status in REFUSED_FOR_GOOD
            raise (RefusedError if refused else AwayError)(f"{self._to.url} answers {status} {reason}")

    def close(self) -> None:
        self._connection.close()

    def _exchange(self, body: bytes, timeout_s: float) -> tuple[int, str]:
        """Send a body, and return the status and what it is called."""
        if self._proxy is not None:
            return self._exchange_by(self._proxy, body, timeout_s)
        now = time.monotonic()
        if now - self._used_at > _KEPT_S:
            self._connection.close()
        self._used_at = now
        fresh = self._connection.sock is None
        try:
            return self._exchange_over(self._connection, body, timeout_s)
        except (ConnectionError, HTTPException):  # also a connection that the collector has closed
            if fresh:
                raise
            return self._exchange_over(self._connection, body, timeout_s)

    def _exchange_over(self, connection: HTTPConnection, body: bytes, timeout_s: float) -> tuple[int, str]:
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        try:
            connection.request("POST", self._path, body, self._headers)
            with connection.getresponse() as response:
                response.read()
                return response.status, response.reason
        except BaseException:
            connection.close()  # nobody knows what is still to come over it
            raise

    def _exchange_by(self, proxy: urllib.request.OpenerDirector, body: bytes, timeout_s: float) -> tuple[int, str]:
        request = urllib.request.Request(self._to.url, data=body, headers=self._headers, method="POST")  # noqa: S310
        try:
            with proxy.open(request, timeout=timeout_s) as response:
                response.read()
                return response.status, response.reason
        except urllib.error.HTTPError as error:
            with error:
                return error.code, str(error.reason)


def _connection(to: Target) -> HTTPConnection:
    address = urlsplit(to.url)
    host = address.hostname or ""
    if address.scheme == "https":
        return HTTPSConnection(host, address.port, context=_tls(to))
    return HTTPConnection(host, address.port)


def _by_proxy(to: Target) -> urllib.request.OpenerDirector | None:
    """Return what sends by way of the proxy that the environment names; None where none is to be used."""
    address = urlsplit(to.url)
    proxies = urllib.request.getproxies()
    host = address.netloc.rpartition("@")[2]
    if address.hostname in _LOOPBACK or address.scheme not in proxies or urllib.request.proxy_bypass(host):
        return None
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_tls(to)),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _tls(to: Target) -> ssl.SSLContext | None:
    if urlsplit(to.url).scheme != "https":
        return None
    context = ssl.create_default_context(cafile=to.certificate)
    if to.client_certificate:
        context.load_cert_chain(to.client_certificate, to.client_key)
    return context


class _Away:
    """Where there is no way to the collector as long as this process lives."""

    def __init__(self, why: str) -> None:
        self._why = why

    def send(self, body: bytes, timeout_s: float) -> None:
        raise AwayError(self._why)

    def close(self) -> None:
        """Do nothing."""


class _Grpc:
    """OTLP over gRPC, with the extra `grpc`."""

    def __init__(self, to: Target) -> None:
        self._to = to
        grpc: Any = importlib.import_module("grpc")
        address = urlsplit(to.url)
        host = address.netloc if address.port else f"{address.hostname}:4317"
        channel = (
            grpc.insecure_channel(host)
            if address.scheme == "http"
            else grpc.secure_channel(host, _grpc_credentials(grpc, to))
        )
        self._error = grpc.RpcError
        self._refusal = grpc.StatusCode.INVALID_ARGUMENT
        self._compression = grpc.Compression.Gzip if to.gzip else grpc.Compression.NoCompression
        self._export = channel.unary_unary(_GRPC_METHOD, request_serializer=None, response_deserializer=None)

    def send(self, body: bytes, timeout_s: float) -> None:
        try:
            self._export(
                body,
                timeout=min(timeout_s, self._to.timeout_s),
                metadata=tuple(self._to.headers.items()),
                compression=self._compression,
            )
        except self._error as error:
            kind = RefusedError if error.code() == self._refusal else AwayError
            raise kind(f"{self._to.url}: {error.code().name} {error.details()}") from error
        except ValueError as error:  # a header that can't be sent
            raise AwayError(f"{self._to.url}: {error}") from error

    def close(self) -> None:
        """Do nothing: gRPC looks after its channels at exit and in forked children."""


def _grpc_credentials(grpc: Any, to: Target) -> Any:
    def content(path: str | None) -> bytes | None:
        return Path(path).read_bytes() if path is not None else None

    return grpc.ssl_channel_credentials(content(to.certificate), content(to.client_key), content(to.client_certificate))

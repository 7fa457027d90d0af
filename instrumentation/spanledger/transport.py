"""Where spans go, and one attempt to bring a body there.

Bodies are bytes, because what could not be sent is kept on disk as it is and sent later by another process. That,
and the rule that an application must not pay for what it does not use, is why this is the standard library and not
OpenTelemetry's exporter, which takes spans and brings `requests`.
"""

from __future__ import annotations

import importlib
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from gzip import compress
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from .errors import SettingError
from .settings import Settings, parse_pairs

TIMEOUT_S: Final = 5.0
_TRACES_PATH: Final = "/v1/traces"
_GRPC_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
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
    """Make the transport; connects on first use."""
    return _Grpc(to) if to.protocol == "grpc" else _Http(to)


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
    """OTLP over HTTP. Redirects are not followed: a POST would turn into a GET and lose its body."""

    def __init__(self, to: Target) -> None:
        self._to = to
        self._opener = urllib.request.OpenerDirector()
        local = urlsplit(to.url).hostname in _LOOPBACK
        handlers = (
            urllib.request.ProxyHandler({} if local else None),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=_tls(to)),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        )
        for handler in handlers:
            self._opener.add_handler(handler)

    def send(self, body: bytes, timeout_s: float) -> None:
        headers = {"content-type": "application/x-protobuf", "user-agent": "spanledger", **self._to.headers}
        if self._to.gzip:
            body, headers["content-encoding"] = compress(body), "gzip"
        request = urllib.request.Request(self._to.url, data=body, headers=headers, method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=min(timeout_s, self._to.timeout_s)) as response:
                response.read()
        except urllib.error.HTTPError as error:
            with error:
                words = f"{self._to.url} answers {error.code} {error.reason}"
            raise (RefusedError if error.code in REFUSED_FOR_GOOD else AwayError)(words) from None
        # URLError, timeouts and broken connections are OSErrors; the others are headers and ports that cannot be sent.
        except (OSError, HTTPException, ValueError, OverflowError) as error:
            raise AwayError(f"{self._to.url}: {getattr(error, 'reason', error)}") from error


def _tls(to: Target) -> ssl.SSLContext | None:
    if urlsplit(to.url).scheme != "https":
        return None
    context = ssl.create_default_context(cafile=to.certificate)
    if to.client_certificate:
        context.load_cert_chain(to.client_certificate, to.client_key)
    return context


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


def _grpc_credentials(grpc: Any, to: Target) -> Any:
    def content(path: str | None) -> bytes | None:
        return Path(path).read_bytes() if path is not None else None

    return grpc.ssl_channel_credentials(content(to.certificate), content(to.client_key), content(to.client_certificate))

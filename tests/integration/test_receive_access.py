"""Who may send: tokens and certificates at both doors, with OpenTelemetry's own exporters."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from certificates import Pair, authority, encrypt, signed
from receiving import PROTOBUF, Receiver, receiving, spans_request
from spanledger.settings import load
from spanledger.transport import connect, target
from spanledger_collector.address import Address
from spanledger_collector.auth import Access
from spanledger_collector.doorkeeper import Doorkeeper
from spanledger_collector.errors import AccessError, DoorError
from spanledger_collector.serve import CollectorOptions, run_collector
from spanledger_collector.terms import Terms
from spanledger_collector.tls import open_tls
from waiting import wait_until

TOKEN = "an-example-of-a-token"
NEXT = "the-token-of-tomorrow-is-longer"  # so that the file changes, however coarse its time
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
BODY = spans_request(1).SerializeToString()


@pytest.fixture(autouse=True)
def _no_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what `requests` prefers to the certificates that it is given."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def token_file(folder: Path, *tokens: str, mode: int = 0o600) -> Path:
    path = folder / "tokens"
    path.touch(mode=0o600)
    path.write_text("# for the tests\n\n" + "\n".join(tokens))
    path.chmod(mode)
    return path


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def exported(exporter: SpanExporter) -> bool:
    span = TracerProvider().get_tracer("test").start_span("chat")
    span.end()
    done = exporter.export([span])  # type: ignore[list-item]
    exporter.shutdown()
    return done is SpanExportResult.SUCCESS


PATIENT, IN_VAIN = 60.0, 2.0
"""Seconds for what is to arrive; and where TLS fails, which exporters try again until their time is up."""


class Sender(NamedTuple):
    """Who sends spans, and what it has to show."""

    token: str = ""
    ca: Pair | None = None
    client: Pair | None = None
    timeout: float = PATIENT


def over_http(receiver: Receiver, by: Sender) -> bool:
    return exported(
        HttpExporter(
            f"{'https' if by.ca else 'http'}://127.0.0.1:{receiver.http_port}/v1/traces",
            headers=bearer(by.token) if by.token else None,
            certificate_file=str(by.ca.cert) if by.ca else None,
            client_certificate_file=str(by.client.cert) if by.client else None,
            client_key_file=str(by.client.key) if by.client else None,
            timeout=by.timeout,
        )
    )


def over_grpc(receiver: Receiver, by: Sender) -> bool:
    files = [pair.read_bytes() for pair in (by.client.key, by.client.cert)] if by.client else [None, None]
    return exported(
        GrpcExporter(
            f"127.0.0.1:{receiver.grpc_port}",
            insecure=by.ca is None,
            credentials=grpc.ssl_channel_credentials(by.ca.cert.read_bytes(), *files) if by.ca else None,
            headers={"authorization": f"Bearer {by.token}"} if by.token else None,
            timeout=by.timeout,
        )
    )


Send = Callable[[Receiver, Sender], bool]
DOORS = pytest.mark.parametrize("send", [over_http, over_grpc])


@DOORS
def test_a_request_needs_one_of_the_tokens(tmp_path: Path, send: Send) -> None:
    access = Access(token_file(tmp_path, TOKEN, NEXT))
    with receiving(tmp_path / "wal", terms=Terms(access=access)) as receiver:
        assert [send(receiver, Sender(token)) for token in (TOKEN, NEXT, "", TOKEN[:-1])] == [True, True, False, False]
        assert len(receiver.payloads()) == 2


@DOORS
def test_tokens_are_taken_from_the_file_as_it_is_now(
    tmp_path: Path, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    access = Access(token_file(tmp_path, TOKEN))
    with receiving(tmp_path / "wal", terms=Terms(access=access)) as receiver:
        token_file(tmp_path, NEXT)
        assert [send(receiver, Sender(token)) for token in (TOKEN, NEXT)] == [False, True]
        token_file(tmp_path, "short")
        assert send(receiver, Sender(NEXT))
    assert "the tokens of before stay in force" in caplog.text


def test_a_stranger_is_told_in_the_protocols_words_and_the_operator_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    access = Access(token_file(tmp_path, TOKEN))
    with receiving(tmp_path / "wal", terms=Terms(access=access)) as receiver:
        reply = receiver.post(BODY, PROTOBUF)
        with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel:
            export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
            with pytest.raises(grpc.RpcError) as error:
                export(BODY, timeout=20)
        figures = receiver.intake.requests
    told = "send `Authorization: Bearer TOKEN` with a token of the collector's --token-file"
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert Status.FromString(reply.body) == Status(code=16, message=told)
    assert isinstance(error.value, grpc.Call)
    assert (error.value.code(), error.value.details()) == (grpc.StatusCode.UNAUTHENTICATED, told)
    assert figures == {("http", 401): 1, ("grpc", 16): 1}
    assert caplog.text.count("1 requests had no known token, their data is lost; the last came from") == 1


@pytest.mark.parametrize(
    ("path", "without", "with_token"),
    [("/healthz", 200, 200), ("/readyz", 200, 200), ("/metrics", 401, 200), ("/nowhere", 401, 404)],
)
def test_only_probes_need_no_token(tmp_path: Path, path: str, without: int, with_token: int) -> None:
    access = Access(token_file(tmp_path, TOKEN))
    with receiving(tmp_path / "wal", terms=Terms(access=access)) as receiver:
        statuses = [receiver.post(b"", headers, path, "GET").status for headers in ({}, bearer(TOKEN))]
    assert statuses == [without, with_token]


@pytest.mark.parametrize(
    ("tokens", "mode", "words"),
    [
        ([TOKEN], 0o604, "is open to other users of this machine; run: chmod 600"),
        ([TOKEN], 0o660, "is open to other users of this machine"),
        ([], 0o600, "has no token; write one token a line"),
        (["short"], 0o600, "shorter than 16 characters or not one word"),
        (["two words, though long"], 0o600, "shorter than 16 characters or not one word"),
    ],
)
def test_a_file_of_tokens_that_is_of_no_use_stops_the_start(
    tmp_path: Path, tokens: list[str], mode: int, words: str
) -> None:
    with pytest.raises(AccessError, match=words):
        Doorkeeper(Access(token_file(tmp_path, *tokens, mode=mode)))


def test_a_file_of_tokens_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"can't be read .*; write one token a line"):
        Doorkeeper(Access(tmp_path / "nowhere"))


@DOORS
def test_tls_is_for_those_who_know_the_authority(tmp_path: Path, send: Send) -> None:
    ca, other = authority(tmp_path, "ca"), authority(tmp_path, "other")
    server = signed(tmp_path, "server", ca)
    access = Access(tls_cert=server.cert, tls_key=server.key)
    with receiving(tmp_path / "wal", terms=Terms(access=access)) as receiver:
        tried = ((ca, PATIENT), (other, IN_VAIN), (None, IN_VAIN))
        assert [send(receiver, Sender(ca=known, timeout=timeout)) for known, timeout in tried] == [True, False, False]
        assert len(receiver.payloads()) == 1


@DOORS
def test_mtls_asks_for_a_certificate_and_a_token_where_there_are_tokens(tmp_path: Path, send: Send) -> None:
    ca, clients = authority(tmp_path, "ca"), authority(tmp_path, "clients")
    server, client, stranger = (
        signed(tmp_path, name, by) for name, by in (("server", ca), ("client", clients), ("stranger", ca))
    )
    access = Access(token_file(tmp_path, TOKEN), server.cert, server.key, clients.cert)
    with receiving(tmp_path / "wal", terms=Terms(access=access)) as receiver:
        tried = ((TOKEN, client, PATIENT), ("", client, PATIENT), (TOKEN, None, IN_VAIN), (TOKEN, stranger, IN_VAIN))
        sent = [send(receiver, Sender(token, ca, who, timeout)) for token, who, timeout in tried]
        assert (sent, len(receiver.payloads())) == ([True, False, False, False], 1)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_our_own_programs_send_with_a_token_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    ca = authority(tmp_path, "ca")
    server = signed(tmp_path, "server", ca)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(ca.cert))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer%20{TOKEN}")
    access = Access(token_file(tmp_path, TOKEN), server.cert, server.key)
    with receiving(tmp_path / "wal", terms=Terms(access=access)) as receiver:
        port = receiver.grpc_port if protocol == "grpc" else receiver.http_port
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"https://127.0.0.1:{port}")
        transport = connect(target(load(endpoint="otel")))
        transport.send(BODY, 20)
        transport.close()
        assert receiver.payloads() == [BODY]


def test_an_authority_of_your_own_and_a_token_are_said_by_two_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = authority(tmp_path, "ca")
    server = signed(tmp_path, "server", ca)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.cert))
    monkeypatch.setenv("SPANLEDGER_HEADERS", f"authorization=Bearer%20{TOKEN}")
    access = Access(token_file(tmp_path, TOKEN), server.cert, server.key)
    with receiving(tmp_path / "wal", terms=Terms(access=access)) as receiver:
        transport = connect(target(load(endpoint=f"https://127.0.0.1:{receiver.http_port}")))
        transport.send(BODY, 20)
        transport.close()
        assert receiver.payloads() == [BODY]


def peer_certificate(port: int, ca: Pair) -> bytes | None:
    context = ssl.create_default_context(cafile=str(ca.cert))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as s,
    ):
        return s.getpeercert(binary_form=True)


def test_a_renewed_certificate_is_shown_to_new_connections(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ca = authority(tmp_path, "ca")
    server, renewed = signed(tmp_path, "server", ca), signed(tmp_path, "renewed", ca)
    access = Access(tls_cert=server.cert, tls_key=server.key)
    shown = ssl.PEM_cert_to_DER_cert(renewed.cert.read_text())
    with receiving(tmp_path / "wal", terms=Terms(access=access)) as receiver:
        renewed.cert.replace(server.cert)
        wait_until(lambda: "can't be used with the key" in caplog.text, what="half a renewal to be seen")
        renewed.key.replace(server.key)
        ports = (receiver.http_port, receiver.grpc_port)
        wait_until(lambda: [peer_certificate(port, ca) for port in ports] == [shown] * 2, what="the new certificate")


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (("cert",), "is not enough: give both --tls-cert and --tls-key"),
        (("key",), "is not enough: give both --tls-cert and --tls-key"),
        (("client_ca",), "is not enough: give --tls-cert and --tls-key, too"),
    ],
)
def test_files_of_tls_that_do_not_go_together_are_refused(tmp_path: Path, named: tuple[str, ...], words: str) -> None:
    with pytest.raises(AccessError, match=words):
        Access(**{f"tls_{name}": tmp_path / name for name in named})


@pytest.mark.parametrize("fault", ["missing", "not PEM", "of another", "encrypted"])
def test_a_certificate_that_is_of_no_use_stops_the_start(tmp_path: Path, fault: str) -> None:
    ca = authority(tmp_path, "ca")
    server, other = signed(tmp_path, "server", ca), signed(tmp_path, "other", ca)
    match fault:
        case "missing":
            server.key.unlink()
        case "not PEM":
            server.cert.write_text("no certificate")
        case "of another":
            server = Pair(server.cert, other.key)
        case _:
            encrypt(server.key)
    with pytest.raises(AccessError, match="both must be PEM, and the key not encrypted"):
        open_tls(Access(tls_cert=server.cert, tls_key=server.key))


def test_an_authority_that_is_of_no_use_stops_the_start(tmp_path: Path) -> None:
    ca = authority(tmp_path, "ca")
    (tmp_path / "empty").touch()
    with pytest.raises(AccessError, match="has no certificates that can be used"):
        open_tls(Access(tls_cert=ca.cert, tls_key=ca.key, tls_client_ca=tmp_path / "empty"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_addresses_beyond_this_machine_need_a_guard_or_a_flag(tmp_path: Path, host: str) -> None:
    ca = authority(tmp_path, "ca")
    for access in (Access(), Access(tls_cert=ca.cert, tls_key=ca.key)):
        options = CollectorOptions(tmp_path, tmp_path / "lake", Address(host, 0, 0), terms=Terms(access=access))
        with pytest.raises(DoorError, match=r"give a --token-file, or --tls-client-ca .* or pass --allow-remote"):
            run_collector(options)


@pytest.mark.parametrize("guard", ["token", "mtls", "flag"])
def test_a_guard_or_a_flag_opens_an_address_beyond_this_machine(tmp_path: Path, guard: str) -> None:
    """The address is of no machine, so what comes next is that it can't be used."""
    ca = authority(tmp_path, "ca")
    access = {
        "token": Access(token_file(tmp_path, TOKEN)),
        "mtls": Access(tls_cert=ca.cert, tls_key=ca.key, tls_client_ca=ca.cert),
        "flag": Access(),
    }[guard]
    options = CollectorOptions(
        tmp_path, tmp_path / "lake", Address("192.0.2.1", 0, 0), guard == "flag", terms=Terms(access=access)
    )
    with pytest.raises(DoorError, match="choose another address with --host"):
        run_collector(options)

"""Real servers that alerts are delivered to: a webhook, and a mail server that knows as much SMTP as is needed."""

from __future__ import annotations

import base64
import json
import socketserver
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from certificates import Pair


class WebhookSink:
    """A webhook, while it is entered; `answers` are the statuses of its next answers, 200 after them."""

    def __init__(self, *answers: int) -> None:
        self.bodies: list[Any] = []
        """JSON of each request."""
        self.headers: list[dict[str, str]] = []
        """In lower case."""
        self.paths: list[str] = []
        self._answers = list(answers)
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                sink.paths.append(self.path)
                sink.headers.append({name.lower(): value for name, value in self.headers.items()})
                sink.bodies.append(json.loads(raw))
                self.send_response(sink._answers.pop(0) if sink._answers else 200)
                self.send_header("location", "http://127.0.0.1:1/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *_words: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass
class Mail:
    """One mail that was taken."""

    sender: str
    to: list[str] = field(default_factory=list)
    text: str = ""
    tls: bool = False
    user: str = ""
    password: str = ""


class SmtpSink:
    """A mail server, while it is entered; with a certificate it offers STARTTLS, or speaks TLS from the start."""

    def __init__(self, certificate: Pair | None = None, *, implicit: bool = False) -> None:
        self.mails: list[Mail] = []
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.cert, certificate.key)
        sink = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                _Session(self.request, sink, context, implicit).run()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Session:
    """One connection."""

    def __init__(self, connection: Any, sink: SmtpSink, context: ssl.SSLContext | None, implicit: bool) -> None:
        self._sink = sink
        self._context = context
        self._tls = implicit
        self._connection = context.wrap_socket(connection, server_side=True) if implicit and context else connection
        self._file = self._connection.makefile("rb")
        self._user = self._password = ""
        self._mail = Mail("")

    def run(self) -> None:
        try:
            self._say("220 sink ready")
            while line := self._file.readline():
                if not self._answer(line.decode().strip()):
                    return
        except OSError:
            return
        finally:
            self._file.close()
            self._connection.close()

    def _answer(self, line: str) -> bool:
        verb = line.upper()
        if verb.startswith("EHLO"):
            offers = ["AUTH PLAIN", *(["STARTTLS"] if self._context and not self._tls else [])]
            self._say("\r\n".join(["250-sink", *(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}"]))
        elif verb == "STARTTLS" and self._context:
            self._say("220 go on")
            self._connection = self._context.wrap_socket(self._connection, server_side=True)
            self._file, self._tls = self._connection.makefile("rb"), True
        elif verb.startswith("AUTH PLAIN "):
            _, self._user, self._password = base64.b64decode(line.split()[2]).decode().split("\0")
            self._say("235 welcome" if self._password == "secret" else "535 no")
        elif verb.startswith("MAIL FROM:"):
            self._mail = Mail(line[10:].split(">")[0].strip("< "), tls=self._tls, user=self._user)
            self._say("250 fine")
        elif verb.startswith("RCPT TO:"):
            self._mail.to.append(line[8:].strip("<> "))
            self._say("250 fine")
        elif verb == "DATA":
            self._say("354 go on")
            lines = iter(self._file.readline, b".\r\n")
            self._mail.text = b"".join(lines).decode()
            self._sink.mails.append(self._mail)
            self._say("250 taken")
        elif verb == "QUIT":
            self._say("221 bye")
            return False
        else:
            self._say("502 unknown")
        return True

    def _say(self, line: str) -> None:
        self._connection.sendall(f"{line}\r\n".encode())

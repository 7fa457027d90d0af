"""Tags from web requests: middleware for ASGI (FastAPI, Starlette, Django) and WSGI (Flask, Django) applications.

Nothing is taken from a request that you did not name: a header can be sent by anyone, so map only those that your own
proxy or login sets, or give a function that knows the user. Tags in a `baggage` header are taken where
SPANLEDGER_TRUST_BAGGAGE says so, stand below all others, and are marked.

    app = AsgiTags(app, headers={"x-user-id": "user_id", "x-tenant": "customer_id"})
    app = WsgiTags(app, tags=lambda environ: {"feature": environ["PATH_INFO"].split("/")[1]})
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import _spanledger_boot as switch

from . import baggage, faults, ledger
from .errors import SettingError
from .tagging import tags as scoped

Request = Mapping[str, Any]
"""An ASGI scope or a WSGI environment."""
Find = Callable[[Request], Mapping[str, object]]


class _Tags:
    """What both have in common: finding the tags of a request, at no risk to it."""

    def __init__(self, headers: Mapping[str, str] | None, tags: Find | None) -> None:
        self._headers = {name.lower(): tag for name, tag in (headers or {}).items()}
        self._tags = tags
        self._trusts: bool | None = None
        """Whether baggage is taken; read from the settings with the first request."""

    def scope(self, request: Request, header: Callable[[str], str | None]) -> scoped:
        """Return the tags of a request, as a scope; what the function says wins over headers."""
        found: dict[str, object] = {}
        try:
            for name, tag in self._headers.items():
                found[tag] = header(name)
            if self._tags is not None:
                found.update(self._tags(request))
            carried = header("baggage") if switch.on and self._trusts_baggage() else None
            return scoped(**found) if carried is None else baggage.arrived(baggage.read(carried), found)
        except Exception as error:
            faults.report("request without tags", error)
            return scoped()

    def _trusts_baggage(self) -> bool:
        if self._trusts is None:
            try:
                self._trusts = bool(importlib.import_module(".settings", __package__).load().trust_baggage)
            except SettingError as error:
                faults.report("baggage of requests not read", error, expected=True)
                self._trusts = False
        return self._trusts


class AsgiTags(_Tags):
    """Tags every call made while an ASGI application serves a request."""

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        *,
        headers: Mapping[str, str] | None = None,
        tags: Find | None = None,
    ) -> None:
        super().__init__(headers, tags)
        self._app = app

    async def __call__(self, scope: Request, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, _flushing(send) if scope["type"] == "lifespan" else send)
            return
        given: dict[bytes, bytes] = {}
        for name, value in scope.get("headers", ()):
            key = name.lower()
            # A list may come in several headers; of any other, the last counts.
            given[key] = given[key] + b"," + value if key == b"baggage" and key in given else value

        def header(name: str) -> str | None:
            value = given.get(name.encode("latin-1"))
            return value.decode("latin-1") if value is not None else None

        with self.scope(scope, header):
            await self._app(scope, receive, send)


def _flushing(send: Callable[[Mapping[str, Any]], Awaitable[None]]) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
    """Send spans before a server hears that the application has shut down: uvicorn then ends past Python's own end."""

    async def send_after_flush(message: Mapping[str, Any]) -> None:
        if message["type"] == "lifespan.shutdown.complete":
            ledger.flush(ledger.EXIT_LIMIT_S)
        await send(message)

    return send_after_flush


class WsgiTags(_Tags):
    """Tags every call made while a WSGI application serves a request, its streamed body included."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        *,
        headers: Mapping[str, str] | None = None,
        tags: Find | None = None,
    ) -> None:
        super().__init__(headers, tags)
        self._app = app

    def __call__(self, environ: Request, start_response: Any) -> Iterable[bytes]:
        """Serve one request."""

        def header(name: str) -> str | None:
            value = environ.get("HTTP_" + name.upper().replace("-", "_"))
            return value if isinstance(value, str) else None

        scope = self.scope(environ, header)
        with scope:
            body = self._app(environ, start_response)
        return body if isinstance(body, list | tuple) else _Body(body, scope)


class _Body:
    """A body that is made while it is sent: each of its steps runs inside the tags."""

    def __init__(self, body: Iterable[bytes], scope: scoped) -> None:
        self._body = body
        self._scope = scope
        self._steps: Iterator[bytes] | None = None

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        with self._scope:
            if self._steps is None:
                self._steps = iter(self._body)
            return next(self._steps)

    def close(self) -> None:
        """Close the application's body, if it can be."""
        close = getattr(self._body, "close", None)
        if close is not None:
            with self._scope:
                close()

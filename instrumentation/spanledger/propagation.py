"""Tags go to your own next service with the request, as baggage: to the hosts that you list, and to no others.

The hooks sit where an HTTP client hands one request to the network, below redirects and retries, so that each hop is
judged by its own host; what they add is gone from the request object as soon as it is sent. A host that serves an LLM
gets nothing, listed or not: tags name your users and customers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

import _spanledger_boot as switch

from . import baggage, faults, ledger, tagging
from .call import in_flight
from .sdks.hosts import COMPATIBLE_HOSTS
from .sdks.wrapping import replace
from .settings import Settings, parse_hosts, parse_pairs

HEADER: Final = "baggage"
_LLM_ENDS: Final = (*COMPATIBLE_HOSTS, "api.openai.com")
"""Ends of the names of hosts, or of host:port, that serve LLMs."""
_SDK_HEADERS: Final = ("x-stainless-lang", "anthropic-version", "x-goog-api-client", "x-goog-api-key")
"""Only an SDK of an LLM sends these, so whom it talks to serves one, also where that call is none that costs."""
_SDK_ADDRESSES: Final = (
    *("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"),
    *("GOOGLE_VERTEX_BASE_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
)
_USUAL_PORTS: Final = {"http": 80, "https": 443}
_MOST_HOSTS: Final = 1000

_listed: _Listed | None = None
"""Whom tags may go to; None where nobody."""
_llm_hosts: set[tuple[str, int]] = set()
"""Host and port of what was seen to serve an LLM."""


class _Listed:
    """Names of hosts, and ends of such names."""

    def __init__(self, entries: Collection[str]) -> None:
        self.names = frozenset(entry for entry in entries if not entry.startswith("*."))
        self.ends = tuple(entry[1:] for entry in entries if entry.startswith("*."))

    def has(self, host: str, port: int) -> bool:
        """Tell whether tags may go there, as far as the user is concerned."""
        return host in self.names or f"{host}:{port}" in self.names or host.endswith(self.ends)


def install(settings: Settings) -> None:
    """Hook the HTTP clients that are there, and others once they are imported; nothing where no host is listed."""
    global _listed
    hosts = parse_hosts(settings.propagate_to, "SPANLEDGER_PROPAGATE_TO")
    if not hosts:
        return
    _llm_hosts.update(_said_to_serve(settings))
    _listed = _Listed(hosts)
    for name, hook in _HOOKS.items():
        switch.watched[name] = hook
        if name in sys.modules:
            switch.watch(sys.modules[name])


def restore() -> None:
    """Have the hooks go straight through."""
    global _listed
    _listed = None
    _llm_hosts.clear()
    for name in _HOOKS:
        switch.watched.pop(name, None)


def _said_to_serve(settings: Settings) -> Iterable[tuple[str, int]]:
    """Name the hosts that environment and settings say to serve an LLM."""
    addresses = [f"//{host}" for host in parse_pairs(settings.providers, "SPANLEDGER_PROVIDERS")]
    addresses += filter(None, (os.environ.get(name) for name in _SDK_ADDRESSES))
    for address in addresses:
        parts = urlsplit(address)
        if parts.hostname:
            for port in (parts.port,) if parts.port else _USUAL_PORTS.values():
                yield parts.hostname, port


def _header_for(scheme: str, host: str | None, port: int | None, headers: Mapping[Any, Any]) -> str | None:
    """Return the baggage header of a request that is about to be sent, or None where it stays as it is."""
    held = tagging.current.get()
    if _listed is None or not switch.on or not held or not host:
        return None
    host, port = host.lower().rstrip("."), port or _USUAL_PORTS.get(scheme, 0)
    if not _listed.has(host, port):
        return None
    if _serves_llm(host, port, headers):
        faults.report("tags not sent as baggage", f"{host} serves LLM calls, whatever the list says", expected=True)
        return None
    if in_flight.get() is not None:
        # Sent on behalf of an LLM call, to fetch a token, say: not the application's own request.
        return None
    return baggage.join(_find(headers), held)


def _serves_llm(host: str, port: int, headers: Mapping[Any, Any]) -> bool:
    address = f"{host}:{port}"
    if (host, port) in _llm_hosts or host.endswith(_LLM_ENDS) or address.endswith(_LLM_ENDS):
        return True
    if any(called == host and (at or port) == port for _, called, at, _ in list(ledger.known_hosts())):
        return True
    call = in_flight.get()
    if (call is None or call.host != host) and not any(name in headers for name in _SDK_HEADERS):
        return False
    if len(_llm_hosts) < _MOST_HOSTS:
        _llm_hosts.add((host, port))
    return True


def _find(headers: Mapping[Any, Any]) -> str:
    """Return the header that is there, whatever its case; several of them as one."""
    found = [str(value) for name, value in headers.items() if str(name).lower() == HEADER]
    return ",".join(found)


def _with_header(scheme: str, host: str | None, port: int | None, headers: Any) -> Any:
    """Return a copy of the headers with our baggage, or None where they stay; a fault costs the tags only."""
    try:
        text = _header_for(scheme, host, port, headers)
        if text is None:
            return None
        changed = headers.copy() if hasattr(headers, "copy") else dict(headers)
        for name in {name for name in changed if str(name).lower() == HEADER}:
            del changed[name]
        changed[HEADER] = text
    except Exception as error:
        faults.report("tags not sent as baggage", error)
        return None
    else:
        return changed


class _Carrying:
    """Has a request object of httpx or aiohttp carry the header while it is being sent."""

    __slots__ = ("_headers", "_request")

    def __init__(self, request: Any) -> None:
        self._request = request
        self._headers: Any = None

    def __enter__(self) -> None:
        if _listed is None:
            return
        headers, url = self._request.headers, self._request.url
        changed = _with_header(url.scheme, url.host, url.port, headers)
        if changed is not None:
            self._request.headers, self._headers = changed, headers

    def __exit__(self, *_failure: object) -> None:
        if self._headers is not None:
            self._request.headers = self._headers


def _around_send(plain: Callable[..., Any]) -> Callable[..., Any]:
    def send(transport: Any, request: Any) -> Any:
        with _Carrying(request):
            return plain(transport, request)

    return send


def _around_async_send(plain: Callable[..., Any]) -> Callable[..., Any]:
    async def send(transport: Any, request: Any) -> Any:
        with _Carrying(request):
            return await plain(transport, request)

    return send


def _around_aiohttp(plain: Callable[..., Any]) -> Callable[..., Any]:
    async def send(request: Any, *args: Any, **kwargs: Any) -> Any:
        with _Carrying(request):
            return await plain(request, *args, **kwargs)

    return send


def _around_urlopen(plain: Callable[..., Any]) -> Callable[..., Any]:
    def urlopen(
        pool: Any, method: Any, url: Any, body: Any = None, headers: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        if _listed is not None:
            given = headers if headers is not None else pool.headers
            # Through a proxy, the pool is the proxy's and the address is whole.
            whole = urlsplit(url) if isinstance(url, str) and url.startswith(("http://", "https://")) else None
            scheme, host, port = (
                (whole.scheme, whole.hostname, whole.port) if whole else (pool.scheme, pool.host, pool.port)
            )
            headers = _with_header(scheme, host, port, given if given is not None else {}) or headers
        return plain(pool, method, url, body, headers, *args, **kwargs)

    return urlopen


def _hook_httpx(module: ModuleType) -> None:
    replace(module.HTTPTransport, "handle_request", _around_send)
    replace(module.AsyncHTTPTransport, "handle_async_request", _around_async_send)


def _hook_urllib3(module: ModuleType) -> None:
    replace(module.HTTPConnectionPool, "urlopen", _around_urlopen)


def _hook_aiohttp(module: ModuleType) -> None:
    replace(module.ClientRequest, "send", _around_aiohttp)


_HOOKS: Final[dict[str, Callable[[ModuleType], None]]] = {
    "aiohttp.client_reqrep": _hook_aiohttp,
    "httpx._transports.default": _hook_httpx,
    "httpx2._transports.default": _hook_httpx,
    "urllib3.connectionpool": _hook_urllib3,
}
"""Module to what hooks the client that it holds; `requests` is one of those on urllib3."""

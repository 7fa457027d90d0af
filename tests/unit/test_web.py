"""Tags from requests: what a web application's calls carry while it serves one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import _spanledger_boot as switch
from spanledger import faults, tagging
from spanledger.web import AsgiTags, WsgiTags

HEADERS = {"X-User-Id": "user_id", "X-Tenant": "customer_id"}


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "on", True)


def _serve(scope: dict[str, Any], **options: Any) -> dict[str, str]:
    seen: dict[str, str] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        seen.update(tagging.current.get())

    asyncio.run(AsgiTags(app, **options)(scope, None, None))
    return seen


def test_named_headers_become_tags_and_others_do_not() -> None:
    headers = [(b"x-user-id", b"u-1"), (b"x-tenant", b"acme"), (b"x-other", b"no")]

    assert _serve({"type": "http", "headers": headers}, headers=HEADERS) == {"user.id": "u-1", "customer.id": "acme"}
    assert dict(tagging.current.get()) == {}


def test_a_function_wins_over_headers() -> None:
    scope = {"type": "websocket", "path": "/search", "headers": [(b"x-user-id", b"u-1")]}

    found = _serve(scope, headers=HEADERS, tags=lambda scope: {"feature": scope["path"][1:], "user_id": "u-2"})

    assert found == {"user.id": "u-2", "feature.id": "search"}


def test_a_function_that_fails_costs_the_tags_and_not_the_request() -> None:
    before = sum(faults.counts().values())

    assert _serve({"type": "http", "headers": []}, tags=lambda scope: scope["missing"]) == {}
    assert sum(faults.counts().values()) == before + 1


def test_a_wsgi_body_that_is_made_while_it_is_sent_has_the_tags() -> None:
    closed = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        try:
            yield tagging.current.get()["user.id"].encode()
            yield tagging.current.get()["user.id"].encode()
        finally:
            closed.append(tagging.current.get()["user.id"])

    body: Any = WsgiTags(app, headers=HEADERS)({"HTTP_X_USER_ID": "u-1"}, None)

    assert next(body) == b"u-1"
    assert dict(tagging.current.get()) == {}
    assert list(body) == [b"u-1"]
    body.close()
    assert closed == ["u-1"]


def test_a_wsgi_body_that_is_a_list_stays_one() -> None:
    assert WsgiTags(lambda environ, start_response: [b"done"])({}, None) == [b"done"]

"""Tags on the wire to other services, byte for byte: there where they are wanted, and nowhere else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import httpx
import httpx2
import openai
import pytest
import requests
import urllib3

import spanledger
from raw_server import RawServer
from spanledger import faults, tagging
from tracing import MESSAGES, Traced, switched_on

TAGS = {"user_id": "u-1", "feature": "refunds", "plan": "gold é"}
BAGGAGE = "user.id=u-1,feature.id=refunds,spanledger.tag.plan=gold%20%C3%A9"
REFUSED = "tags not sent as baggage: localhost serves LLM calls, whatever the list says"
Send = Callable[..., None]


@contextmanager
def _propagating(monkeypatch: pytest.MonkeyPatch, home: Path, to: str) -> Iterator[Traced]:
    monkeypatch.setenv("SPANLEDGER_PROPAGATE_TO", to)
    tagging.end_use()
    with switched_on(monkeypatch, home, faultless=False) as traced:
        yield traced


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as server:
        yield server


@pytest.fixture
def other() -> Iterator[RawServer]:
    with RawServer() as server:
        yield server


def _httpx(url: str, **headers: str) -> None:
    with httpx.Client(trust_env=False, follow_redirects=True, timeout=60) as client:
        client.get(url, headers=headers)


def _httpx2(url: str, **headers: str) -> None:
    with httpx2.Client(trust_env=False, follow_redirects=True, timeout=60) as client:
        client.get(url, headers=headers)


def _httpx_async(url: str, **headers: str) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False, follow_redirects=True, timeout=60) as client:
            await client.get(url, headers=headers)

    asyncio.run(main())


def _httpx2_async(url: str, **headers: str) -> None:
    async def main() -> None:
        async with httpx2.AsyncClient(trust_env=False, follow_redirects=True, timeout=60) as client:
            await client.get(url, headers=headers)

    asyncio.run(main())


def _requests(url: str, **headers: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.get(url, headers=headers, timeout=60)


def _urllib3(url: str, **headers: str) -> None:
    with urllib3.PoolManager() as pool:
        pool.request("GET", url, headers=headers or None)


def _aiohttp(url: str, **headers: str) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            await response.read()

    asyncio.run(main())


CLIENTS = [_httpx, _httpx2, _httpx_async, _httpx2_async, _requests, _urllib3, _aiohttp]


@pytest.fixture(params=CLIENTS, ids=lambda client: client.__name__.lstrip("_"))
def send(request: pytest.FixtureRequest) -> Send:
    function: Send = request.param
    return function


def test_a_listed_host_gets_the_tags_and_no_other_does(
    send: Send, server: RawServer, other: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with _propagating(monkeypatch, tmp_path, f"127.0.0.1:{server.port}, *.internal"):
        send(f"http://127.0.0.1:{server.port}/before")
        with spanledger.tags(**TAGS):
            send(f"http://127.0.0.1:{server.port}/listed")
            send(f"http://127.0.0.1:{other.port}/not-listed")
        send(f"http://127.0.0.1:{server.port}/after")

    assert (server.baggage(), other.baggage()) == ([BAGGAGE], [])
    assert b"/before" in server.received
    assert b"/after" in server.received
    assert b"u-1" not in other.received


def test_a_redirect_to_another_host_takes_nothing_along(
    send: Send, server: RawServer, other: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with _propagating(monkeypatch, tmp_path, f"127.0.0.1:{server.port}"), spanledger.tags(**TAGS):
        send(f"http://127.0.0.1:{server.port}/away?http://127.0.0.1:{other.port}/elsewhere")

    assert (server.baggage(), other.baggage()) == ([BAGGAGE], [])
    assert b"GET /elsewhere" in other.received


def test_baggage_that_is_there_stays_and_ours_comes_after_it(
    send: Send, server: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with _propagating(monkeypatch, tmp_path, f"127.0.0.1:{server.port}"), spanledger.tags(**TAGS):
        send(f"http://127.0.0.1:{server.port}/", Baggage="tenant=7;p=1,user.id=theirs")

    rest = BAGGAGE.partition(",")[2]
    assert server.baggage() == [f"tenant=7;p=1,user.id=theirs,{rest}"]


def test_switched_off_nothing_is_sent(
    send: Send, server: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with _propagating(monkeypatch, tmp_path, f"127.0.0.1:{server.port}"), spanledger.tags(**TAGS):
        pass
    with spanledger.tags(**TAGS):
        send(f"http://127.0.0.1:{server.port}/")

    assert server.baggage() == []


def test_the_request_of_the_application_stays_as_it_was(
    server: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = {"x-own": "1"}
    with _propagating(monkeypatch, tmp_path, f"127.0.0.1:{server.port}"), spanledger.tags(**TAGS):
        with httpx.Client(trust_env=False, timeout=60) as client:
            response = client.get(f"http://127.0.0.1:{server.port}/", headers=given)
        urllib3.HTTPConnectionPool("127.0.0.1", server.port).urlopen("GET", "/", headers=given)

    assert "baggage" not in response.request.headers
    assert given == {"x-own": "1"}
    assert server.baggage() == [BAGGAGE] * 2


def _openai(port: int) -> openai.OpenAI:
    return openai.OpenAI(api_key="none", base_url=f"http://localhost:{port}/v1", max_retries=0)


def _call_openai(port: int) -> None:
    with _openai(port) as client:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)


def _list_models(port: int) -> None:
    """Not a call, and yet the same host."""
    with _openai(port) as client:
        client.models.list()


def _call_anthropic(port: int) -> None:
    with anthropic.Anthropic(api_key="none", base_url=f"http://localhost:{port}", max_retries=0) as client:
        client.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=MESSAGES)


def _call_openai_async(port: int) -> None:
    async def main() -> None:
        url = f"http://localhost:{port}/v1"
        async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    asyncio.run(main())


@pytest.mark.parametrize("call", [_call_openai, _call_openai_async, _list_models, _call_anthropic])
def test_a_host_that_serves_an_llm_gets_nothing_even_where_it_is_listed(
    call: Callable[[int], None], server: RawServer, other: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = faults.counts().get(REFUSED, 0)
    to = f"localhost, 127.0.0.1:{other.port}"
    with _propagating(monkeypatch, tmp_path, to), spanledger.tags(**TAGS):
        call(server.port)
        _httpx(f"http://127.0.0.1:{other.port}/internal")
        _httpx(f"http://localhost:{server.port}/the-same-host-by-hand")

    assert server.received.count(b"HTTP/1.1\r\n") == 2
    assert (server.baggage(), other.baggage()) == ([], [BAGGAGE])
    for secret in (b"u-1", b"refunds", b"gold"):
        assert secret not in server.received
    assert faults.counts()[REFUSED] == before + 2


def test_what_is_sent_on_behalf_of_a_call_carries_nothing_and_its_host_may_have_tags_again(
    server: RawServer, other: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = f"http://127.0.0.1:{other.port}"

    def token() -> str:
        _httpx(f"{address}/token")
        return "none"

    with _propagating(monkeypatch, tmp_path, "127.0.0.1"), spanledger.tags(**TAGS):
        url = f"http://localhost:{server.port}/v1"
        with openai.OpenAI(api_key=token, base_url=url, max_retries=0) as client:
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        assert b"GET /token" in other.received
        assert other.baggage() == []
        _httpx(f"{address}/work")

    assert (server.baggage(), other.baggage()) == ([], [BAGGAGE])


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "SPANLEDGER_PROVIDERS"])
def test_a_host_that_is_said_to_serve_an_llm_gets_nothing_before_its_first_call(
    variable: str, server: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = f"localhost:{server.port}"
    monkeypatch.setenv(variable, f"http://{address}/v1" if variable.startswith("OPENAI") else f"{address}=vllm")
    with _propagating(monkeypatch, tmp_path, "localhost"), spanledger.tags(**TAGS):
        _httpx(f"http://localhost:{server.port}/")

    assert server.baggage() == []


@pytest.mark.parametrize(
    "host",
    [
        "api.openai.com",
        "eu.api.openai.com",
        "api.anthropic.com",
        "my.openai.azure.com",
        "API.MISTRAL.AI.",
        "x.amazonaws.com",
    ],
)
def test_no_listing_opens_a_host_of_the_table(host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sent: list[httpx.Request] = []

    class Transport(httpx.HTTPTransport):
        pass

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda transport, request: _answer(sent, request))
    with _propagating(monkeypatch, tmp_path, f"{host.lower().rstrip('.')},good.internal"), spanledger.tags(**TAGS):
        for name in (host, "good.internal"):
            with httpx.Client(transport=Transport(), trust_env=False) as client:
                client.get(f"https://{name}/")

    assert [dict(request.extensions["seen"]).get("baggage") for request in sent] == [None, BAGGAGE]


def _answer(sent: list[httpx.Request], request: httpx.Request) -> httpx.Response:
    request.extensions["seen"] = dict(request.headers)
    sent.append(request)
    return httpx.Response(200)


@pytest.mark.parametrize("entry", ["*", "http://a.internal", "a.*.internal", "*."])
def test_a_list_that_cannot_be_read_sends_nothing(entry: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = sum(faults.counts().values())
    with _propagating(monkeypatch, tmp_path, entry), spanledger.tags(**TAGS):
        assert tagging.current.get()["user.id"] == "u-1"
    assert sum(faults.counts().values()) == before + 1


def test_a_client_imported_after_the_first_tags_is_hooked_too(server: RawServer, tmp_path: Path) -> None:
    code = (
        "import sys, spanledger\n"
        "with spanledger.tags(user_id='u-1'):\n"
        "    assert 'urllib3' not in sys.modules\n"
        "    import urllib3\n"
        "    urllib3.PoolManager().request('GET', sys.argv[1])\n"
    )
    variables = {"SPANLEDGER_PROPAGATE_TO": "127.0.0.1", "SPANLEDGER_ENABLED": "1", "SPANLEDGER_HOME": str(tmp_path)}
    url = f"http://127.0.0.1:{server.port}/"
    subprocess.run([sys.executable, "-c", code, url], env={**os.environ, **variables}, timeout=120, check=True)

    assert server.baggage() == ["user.id=u-1"]


def test_a_fault_of_ours_costs_the_tags_and_not_the_request(
    server: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("ours")

    with _propagating(monkeypatch, tmp_path, "127.0.0.1"), spanledger.tags(**TAGS):
        monkeypatch.setattr("spanledger.baggage.join", fail)
        for send in CLIENTS:
            send(f"http://127.0.0.1:{server.port}/")

    assert (server.baggage(), server.received.count(b"HTTP/1.1\r\n")) == ([], len(CLIENTS))

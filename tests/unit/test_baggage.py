"""The baggage header: what is written, what is read, and what is neither."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import _spanledger_boot as switch
import spanledger
from spanledger import baggage, faults, tagging
from spanledger.web import AsgiTags, WsgiTags

MARK = "spanledger.tags.from_baggage"
Serve = Callable[..., dict[str, str]]


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "on", True)
    monkeypatch.setattr(tagging, "_wire_names", dict(tagging.KNOWN))


def test_tags_are_written_percent_encoded_and_read_back() -> None:
    held = {"user.id": 'é, ü; "=\\%', "spanledger.tag.plan": "a/b c", "gen_ai.other": "no"}

    header = baggage.join("", held)

    assert header == "user.id=%C3%A9%2C%20%C3%BC%3B%20%22%3D%5C%25,spanledger.tag.plan=a/b%20c"
    assert baggage.read(header) == {"user.id": held["user.id"], "spanledger.tag.plan": "a/b c"}


def test_an_existing_header_stays_as_it_is_and_wins() -> None:
    existing = "user.id=theirs;private, other=1"

    assert baggage.join(existing, {"user.id": "ours", "team.id": "t"}) == f"{existing},team.id=t"
    assert baggage.join(existing, {"user.id": "ours"}) is None
    assert baggage.join("", {}) is None


def test_a_header_never_outgrows_its_bounds() -> None:
    before = sum(faults.counts().values())
    held = {f"spanledger.tag.k{number}": "x" * 250 for number in range(40)}

    header = baggage.join("other=1", held)

    assert header is not None
    assert 7900 < len(header) <= 8192
    assert header.startswith("other=1,spanledger.tag.k0=")
    assert sum(faults.counts().values()) == before + 40 - header.count("spanledger.tag")
    assert baggage.join(",".join(f"k{number}=1" for number in range(64)), {"user.id": "u"}) is None


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", {}),
        (",;=,==,user.id,=x,user.id=", {}),
        ("userId=17,http.method=GET", {}),
        ("user.id=%FF", {}),
        ("user.id=a%0D%0Ab", {}),
        (" user.id = u-1 ;ttl=1 , team.id=t", {"user.id": "u-1", "team.id": "t"}),
        ("spanledger.tag.=x,spanledger.tag.two%20words=x,spanledger.tag.plan=gold", {"spanledger.tag.plan": "gold"}),
        ("spanledger.tags.from_baggage=user.id", {}),
        (f"user.id={'u' * 1000}", {"user.id": "u" * 256}),
        (f"user.id=u,x={'x' * 8192}", {}),
    ],
)
def test_only_what_is_ours_and_well_formed_is_read(header: str, found: dict[str, str]) -> None:
    assert baggage.read(header) == found


def test_no_more_tags_are_read_than_a_call_may_have() -> None:
    assert len(baggage.read(",".join(f"spanledger.tag.k{number}=1" for number in range(100)))) == 32


def _serve_asgi(*headers: tuple[bytes, bytes], **options: Any) -> dict[str, str]:
    seen: dict[str, str] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(tagging.current.get())

    asyncio.run(AsgiTags(app, **options)({"type": "http", "headers": headers}, None, None))
    return seen


def _serve_wsgi(*headers: tuple[bytes, bytes], **options: Any) -> dict[str, str]:
    seen: dict[str, str] = {}

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.update(tagging.current.get())
        return []

    environ: dict[str, str] = {}
    for name, value in headers:
        key = "HTTP_" + name.decode().upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value.decode()}" if key in environ else value.decode()
    WsgiTags(app, **options)(environ, None)
    return seen


@pytest.fixture(params=[_serve_asgi, _serve_wsgi], ids=["asgi", "wsgi"])
def serve(request: pytest.FixtureRequest) -> Serve:
    function: Serve = request.param
    return function


def test_baggage_of_a_request_is_ignored_unless_trusted(serve: Serve) -> None:
    assert serve((b"baggage", b"user.id=u-1")) == {}


def test_trusted_baggage_is_marked_and_stands_below_what_is_given_here(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPANLEDGER_TRUST_BAGGAGE", "1")
    headers = [
        (b"baggage", b"user.id=u-1,team.id=t-1"),
        (b"baggage", b"feature.id=f-1,spanledger.tag.plan=gold,other=1"),
        (b"x-user", b"u-2"),
    ]

    found = serve(*headers, headers={"X-User": "user_id"}, tags=lambda request: {"feature": "f-2"})

    assert found == {
        "user.id": "u-2",
        "team.id": "t-1",
        "feature.id": "f-2",
        "spanledger.tag.plan": "gold",
        MARK: "team.id,spanledger.tag.plan",
    }


def test_tags_inside_take_theirs_off_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    with baggage.arrived({"user.id": "u-1", "team.id": "t-1"}, {}):
        with spanledger.tags(user_id="u-2"):
            assert tagging.current.get() == {"user.id": "u-2", "team.id": "t-1", MARK: "team.id"}
            with spanledger.tags(team_id="t-2"):
                assert tagging.current.get() == {"user.id": "u-2", "team.id": "t-2"}
        assert tagging.current.get()[MARK] == "user.id,team.id"


def test_a_setting_that_cannot_be_read_costs_the_baggage_and_not_the_tags(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPANLEDGER_TRUST_BAGGAGE", "perhaps")

    assert serve((b"baggage", b"user.id=u"), (b"x-team", b"t"), headers={"x-team": "team_id"}) == {"team.id": "t"}

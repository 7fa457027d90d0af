"""Whatever goes wrong on our side, the application gets exactly what the SDK gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import spanledger
from old_server import OldServer
from spanledger import call, faults, ledger, stream
from spanledger.sdks import openai_sdk
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, switched_on

CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES}


class Broken(Exception):
    """A fault of ours."""


def _break(*_anything: object, **_more: object) -> Any:
    raise Broken("injected")


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    with LocalProvider() as provider, openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        yield client


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (call.Call, "__init__"),
        (call.Call, "record"),
        (call.Call, "_usage"),
        (call.Call, "remember"),
        (ledger, "start"),
        (ledger, "add"),
        (call, "place_below"),
        (openai_sdk, "snapshot"),
        (stream, "watch"),
        (stream, "read_json"),
        (stream, "weakref"),
    ],
)
def test_a_fault_at_any_seam_leaves_the_application_alone(
    owner: object, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: openai.OpenAI
) -> None:
    before = sum(faults.counts().values())
    with switched_on(monkeypatch, tmp_path, faultless=False), pytest.MonkeyPatch.context() as broken:
        broken.setattr(owner, name, _break)
        answer = client.chat.completions.create(**CHAT)
        chunks = list(client.chat.completions.create(**CHAT, stream=True))
        raw = client.chat.completions.with_raw_response.create(**CHAT)
        with client.chat.completions.with_streaming_response.create(**CHAT) as response:
            body = response.json()
        spanledger.flush()

    assert answer.choices[0].message.content
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert raw.parse().choices
    assert isinstance(body, dict)
    assert sum(faults.counts().values()) > before


def test_a_server_that_refuses_our_addition_is_asked_again_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (
        switched_on(monkeypatch, tmp_path) as traced,
        OldServer() as server,
        openai.OpenAI(base_url=server.url, api_key="none") as client,
    ):
        chunks = list(client.chat.completions.create(**CHAT, stream=True))
        attributes = traced.attributes()

    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Bonjour"]
    assert ["stream_options" in request for request in server.requests] == [True, False]
    assert (attributes["spanledger.usage.state"], attributes["spanledger.attempts"]) == ("missing", 2)


def test_a_record_that_cannot_be_encoded_does_not_take_its_batch_along(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
        for name in ("before", "half a pair \ud800", "after"):
            with spanledger.span(name, kind="step"):
                pass
        spans = traced.spans()

    assert [span["name"] for span in spans] == ["before", "after"]


def test_a_fault_is_logged_once_however_often_it_happens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(faults, "_counts", Counter())
    with switched_on(monkeypatch, tmp_path, faultless=False), pytest.MonkeyPatch.context() as broken:
        broken.setattr(call.Call, "record", _break)
        for _ in range(3):
            client.chat.completions.create(**CHAT)
        spanledger.flush()

    assert faults.counts() == {"call lost from the ledger, it cannot be encoded: Broken": 3}
    assert [record.message for record in caplog.records if record.name == "spanledger"] == [
        "call lost from the ledger, it cannot be encoded: injected (reported once; the application is not affected)"
    ]


def test_settings_that_cannot_be_read_switch_off_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: openai.OpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    with switched_on(monkeypatch, tmp_path):
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "soon")
        for _ in range(2):
            assert client.chat.completions.create(**CHAT).choices

    assert capsys.readouterr().err == (
        "spanledger: switched off: OTEL_BSP_SCHEDULE_DELAY = 'soon': expected a whole number above 0\n"
    )

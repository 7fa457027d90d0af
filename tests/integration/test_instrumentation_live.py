"""Live connections of the real openai SDK, over real websockets: one call for each response."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from websockets.exceptions import ConnectionClosedError

import spanledger
from live_server import CLOSE, LiveServer
from tracing import CHANGING, Traced, switched_on

pytestmark = pytest.mark.filterwarnings("ignore:connect\\(\\) must be used:DeprecationWarning")
"""Of websockets 17, about the way the SDK calls it."""

PROBE = openai.OpenAI(api_key="none")
SESSION = {
    "type": "realtime",
    "model": "gpt-realtime-2025-08-28",
    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
}
GREETING = [{"type": "session.created", "event_id": "e1", "session": SESSION}]
REALTIME_USAGE = {
    "total_tokens": 1700,
    "input_tokens": 1500,
    "output_tokens": 200,
    "input_token_details": {
        "text_tokens": 500,
        "audio_tokens": 900,
        "image_tokens": 100,
        "cached_tokens": 700,
        "cached_tokens_details": {"text_tokens": 300, "audio_tokens": 400, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 50, "audio_tokens": 150},
}


def spoken(response_id: str, *, status: str = "completed", **more: Any) -> list[dict[str, Any]]:
    """What the server sends for one response of the Realtime API."""
    about = {"event_id": "e", "response_id": response_id, "item_id": "i", "output_index": 0, "content_index": 0}
    response = {"id": response_id, "object": "realtime.response", "status": status, "output": [], **more}
    return [
        {"type": "response.created", "event_id": "e", "response": {"id": response_id, "status": "in_progress"}},
        {"type": "response.output_audio_transcript.delta", "delta": "Ri", **about},
        {"type": "response.output_audio_transcript.delta", "delta": "tz", **about},
        {"type": "response.done", "event_id": "e", "response": {**response, "usage": REALTIME_USAGE}},
    ]


REALTIME_ATTRIBUTES = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-realtime",
    "gen_ai.response.model": "gpt-realtime-2025-08-28",
    "gen_ai.request.stream": True,
    "gen_ai.response.finish_reasons": ["completed"],
    "gen_ai.usage.input_tokens": 1500,
    "gen_ai.usage.output_tokens": 200,
    "gen_ai.usage.cache_read.input_tokens": 700,
    "gen_ai.usage.audio.input_tokens": 900,
    "gen_ai.usage.audio.cache_read.input_tokens": 400,
    "gen_ai.usage.image.input_tokens": 100,
    "gen_ai.usage.audio.output_tokens": 150,
    "server.address": "127.0.0.1",
    "spanledger.usage.state": "reported",
    # Text: 200 read for the first time x $4, 300 from the cache x $0.40, 50 written x $16. Audio: 500 x $32,
    # 400 from the cache x $0.40, 150 written x $64. Images: 100 x $5. A million each.
    "gen_ai.usage.cost": 0.02798,
    "spanledger.cost.pico_usd": 27_980_000_000,
    "spanledger.cost.source": "list",
    "spanledger.price.id": "base:openai/gpt-realtime",
}


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


def addresses(server: LiveServer) -> dict[str, Any]:
    # Old SDKs and the beta speak TLS unless they are told an address.
    return {"base_url": server.url, "websocket_base_url": server.url.replace("http", "ws")}


def client_of(server: LiveServer) -> Any:
    return openai.OpenAI(api_key="none", **addresses(server))


def timeless(span: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in span["attributes"].items() if name not in CHANGING}


def listen(connection: Any, last: str) -> list[str]:
    kinds = []
    for event in connection:
        kinds.append(event.type)
        if event.type == last:
            break
    return kinds


def test_a_response_over_a_live_connection_is_one_call_with_tokens_by_modality(traced: Traced) -> None:
    with (
        LiveServer(greeting=GREETING, script={"response.create": spoken("resp_live_000000000001")}) as server,
        client_of(server).realtime.connect(model="gpt-realtime") as connection,
    ):
        with spanledger.tags(user_id="u-17"):
            connection.response.create(response={"max_output_tokens": 300})
        kinds = listen(connection, "response.done")

    assert kinds == ["session.created", *(event["type"] for event in spoken(""))]
    span = traced.span()
    assert 0 < span["attributes"]["gen_ai.response.time_to_first_chunk"] < span["nanoseconds"] / 1e9
    assert (span["name"], span["status"]) == ("chat gpt-realtime", "UNSET")
    assert timeless(span) == {
        **REALTIME_ATTRIBUTES,
        "gen_ai.request.max_tokens": 300,
        "gen_ai.response.id": "resp_live_000000000001",
        "user.id": "u-17",
    }


def test_a_response_that_the_server_starts_by_itself_is_a_call_too(traced: Traced) -> None:
    script = {"input_audio_buffer.append": spoken("resp_live_000000000002")}
    with (
        LiveServer(greeting=GREETING, script=script) as server,
        client_of(server).realtime.connect(model="gpt-realtime") as connection,
    ):
        connection.input_audio_buffer.append(audio="AAAA")
        listen(connection, "response.done")

    assert timeless(traced.span()) == {**REALTIME_ATTRIBUTES, "gen_ai.response.id": "resp_live_000000000002"}


def test_connections_of_the_beta_are_watched(traced: Traced) -> None:
    with (
        LiveServer(greeting=GREETING, script={"response.create": spoken("resp_live_000000000004")}) as server,
        client_of(server).beta.realtime.connect(model="gpt-realtime") as connection,
    ):
        connection.response.create()
        listen(connection, "response.done")

    assert timeless(traced.span()) == {**REALTIME_ATTRIBUTES, "gen_ai.response.id": "resp_live_000000000004"}


def test_asynchronous_connections_and_raw_messages_are_watched(traced: Traced) -> None:
    async def talk(server: LiveServer) -> None:
        async with (
            openai.AsyncOpenAI(api_key="none", **addresses(server)) as client,
            client.realtime.connect(model="gpt-realtime") as connection,
        ):
            await connection.response.create()
            async for event in connection:
                if event.type == "response.done":
                    break
            await connection.send({"type": "response.create"})
            while True:
                if connection.parse_event(await connection.recv_bytes()).type == "response.done":
                    break

    with LiveServer(greeting=GREETING, script={"response.create": spoken("resp_live_000000000003")}) as server:
        asyncio.run(talk(server))

    expected = {**REALTIME_ATTRIBUTES, "gen_ai.response.id": "resp_live_000000000003"}
    assert [timeless(span) for span in traced.spans()] == [expected, expected]


def test_responses_that_overlap_are_told_apart(traced: Traced) -> None:
    first, second = spoken("resp_live_first_00001"), spoken("resp_live_second_0001")
    mixed = [first[0], second[0], second[1], first[1], second[3], first[3]]
    with (
        LiveServer(greeting=GREETING, script={"response.cancel": mixed}) as server,
        client_of(server).realtime.connect(model="gpt-realtime") as connection,
    ):
        for user in ("u-1", "u-2"):
            with spanledger.tags(user_id=user):
                connection.response.create()
        connection.response.cancel()
        listen(connection, "response.done")
        listen(connection, "response.done")

    found = [(span["attributes"]["gen_ai.response.id"], span["attributes"]["user.id"]) for span in traced.spans()]
    assert found == [("resp_live_second_0001", "u-2"), ("resp_live_first_00001", "u-1")]


def test_what_the_user_said_is_transcribed_at_the_price_of_that_model(traced: Traced) -> None:
    heard: dict[str, Any] = {
        "type": "conversation.item.input_audio_transcription.completed",
        "event_id": "e",
        "item_id": "i",
        "content_index": 0,
        "transcript": "Hello",
        "usage": {"type": "duration", "seconds": 10},
    }
    with (
        LiveServer(greeting=GREETING, script={"input_audio_buffer.commit": [heard]}) as server,
        client_of(server).realtime.connect(model="gpt-realtime") as connection,
    ):
        connection.input_audio_buffer.commit()
        listen(connection, heard["type"])

    assert timeless(traced.span()) == {
        "gen_ai.operation.name": "transcription",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "whisper-1",
        "gen_ai.usage.input_tokens": 0,
        "gen_ai.usage.output_tokens": 0,
        "server.address": "127.0.0.1",
        "spanledger.unit.seconds": 10,
        "spanledger.usage.state": "reported",
        "gen_ai.usage.cost": 0.001,
        "spanledger.cost.pico_usd": 1_000_000_000,
        "spanledger.cost.source": "list",
        "spanledger.price.id": "overlay:openai/whisper-1",
    }


FAILED = {"status_details": {"type": "failed", "error": {"type": "server_error", "code": "overloaded"}}}
CANCELLED = {"status_details": {"type": "cancelled", "reason": "turn_detected"}}
REFUSAL = {
    "type": "error",
    "event_id": "e",
    "error": {"type": "invalid_request_error", "code": "busy", "message": "No"},
}


@pytest.mark.parametrize(
    ("answer", "status", "reasons", "state"),
    [
        (spoken("resp_live_x", status="failed", **FAILED), ("ERROR", "overloaded"), ["failed"], "reported"),
        (spoken("resp_live_x", status="cancelled", **CANCELLED), ("UNSET", ""), ["turn_detected"], "reported"),
        ([REFUSAL], ("ERROR", "busy"), None, "missing"),
    ],
)
def test_what_becomes_of_a_response_is_said(
    traced: Traced, answer: list[Any], status: tuple[str, str], reasons: list[str] | None, state: str
) -> None:
    with (
        LiveServer(greeting=GREETING, script={"response.create": answer}) as server,
        client_of(server).realtime.connect(model="gpt-realtime") as connection,
    ):
        connection.response.create()
        listen(connection, answer[-1]["type"])

    span = traced.span()
    known = span["attributes"]
    assert (span["status"], span["message"]) == status
    assert known.get("gen_ai.response.finish_reasons") == reasons
    assert known["spanledger.usage.state"] == state


def test_closing_in_the_middle_of_a_response_ends_its_span(traced: Traced) -> None:
    with (
        LiveServer(greeting=GREETING, script={"response.create": spoken("resp_live_cut")[:2]}) as server,
        client_of(server).realtime.connect(model="gpt-realtime") as connection,
    ):
        connection.response.create()
        listen(connection, "response.output_audio_transcript.delta")

    span = traced.span()
    assert (span["status"], span["attributes"]["spanledger.usage.state"]) == ("UNSET", "missing")


def test_a_connection_that_the_server_breaks_fails_its_response(traced: Traced) -> None:
    answer = [*spoken("resp_live_cut")[:2], CLOSE]
    with LiveServer(greeting=GREETING, script={"response.create": answer}) as server:
        connection = client_of(server).realtime.connect(model="gpt-realtime").enter()
        connection.response.create()
        with pytest.raises(ConnectionClosedError):
            listen(connection, "response.done")
        connection.close()

    span = traced.span()
    assert (span["status"], span["message"]) == ("ERROR", "websocket_1011")


def test_a_connection_that_is_dropped_ends_its_spans(traced: Traced) -> None:
    with LiveServer(greeting=GREETING, script={"response.create": spoken("resp_live_cut")[:2]}) as server:
        connection: Any = client_of(server).realtime.connect(model="gpt-realtime").enter()
        socket = connection._connection
        connection.response.create()
        listen(connection, "response.output_audio_transcript.delta")
        del connection
        gc.collect()
        span = traced.span()
        socket.close()

    assert span["attributes"]["spanledger.usage.state"] == "missing"


# --- responses.connect


def written(response_id: str, *, status: str = "completed") -> list[dict[str, Any]]:
    base = {
        "id": response_id,
        "object": "response",
        "model": "gpt-4o-2024-08-06",
        "output": [],
        "service_tier": "default",
    }
    usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
    return [
        {"type": "response.created", "sequence_number": 0, "response": {**base, "status": "in_progress"}},
        {"type": "response.output_text.delta", "sequence_number": 1, "delta": "Ritz", "item_id": "i"},
        {"type": f"response.{status}", "sequence_number": 2, "response": {**base, "status": status, "usage": usage}},
    ]


@pytest.mark.skipif(not hasattr(PROBE.responses, "connect"), reason="came with openai 2.22")
def test_a_response_over_responses_connect_is_a_call(traced: Traced) -> None:
    async def talk(server: LiveServer) -> None:
        async with (
            openai.AsyncOpenAI(api_key="none", **addresses(server)) as client,
            client.responses.connect() as connection,
        ):
            await connection.response.create(model="gpt-4o", input="Hi", max_output_tokens=50)
            async for event in connection:
                if event.type == "response.completed":
                    break

    with LiveServer(greeting=[], script={"response.create": written("resp_ws_000000000001")}) as server:
        with client_of(server).responses.connect() as connection:
            connection.response.create(model="gpt-4o", input="Hi", max_output_tokens=50)
            assert len(listen(connection, "response.completed")) == 3
        asyncio.run(talk(server))

    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.stream": True,
        "gen_ai.response.id": "resp_ws_000000000001",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ["completed"],
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "server.address": "127.0.0.1",
        "spanledger.service_tier": "default",
        "spanledger.usage.state": "reported",
        "gen_ai.usage.cost": 0.0035,
        "spanledger.cost.pico_usd": 3_500_000_000,
        "spanledger.cost.source": "list",
        "spanledger.price.id": "base:openai/gpt-4o",
    }
    assert [timeless(span) for span in traced.spans()] == [expected, expected]


@pytest.mark.skipif(not hasattr(PROBE, "live"), reason="came with openai 3")
def test_a_session_of_the_live_api_is_charged_by_the_second_and_what_it_delegates_by_the_token(traced: Traced) -> None:
    def session_event(kind: str, **more: Any) -> dict[str, Any]:
        return {
            "type": kind,
            "event_id": "e",
            "session": {"id": "sess_live_000000000001", "model": "gpt-live-1"},
            **more,
        }

    script = {
        "session.start": [session_event("session.started")],
        "session.close": [
            *({"type": "response.event", "event_id": "e", "event": event} for event in written("resp_delegated_0001")),
            {"type": "session.usage.updated", "event_id": "e", "usage": {"seconds": 30.5}},
            session_event("session.closed", reason="close_requested", usage={"seconds": 60}),
        ],
    }
    with (
        LiveServer(greeting=[], script=script) as server,
        client_of(server).live.connect() as connection,
    ):
        with spanledger.tags(user_id="u-17"):
            connection.send({"type": "session.start", "session": {"model": "gpt-live-1"}})
            listen(connection, "session.started")
        connection.send({"type": "session.close"})
        listen(connection, "session.closed")

    delegated, session = traced.spans()
    known = delegated["attributes"]
    assert (known["gen_ai.request.model"], known["spanledger.cost.pico_usd"]) == ("gpt-4o-2024-08-06", 3_500_000_000)
    assert timeless(session) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-live-1",
        "gen_ai.request.stream": True,
        "gen_ai.response.id": "sess_live_000000000001",
        "gen_ai.response.finish_reasons": ["close_requested"],
        "gen_ai.usage.input_tokens": 0,
        "gen_ai.usage.output_tokens": 0,
        "server.address": "127.0.0.1",
        "spanledger.unit.seconds": 60,
        "spanledger.usage.state": "reported",
        "user.id": "u-17",
        "gen_ai.usage.cost": 0.05,
        "spanledger.cost.pico_usd": 50_000_000_000,
        "spanledger.cost.source": "list",
        "spanledger.price.id": "base:openai/gpt-live-1",
    }


@pytest.mark.skipif(not hasattr(PROBE, "live"), reason="came with openai 3")
def test_a_live_session_that_breaks_has_the_seconds_known_by_then(traced: Traced) -> None:
    started = {"type": "session.started", "event_id": "e", "session": {"id": "sess_1", "model": "gpt-live-1"}}
    used = {"type": "session.usage.updated", "event_id": "e", "usage": {"seconds": 30.5}}
    with (
        LiveServer(greeting=[], script={"session.start": [started, used]}) as server,
        client_of(server).live.connect() as connection,
    ):
        connection.send({"type": "session.start", "session": {"model": "gpt-live-1"}})
        listen(connection, "session.usage.updated")

    known = traced.span()["attributes"]
    assert (known["spanledger.unit.seconds"], known["spanledger.usage.state"]) == (30.5, "estimated")
    assert known["spanledger.cost.pico_usd"] == 25_416_666_667


def test_an_event_that_we_do_not_understand_reaches_the_application(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    strange: list[Any] = [{"type": "response.created", "response": "?"}, {"no": "type"}, {"type": 7}, *spoken("r")]
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        with (
            LiveServer(greeting=[], script={"response.create": strange}) as server,
            client_of(server).realtime.connect(model="gpt-realtime") as connection,
        ):
            connection.response.create()
            kinds = listen(connection, "response.done")
        traced.spans()

    assert len(kinds) == 7

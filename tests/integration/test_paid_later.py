"""What is charged where it is read, with the real SDKs: results of batches, answers made in the background."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

import spanledger
from canned_server import CannedServer, events, lines
from tracing import Traced, switched_on

# A fresh date, as collectors refuse what is older than 400 days; fixed for the run, so that every reading is alike.
MADE = int(time.time()) // 86_400 * 86_400 - 86_400
MADE_ISO = datetime.datetime.fromtimestamp(MADE, datetime.UTC).isoformat()


RAW_BATCHES = anthropic.Anthropic(api_key="none").messages.batches.with_raw_response


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def server() -> Iterator[CannedServer]:
    with CannedServer() as server:
        yield server


def openai_at(server: CannedServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def claude_at(server: CannedServer) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0)


def charges(traced: Traced) -> list[dict[str, Any]]:
    """What is charged: ids, day, batch, model, tokens and money of each span that has usage."""
    seen = traced.spans()
    starts = [
        span.start_time_unix_nano
        for request in traced.sink.received
        for resource in request.body.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    return [
        {
            "ids": (span["trace_id"], span["span_id"]),
            "parent": span["parent_span_id"],
            "start": start // 10**9,
            "name": span["name"],
            "batch": (known.get("spanledger.is_batch"), known.get("spanledger.batch.id")),
            "response": known.get("gen_ai.response.id"),
            "tokens": (known["gen_ai.usage.input_tokens"], known["gen_ai.usage.output_tokens"]),
            "pico_usd": known.get("spanledger.cost.pico_usd"),
            "feature": known.get("feature.id"),
        }
        for span, start in zip(seen, starts, strict=True)
        if (known := span["attributes"]).get("gen_ai.usage.input_tokens") is not None
    ]


# --- OpenAI's batches


def chat_line(number: int, **more: object) -> dict[str, Any]:
    body = {
        "id": f"chatcmpl-batch-{number:012}",
        "object": "chat.completion",
        "created": MADE,
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Ritz\n"}}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }
    answer = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": f"batch_req_{number:024}", "custom_id": f"task-{number}", "response": answer, "error": None, **more}


EMBEDDED = {
    "id": "batch_req_embedding_00000001",
    "custom_id": "task-3",
    "response": {
        "status_code": 200,
        "body": {"object": "list", "model": "text-embedding-3-small", "data": [], "usage": {"prompt_tokens": 1000}},
    },
}
REFUSED = {
    "id": "batch_req_refused_0000000001",
    "custom_id": "task-4",
    "response": {"status_code": 400, "body": {"error": {"message": "no usage here"}}},
}
RESULTS = lines(chat_line(1), chat_line(2), EMBEDDED, REFUSED)
OPENAI_BATCH = {
    "id": "batch_abc",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "input_file_id": "file-in",
    "completion_window": "24h",
    "status": "completed",
    "output_file_id": "file-out",
    "created_at": MADE + 60,
}


def with_results(server: CannedServer) -> CannedServer:
    server.on("GET", "/v1/batches/batch_abc", OPENAI_BATCH)
    server.on("GET", "/v1/files/file-out/content", RESULTS, kind="application/octet-stream")
    return server


def test_results_of_a_batch_are_charged_at_batch_price_when_they_are_read(traced: Traced, server: CannedServer) -> None:
    client = openai_at(with_results(server))

    with spanledger.tags(feature="nightly"):
        batch = client.batches.retrieve("batch_abc")
        content = client.files.content(batch.output_file_id or "")

    assert content.text == RESULTS
    found = charges(traced)
    assert len({charge.pop("ids") for charge in found}) == 3
    # gpt-4o is $2.50 and $10 a million, the embeddings $0.02, and half that in a batch.
    chat: dict[str, Any] = {
        "parent": "",
        "start": MADE,
        "name": "chat gpt-4o-2024-08-06",
        "batch": (True, "batch_abc"),
        "tokens": (1000, 100),
        "pico_usd": 1_750_000_000,
        "feature": "nightly",
    }
    assert found == [
        chat | {"response": "chatcmpl-batch-000000000001"},
        chat | {"response": "chatcmpl-batch-000000000002"},
        chat
        | {
            "response": None,
            "start": MADE + 60,
            "name": "embeddings text-embedding-3-small",
            "tokens": (1000, 0),
            "pico_usd": 10_000_000,
        },
    ]


def test_a_second_reading_is_the_same_spans_on_the_same_day(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: CannedServer
) -> None:
    readings = []
    for home in ("first", "second"):
        with switched_on(monkeypatch, tmp_path / home) as traced:
            client = openai_at(with_results(server))
            if home == "first":
                client.batches.retrieve("batch_abc")
            with client.files.with_streaming_response.content("file-out") as response:
                assert b"".join(response.iter_bytes(100)) == RESULTS.encode()
            readings.append([(charge["ids"], charge["start"]) for charge in charges(traced)])

    assert len(readings[0]) == 3
    assert readings[0] == readings[1]


async def _read_async(server: CannedServer) -> bytes:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        whole = await client.files.content("file-out")
        async with client.files.with_streaming_response.content("file-out") as response:
            assert b"".join([data async for data in response.iter_bytes(7)]) == whole.content
        raw = await client.files.with_raw_response.content("file-out")
        return raw.content


def test_every_way_of_reading_a_file_charges_the_same(traced: Traced, server: CannedServer) -> None:
    import asyncio

    assert asyncio.run(_read_async(with_results(server))) == RESULTS.encode()
    raw = openai_at(server).files.with_raw_response.content("file-out")
    assert raw.content == RESULTS.encode()

    found = charges(traced)
    assert len(found) == 12
    assert len({charge["ids"] for charge in found}) == 3


def test_answers_that_share_an_id_are_all_charged(traced: Traced, server: CannedServer) -> None:
    """As a gateway's mock gives them; only the lines tell them apart."""
    alike = [chat_line(number) for number in range(3)]
    for line in alike:
        line["response"]["body"]["id"] = "chatcmpl-00000000-mock"
    server.on("GET", "/v1/files/file-mock/content", lines(*alike), kind="application/octet-stream")

    client = openai_at(server)
    for _ in range(2):
        client.files.content("file-mock")

    assert len({charge["ids"] for charge in charges(traced)}) == 3


@pytest.mark.parametrize(
    "content",
    [
        lines({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"usage": 1}}),
        lines({"messages": [], "usage": {"prompt_tokens": 5}}),
        "[1, 2]\n",
        b"\x89PNG\r\n\x1a\n\x00" + bytes(range(256)),
        "",
    ],
)
def test_a_file_that_is_no_batch_output_leaves_nothing(
    traced: Traced, server: CannedServer, content: str | bytes
) -> None:
    server.on("GET", "/v1/files/file-x/content", content, kind="application/octet-stream")

    openai_at(server).files.content("file-x")

    assert traced.spans() == []


def test_a_broken_line_costs_only_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: CannedServer) -> None:
    broken = lines(chat_line(1)) + '{"custom_id": "task-2", "usage": \n' + lines(chat_line(3))
    server.on("GET", "/v1/files/file-x/content", broken, kind="application/octet-stream")

    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        openai_at(server).files.content("file-x")
        found = [charge["response"] for charge in charges(traced)]

    assert found == ["chatcmpl-batch-000000000001", "chatcmpl-batch-000000000003"]


def test_a_batch_of_thousands_is_recorded_in_full(traced: Traced, server: CannedServer) -> None:
    content = lines(*(chat_line(number) for number in range(3000)))
    server.on("GET", "/v1/files/file-x/content", content, kind="application/octet-stream")

    openai_at(server).files.content("file-x")

    assert len({charge["ids"] for charge in charges(traced)}) == 3000


def test_results_read_as_a_type_of_the_applications_own_are_its_own(traced: Traced, server: CannedServer) -> None:
    client = openai_at(with_results(server))

    assert client.get("/files/file-out/content", cast_to=str) == RESULTS

    assert traced.spans() == []


@pytest.mark.parametrize("seam", ["reading", "note_batch", "add_answer"])
def test_a_fault_of_ours_leaves_every_reading_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: CannedServer, seam: str
) -> None:
    from spanledger import later

    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("told to")

    monkeypatch.setattr(later, seam, broken)
    server.on("GET", "/v1/responses/resp_background_0000000000000010", finished(10))
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        client, claude = openai_at(with_results(server)), claude_at(with_claude_results(server))
        assert client.batches.retrieve("batch_abc").output_file_id == "file-out"
        assert client.files.content("file-out").text == RESULTS
        assert client.responses.retrieve("resp_background_0000000000000010").status == "completed"
        assert len(list(claude.messages.batches.results("msgbatch_01"))) == 4
        traced.spans()


# --- Anthropic's batches


def claude_line(number: int) -> dict[str, Any]:
    message = {
        "id": f"msg_batch_{number:016}",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": [{"type": "text", "text": "Ritz"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 100,
            "cache_read_input_tokens": 900,
            "cache_creation_input_tokens": 0,
            "output_tokens": 100,
            "service_tier": "batch",
        },
    }
    return {"custom_id": f"task-{number}", "result": {"type": "succeeded", "message": message}}


CLAUDE_RESULTS = lines(
    claude_line(1),
    {"custom_id": "task-2", "result": {"type": "errored", "error": {"type": "error", "error": {"type": "x"}}}},
    {"custom_id": "task-3", "result": {"type": "expired"}},
    claude_line(4),
)


def with_claude_results(server: CannedServer) -> CannedServer:
    path = "/v1/messages/batches/msgbatch_01"
    batch = {
        "id": "msgbatch_01",
        "type": "message_batch",
        "processing_status": "ended",
        "created_at": MADE_ISO,
        "ended_at": MADE_ISO,
        "expires_at": MADE_ISO,
        "results_url": f"{server.url}{path}/results",
    }
    server.on("GET", path, batch)
    server.on("GET", f"{path}/results", CLAUDE_RESULTS, kind="application/x-jsonl")
    return server


def test_results_of_a_message_batch_are_charged_as_they_are_read(traced: Traced, server: CannedServer) -> None:
    client = claude_at(with_claude_results(server))

    with spanledger.tags(feature="nightly"):
        results = client.messages.batches.results("msgbatch_01")
        first = next(iter(results))
        rest = [entry.custom_id for entry in results]

    assert type(first).__name__ == "MessageBatchIndividualResponse"
    assert (first.custom_id, rest) == ("task-1", ["task-2", "task-3", "task-4"])
    found = charges(traced)
    assert len({charge.pop("ids") for charge in found}) == 2
    # Haiku 4.5 is $1, $0.10 from the cache and $5 a million, half of that in a batch.
    charge = {
        "parent": "",
        "start": MADE,
        "name": "chat claude-haiku-4-5-20251001",
        "batch": (True, "msgbatch_01"),
        "tokens": (1000, 100),
        "pico_usd": 345_000_000,
        "feature": "nightly",
    }
    assert found == [
        charge | {"response": "msg_batch_0000000000000001"},
        charge | {"response": "msg_batch_0000000000000004"},
    ]


def test_every_way_of_reading_message_results_charges_the_same(traced: Traced, server: CannedServer) -> None:
    import asyncio

    async def read() -> list[str]:
        async with anthropic.AsyncAnthropic(base_url=server.url, api_key="none") as client:
            return [entry.custom_id async for entry in await client.messages.batches.results("msgbatch_01")]

    client = claude_at(with_claude_results(server))
    assert len(asyncio.run(read())) == 4
    assert len(list(client.messages.batches.results("msgbatch_01"))) == 4
    assert len(list(client.beta.messages.batches.results("msgbatch_01"))) == 4

    found = [(charge["ids"], charge["start"]) for charge in charges(traced)]
    assert len(found) == 6
    assert len(set(found)) == 2


@pytest.mark.skipif(not hasattr(RAW_BATCHES, "results"), reason="came with anthropic 2")
def test_raw_readings_of_message_results_are_charged(traced: Traced, server: CannedServer) -> None:
    client = claude_at(with_claude_results(server))

    raw: Any = client.messages.batches.with_raw_response.results("msgbatch_01")
    assert len(list(raw.parse())) == 4
    with client.messages.batches.with_streaming_response.results("msgbatch_01") as response:
        assert len(list(response.iter_lines())) == 4

    found = [charge["ids"] for charge in charges(traced)]
    assert len(found) == 4
    assert len(set(found)) == 2


def test_results_that_nobody_reads_are_not_charged(traced: Traced, server: CannedServer) -> None:
    results = claude_at(with_claude_results(server)).messages.batches.results("msgbatch_01")

    results.close()

    assert charges(traced) == []


def test_tags_of_the_submission_fill_in_what_the_reading_leaves_open(traced: Traced, server: CannedServer) -> None:
    client = claude_at(with_claude_results(server))
    submitted = {"id": "msgbatch_01", "type": "message_batch", "processing_status": "in_progress"}
    server.on("POST", "/v1/messages/batches", submitted)

    with spanledger.tags(feature="nightly"):
        client.messages.batches.create(requests=[])
    list(client.messages.batches.results("msgbatch_01"))

    assert [charge["feature"] for charge in charges(traced)] == ["nightly", "nightly"]


# --- answers made in the background


def response(status: str, *, number: int, background: bool | None = True, tokens: int | None = None) -> dict[str, Any]:
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 0,
    }
    return {
        "id": f"resp_background_{number:016}",
        "object": "response",
        "created_at": MADE,
        "model": "gpt-4o-2024-08-06",
        "status": status,
        "background": background,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage if tokens is not None else None,
    }


def finished(number: int) -> dict[str, Any]:
    return response("completed", number=number, tokens=100)


def charge_of(number: int, **more: object) -> dict[str, Any]:
    return {
        "parent": "",
        "start": MADE,
        "name": "chat gpt-4o-2024-08-06",
        "batch": (None, None),
        "response": f"resp_background_{number:016}",
        "tokens": (1000, 100),
        "pico_usd": 3_500_000_000,
        "feature": None,
        **more,
    }


def test_a_background_response_is_charged_once_however_often_it_is_asked_for(
    traced: Traced, server: CannedServer
) -> None:
    client = openai_at(server)
    queued, answered = response("queued", number=1), finished(1)
    server.on("POST", "/v1/responses", queued)
    server.on("GET", f"/v1/responses/{queued['id']}", queued, response("in_progress", number=1), answered)

    with spanledger.tags(feature="report"):
        made = client.responses.create(model="gpt-4o", input="Hi", background=True)
    for _ in range(20):
        made = client.responses.retrieve(made.id)

    assert made.status == "completed"
    found = charges(traced)
    assert [charge | {"ids": None} for charge in found] == [charge_of(1, ids=None, feature="report")]
    submission = traced.spans()[0]
    assert (submission["name"], "spanledger.usage.state" in submission["attributes"]) == ("background gpt-4o", False)


def test_what_a_response_has_used_so_far_is_not_its_charge(traced: Traced, server: CannedServer) -> None:
    client = openai_at(server)
    begun, answered = response("in_progress", number=33, tokens=1), finished(33)
    server.on("POST", "/v1/responses", begun)
    server.on("GET", f"/v1/responses/{begun['id']}", begun, answered)

    made = client.responses.create(model="gpt-4o", input="Hi", background=True)
    for _ in range(3):
        made = client.responses.retrieve(made.id)

    assert [charge | {"ids": None} for charge in charges(traced)] == [charge_of(33, ids=None)]


def test_another_process_that_asks_gives_the_same_span(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: CannedServer
) -> None:
    from spanledger import later

    server.on("GET", "/v1/responses/resp_background_0000000000000002", finished(2))
    ids = []
    for home in ("first", "second"):
        monkeypatch.setattr(later, "_recorded", later.Recent[bool]())
        with switched_on(monkeypatch, tmp_path / home) as traced:
            openai_at(server).responses.retrieve("resp_background_0000000000000002")
            (charge,) = charges(traced)
            ids.append((charge["ids"], charge["start"]))

    assert ids[0] == ids[1]


def test_a_background_response_that_is_streamed_is_charged_once(traced: Traced, server: CannedServer) -> None:
    client = openai_at(server)
    answered = finished(3)
    stream = events(
        {"type": "response.created", "sequence_number": 0, "response": response("queued", number=3)},
        {"type": "response.output_text.delta", "sequence_number": 1, "delta": "Hi", "item_id": "i"},
        {"type": "response.completed", "sequence_number": 2, "response": answered},
    )
    server.on("POST", "/v1/responses", stream, kind="text/event-stream")
    server.on("GET", f"/v1/responses/{answered['id']}", stream, stream, answered, kind="text/event-stream")
    kinds = ["response.created", "response.output_text.delta", "response.completed"]

    made = client.responses.create(model="gpt-4o", input="Hi", background=True, stream=True)
    assert [event.type for event in made] == kinds
    again = client.responses.retrieve(answered["id"], stream=True)
    assert [event.type for event in again] == kinds

    assert [charge | {"ids": None} for charge in charges(traced)] == [charge_of(3, ids=None)]


def test_a_background_stream_that_breaks_is_charged_by_the_reading_after_it(
    traced: Traced, server: CannedServer
) -> None:
    client = openai_at(server)
    answered = finished(4)
    start = {"type": "response.created", "sequence_number": 0, "response": response("queued", number=4)}
    end = {"type": "response.completed", "sequence_number": 2, "response": answered}
    server.on("POST", "/v1/responses", events(start), kind="text/event-stream")
    server.on("GET", f"/v1/responses/{answered['id']}", events(end), kind="text/event-stream")

    list(client.responses.create(model="gpt-4o", input="Hi", background=True, stream=True))
    assert charges(traced) == []
    list(client.responses.retrieve(answered["id"], stream=True, starting_after=0))

    assert [charge | {"ids": None} for charge in charges(traced)] == [charge_of(4, ids=None)]


@pytest.mark.parametrize("background", [False, None])
def test_asking_for_a_response_that_was_not_made_in_the_background_is_no_call(
    traced: Traced, server: CannedServer, background: bool | None
) -> None:
    body = response("completed", number=5, background=background, tokens=100)
    server.on("GET", f"/v1/responses/{body['id']}", body)

    openai_at(server).responses.retrieve(body["id"])

    assert traced.spans() == []


def test_raw_and_asynchronous_readings_of_a_background_response_are_charged(
    traced: Traced, server: CannedServer
) -> None:
    import asyncio

    bodies = [finished(number) for number in (6, 7, 8, 9)]
    for body in bodies:
        server.on("GET", f"/v1/responses/{body['id']}", body)
    server.on("POST", f"/v1/responses/{bodies[3]['id']}/cancel", bodies[3])

    async def retrieve() -> str:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            return (await client.responses.retrieve(bodies[0]["id"])).id

    client = openai_at(server)
    asyncio.run(retrieve())
    client.responses.with_raw_response.retrieve(bodies[1]["id"])
    with client.responses.with_streaming_response.retrieve(bodies[2]["id"]) as raw:
        raw.read()
    client.responses.cancel(bodies[3]["id"])

    found = [charge["response"] for charge in charges(traced)]
    assert found == [body["id"] for body in bodies]

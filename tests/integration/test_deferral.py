"""Requests that are put off: written down, made when the policy has room or in a provider's batch, and answered."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from click.testing import CliRunner
from openai.types.chat import ChatCompletion

import spanledger
from canned_server import CannedServer
from guarded import gate, write_policy
from spanledger.deferral import Deferred, DeferredError, drain as drains, queue as queues
from spanledger.deferral.drain import Drained, collect, drain, submit
from spanledger.deferral.queue import Queue
from spanledger.guard.store import NANO
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from spanledger_cli.drain import command
from tracing import MESSAGES, Traced, switched_on

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
CLAUDE: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": MESSAGES}


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")
    return tmp_path / "home"


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, home) as traced:
        yield traced


def _client(provider: LocalProvider) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{provider.url}/v1", api_key="secret-key")


def test_a_request_waits_until_somebody_drains_and_is_then_made_under_its_tags(
    traced: Traced, provider: LocalProvider, home: Path
) -> None:
    with _client(provider) as client, spanledger.tags(user_id="ann", feature="digest"):
        job = spanledger.defer(client.chat.completions.create, **CHAT)
    assert (job.state, provider.requests) == ("waiting", 0)
    file = home / queues.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"secret-key" not in file.read_bytes()

    (made,) = drain(Queue(home))

    assert (made.ids, made.what, job.state) == ((job.id,), "done", "done")
    answer = Deferred(job.id).result(timeout_s=0)
    assert type(answer) is ChatCompletion
    assert answer.choices[0].message.content
    told = traced.span()["attributes"]
    assert (told["user.id"], told["feature.id"], told["gen_ai.response.id"]) == ("ann", "digest", answer.id)


def test_an_answer_can_be_awaited(traced: Traced, provider: LocalProvider, home: Path) -> None:
    async def ask() -> Any:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="none") as client:
            job = spanledger.defer(client.messages.create, **CLAUDE)
        waiting = asyncio.ensure_future(_awaited(job))
        await asyncio.to_thread(lambda: list(drain(Queue(home))))
        return await waiting

    assert asyncio.run(ask()).content[0].type == "text"


async def _awaited(job: Deferred) -> Any:
    return await job


def test_what_the_policy_has_no_room_for_waits_and_others_get_their_turn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, home: Path
) -> None:
    write_policy(
        monkeypatch,
        tmp_path,
        '[[budget]]\nname = "ann"\nmatch = { user_id = "ann" }\nper = "total"\nusd = 1\nat = { "80%" = "defer" }\n',
    )
    with switched_on(monkeypatch, home):
        store = gate().store
        assert store is not None
        store.set_spent("budget/ann/user_id=ann/total", NANO, 0, "usd")
        with _client(provider) as client:
            jobs = []
            for user in ("ann", "ann", "bob"):
                with spanledger.tags(user_id=user):
                    jobs.append(spanledger.defer(client.chat.completions.create, **CHAT))
        made = {one.ids[0]: one.what for one in drain(Queue(home))}
        assert made[jobs[2].id] == "done"
        assert sorted(job.state for job in jobs) == ["done", "waiting", "waiting"]
        assert provider.requests == 1

        store.set_spent("budget/ann/user_id=ann/total", 0, 0, "usd")
        assert [one.what for one in drain(Queue(home))] == ["done", "done"]


def test_a_request_that_the_provider_refuses_has_failed(traced: Traced, provider: LocalProvider, home: Path) -> None:
    provider.plan(Plan(status=400))
    with _client(provider) as client:
        job = spanledger.defer(client.chat.completions.create, **CHAT)

    (made,) = drain(Queue(home))

    assert made.what == "failed"
    with pytest.raises(DeferredError, match="BadRequestError"):
        job.result()


@pytest.mark.parametrize(
    ("status", "made"),
    [(408, ["waits", "done"]), (409, ["waits", "done"]), (503, ["waits", "done"]), (429, ["waits"])],
)
def test_a_request_that_the_provider_does_not_take_now_waits_on(
    status: int, made: list[str], traced: Traced, provider: LocalProvider, home: Path
) -> None:
    """A fault may be one request's alone; who is busy is so for all."""
    provider.plan(*[Plan(status=status)] * 3)
    with _client(provider) as client:
        jobs = [spanledger.defer(client.chat.completions.create, **CHAT) for _ in range(2)]

    assert [one.what for one in drain(Queue(home))] == made
    assert sorted({job.state for job in jobs}) == sorted({*made[1:], "waiting"})
    assert {one.what for one in drain(Queue(home))} == {"done"}
    assert [job.state for job in jobs] == ["done", "done"]


@pytest.mark.parametrize(("status", "tried", "made_now"), [(401, 1, 0), (402, 1, 0), (403, 2, 1)])
def test_a_key_that_is_not_taken_loses_no_request(
    status: int, tried: int, made_now: int, traced: Traced, provider: LocalProvider, home: Path
) -> None:
    """A wrong key, or no money, is everybody's who would use it; what isn't allowed may be one request's alone."""
    provider.plan(Plan(status=status))
    with _client(provider) as client:
        jobs = [spanledger.defer(client.chat.completions.create, **CHAT) for _ in range(2)]
    before = provider.requests

    told = CliRunner().invoke(command, [])

    assert provider.requests - before == tried
    assert told.exit_code == 1
    left = "2 requests are" if status != 403 else "1 request is"
    assert told.stderr.startswith(f"{left} left: openai's key isn't taken at {provider.url}/v1/: ")
    assert sorted(job.state for job in jobs) == ["done"] * made_now + ["waiting"] * (2 - made_now)
    assert {one.what for one in drain(Queue(home))} == {"done"}
    assert [job.state for job in jobs] == ["done", "done"]


def test_without_a_network_all_wait_and_one_is_tried(
    monkeypatch: pytest.MonkeyPatch, home: Path, traced: Traced, provider: LocalProvider
) -> None:
    with openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none") as away, _client(provider) as client:
        jobs = []
        for user in ("ann", "bob"):
            with spanledger.tags(user_id=user):
                jobs.append(spanledger.defer(away.chat.completions.create, **CHAT))
        jobs.append(spanledger.defer(client.chat.completions.create, **CHAT))

    made = list(drain(Queue(home)))

    assert sorted(one.what for one in made) == ["done", "waits"]
    assert [job.state for job in jobs] == ["waiting", "waiting", "done"]


def test_a_request_whose_maker_died_is_made_by_another(
    monkeypatch: pytest.MonkeyPatch, traced: Traced, provider: LocalProvider, home: Path
) -> None:
    with _client(provider) as client:
        job = spanledger.defer(client.chat.completions.create, **CHAT)
    monkeypatch.setattr(queues, "LEASE_S", -1)
    assert [one.id for one in Queue(home).take()] == [job.id]
    assert job.state == "running"

    assert [one.what for one in drain(Queue(home))] == ["done"]


def test_the_answer_is_handed_to_a_function(
    monkeypatch: pytest.MonkeyPatch, traced: Traced, provider: LocalProvider, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "takes_answers.py").write_text(
        "seen = []\ndef take(id, answer):\n    seen.append((id, answer.model))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with _client(provider) as client:
        job = spanledger.defer(client.chat.completions.create, on_result="takes_answers:take", **CHAT)

    list(drain(Queue(home)))

    ((id, model),) = sys.modules["takes_answers"].seen
    assert (id, model.startswith("gpt-4o")) == (job.id, True)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({**CHAT, "stream": True}, "stream: nobody listens"),
        ({**CHAT, "timeout": 3}, "timeout: not kept with a request"),
        ({**CHAT, "messages": [object()]}, "can't be written as JSON"),
        ({**CHAT, "on_result": lambda id, answer: None}, "a function at the top of a module"),
        ({**CHAT, "on_result": "print"}, r"expected package\.module:name"),
    ],
)
def test_what_can_not_be_put_off_is_said_at_once(
    provider: LocalProvider, home: Path, request_: dict[str, Any], told: str
) -> None:
    with _client(provider) as client, pytest.raises(ValueError, match=told):
        spanledger.defer(client.chat.completions.create, **request_)
    assert Queue(home).jobs("waiting") == []


def test_methods_that_are_no_calls_can_not_be_put_off(home: Path, provider: LocalProvider) -> None:
    with _client(provider) as client:
        with pytest.raises(ValueError, match=r"can't be put off; what can is client\.chat\.completions\.create"):
            spanledger.defer(client.models.list)
        with pytest.raises(ValueError, match="can't be put off"):
            spanledger.defer(print)


def test_openai_batches_bring_answers_at_half_the_price(traced: Traced, home: Path) -> None:
    with CannedServer() as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
        jobs = [spanledger.defer(client.chat.completions.create, **CHAT) for _ in range(2)]
        client.close()
        batch = {
            "id": "batch_abc",
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": "file-in",
            "completion_window": "24h",
            "created_at": 1_790_000_000,
            "status": "in_progress",
        }
        server.on("POST", "/v1/files", {"id": "file-in", "object": "file"})
        server.on("POST", "/v1/batches", batch)
        server.on("GET", "/v1/batches/batch_abc", batch)
        assert [(one.what, one.why) for one in submit(Queue(home))] == [("batched", "batch_abc")]
        assert list(collect(Queue(home))) == []

        answer = {
            "id": "chatcmpl-batch-000000000001",
            "object": "chat.completion",
            "created": 1_790_000_100,
            "model": "gpt-4o-2024-08-06",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Ritz"}}],
            "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000},
        }
        lines = [
            {"id": "r1", "custom_id": jobs[0].id, "response": {"status_code": 200, "body": answer}, "error": None},
            {
                "id": "r2",
                "custom_id": jobs[1].id,
                "response": {"status_code": 400, "body": {"error": "no"}},
                "error": None,
            },
        ]
        server.on("GET", "/v1/batches/batch_abc", {**batch, "status": "completed", "output_file_id": "file-out"})
        server.on("GET", "/v1/files/file-out/content", "\n".join(json.dumps(line) for line in lines))
        assert [one.what for one in collect(Queue(home))] == ["done", "failed"]

    assert jobs[0].result().choices[0].message.content == "Ritz"
    (charged,) = [one for one in traced.spans() if "spanledger.cost.pico_usd" in one["attributes"]]
    assert charged["attributes"]["spanledger.cost.pico_usd"] == 1_250_000_000_000


BATCH: dict[str, Any] = {
    "id": "batch_abc",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "input_file_id": "file-in",
    "completion_window": "24h",
    "created_at": 1_790_000_000,
    "status": "validating",
}


def test_a_batch_that_the_policy_refuses_waits_and_others_are_submitted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path
) -> None:
    write_policy(
        monkeypatch, tmp_path, '[[budget]]\nname = "b"\nmatch = { user_id = "ann" }\nper = "total"\nusd = "0.000001"\n'
    )
    with switched_on(monkeypatch, home), CannedServer() as server:
        server.on("POST", "/v1/files", {"id": "file-in", "object": "file"})
        server.on("POST", "/v1/batches", BATCH)
        store = gate().store
        assert store is not None
        store.set_spent("budget/b/user_id=ann/total", NANO, 0, "usd")
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            jobs = []
            for user in ("ann", "bob", "ann"):
                with spanledger.tags(user_id=user):
                    jobs.append(spanledger.defer(client.chat.completions.create, **CHAT))

        told = sorted(submit(Queue(home)), key=lambda one: one.what)

    assert [(one.what, set(one.ids)) for one in told] == [
        ("batched", {jobs[1].id}),
        ("waits", {jobs[0].id, jobs[2].id}),
    ]
    assert [job.state for job in jobs] == ["waiting", "batched", "waiting"]


def test_a_batch_that_can_not_be_read_is_told_and_another_is_read(
    monkeypatch: pytest.MonkeyPatch, traced: Traced, home: Path
) -> None:
    queue = Queue(home)
    with CannedServer() as server:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            gone, read = (spanledger.defer(client.chat.completions.create, **CHAT) for _ in range(2))
        queue.batched([gone.id], "batch_gone")
        queue.batched([read.id], "batch_abc")
        line = {"custom_id": read.id, "response": {"status_code": 400, "body": {"error": "no"}}}
        server.on("GET", "/v1/batches/batch_abc", {**BATCH, "status": "completed", "output_file_id": "file-out"})
        server.on("GET", "/v1/files/file-out/content", json.dumps(line))

        assert {one.ids: one.what for one in collect(queue)} == {(gone.id,): "waits", (read.id,): "failed"}
        assert gone.state == "batched"

        monkeypatch.setattr(drains, "KEEP_S", -1)
        (told,) = collect(queue)
        assert (told.ids, told.what, told.why[:39]) == ((gone.id,), "failed", "batch_gone can't be read: NotFoundError")


def test_the_command_makes_lists_and_says_what_became_of_each(
    monkeypatch: pytest.MonkeyPatch, traced: Traced, provider: LocalProvider, home: Path
) -> None:
    runner = CliRunner()
    assert "Nothing was put off" in runner.invoke(command, ["--list"]).output
    with _client(provider) as client:
        job = spanledger.defer(client.chat.completions.create, **CHAT)
    (listed,) = runner.invoke(command, ["--list", "--format", "json"]).output.splitlines()
    assert json.loads(listed) | {"at": ""} == {
        "id": job.id,
        "at": "",
        "state": "waiting",
        "sdk": "openai",
        "method": "chat.completions.create",
        "model": "gpt-4o",
        "tags": {},
        "batch": None,
        "error": None,
    }

    done = runner.invoke(command, ["--wait"])

    assert (done.exit_code, done.stdout.split()) == (0, [job.id, "done"])
    assert "done" in runner.invoke(command, ["--list"]).output


@pytest.mark.parametrize(
    ("take", "batch", "state", "others"),
    [
        (drain, None, "waiting", "done"),
        (submit, None, "waiting", "batched"),
        (collect, "batch_abc", "batched", "waiting"),
    ],
)
def test_a_provider_without_a_key_is_left_and_others_get_their_turn(
    monkeypatch: pytest.MonkeyPatch,
    traced: Traced,
    provider: LocalProvider,
    home: Path,
    take: Callable[[Queue], Iterator[Drained]],
    batch: str | None,
    state: str,
    others: str,
) -> None:
    queue = Queue(home)
    with CannedServer() as server:
        server.on("POST", "/v1/messages/batches", {"id": "msgbatch_01", "type": "message_batch"})
        with _client(provider) as client:
            jobs = [spanledger.defer(client.chat.completions.create, **CHAT)]
            jobs += [spanledger.defer(client.embeddings.create, model="text-embedding-3-small", input="Hi")]
        with anthropic.Anthropic(base_url=provider.url if take is drain else server.url, api_key="none") as claude:
            other = spanledger.defer(claude.messages.create, **CLAUDE)
        if batch is not None:
            for number, job in enumerate(jobs):
                queue.batched([job.id], f"{batch}{number}")
        monkeypatch.delenv("OPENAI_API_KEY")

        told = list(take(queue))

    (left,) = [one for one in told if one.what == "left"]
    assert set(left.ids) == {job.id for job in jobs}
    assert left.why.startswith(f"no client of openai for {provider.url}/v1/ can be made: ")
    assert [job.state for job in jobs] == [state, state]
    assert other.state == others


def test_a_batch_that_a_provider_does_not_take_is_left_and_others_are_submitted(traced: Traced, home: Path) -> None:
    with CannedServer() as server:
        server.on("POST", "/v1/files", {"id": "file-in", "object": "file"})
        server.on("POST", "/v1/messages/batches", {"id": "msgbatch_01", "type": "message_batch"})
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            refused = spanledger.defer(client.chat.completions.create, **CHAT)
        with anthropic.Anthropic(base_url=server.url, api_key="none") as claude:
            taken = spanledger.defer(claude.messages.create, **CLAUDE)

        told = {one.ids: (one.what, one.why[:33]) for one in submit(Queue(home))}

    assert told == {
        (refused.id,): ("left", "openai took no batch: NotFoundErr"),
        (taken.id,): ("batched", "msgbatch_01"),
    }
    assert (refused.state, taken.state) == ("waiting", "batched")


def test_the_command_ends_with_what_is_left_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, traced: Traced, provider: LocalProvider, home: Path
) -> None:
    with _client(provider) as client:
        spanledger.defer(client.chat.completions.create, **CHAT)
        spanledger.defer(client.chat.completions.create, **CHAT)
    with anthropic.Anthropic(base_url=provider.url, api_key="none") as claude:
        made = spanledger.defer(claude.messages.create, **CLAUDE)
    monkeypatch.delenv("OPENAI_API_KEY")

    done = CliRunner().invoke(command, ["--wait"])

    assert (done.exit_code, done.stdout.split()) == (1, [made.id, "done"])
    told, advice = done.stderr.splitlines()
    assert told.startswith(f"2 requests are left: no client of openai for {provider.url}/v1/ can be made: ")
    assert advice == "2 requests wait; set what is missing, such as a key in the environment, and run it again."

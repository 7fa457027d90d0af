"""Budgets and what is paid later: a batch is refused before it is made, and results count once however often read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

import spanledger
from canned_server import CannedServer, lines
from guarded import accounts, gate, write_policy
from noon import begin_at_noon
from spanledger import faults, ledger
from spanledger.errors import BudgetExceeded
from spanledger.guard.gate import Gate
from spanledger.guard.paid_later import PaidLater
from spanledger.settings import load
from tracing import MESSAGES, Traced, switched_on

MADE = int(time.time()) // 86_400 * 86_400 - 86_400
POLICY = """
store = "sqlite"
[[budget]]
name = "nights"
match = { feature = "*" }
per = "day"
zone = "UTC"
usd = "0.01"
[[budget]]
name = "one call"
per = "request"
usd = "0.000001"
[[limit]]
name = "a few a minute"
requests_per_minute = 9
tokens_per_minute = 10
concurrent = 1
"""
TODAY = f"budget/nights/feature=nightly/{datetime.fromtimestamp(MADE + 86_400, UTC):%Y-%m-%d}"
YESTERDAY = f"budget/nights/feature=nightly/{datetime.fromtimestamp(MADE, UTC):%Y-%m-%d}"
EACH = 1_750_000
"""Nano-dollars: 1,000 and 100 tokens of gpt-4o at $2.50 and $10 a million, half of that in a batch."""


@pytest.fixture(autouse=True)
def _noon(monkeypatch: pytest.MonkeyPatch) -> None:
    begin_at_noon(monkeypatch, (MADE + 86_400) * 10**9)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    write_policy(monkeypatch, tmp_path, POLICY)
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        yield traced


@pytest.fixture
def server() -> Iterator[CannedServer]:
    with CannedServer() as server:
        server.on("POST", "/v1/batches", {"id": "batch_abc", "object": "batch"})
        server.on("POST", "/v1/messages/batches", {"id": "msgbatch_01", "type": "message_batch"})
        server.on("POST", "/v1/responses", {"id": "resp_1", "object": "response", "status": "queued"})
        yield server


def openai_at(server: CannedServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def batch_of_openai(server: CannedServer) -> None:
    openai_at(server).batches.create(input_file_id="file-in", endpoint="/v1/chat/completions", completion_window="24h")


def batch_of_anthropic(server: CannedServer) -> None:
    client = anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0)
    params: Any = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": MESSAGES}
    client.messages.batches.create(requests=[{"custom_id": "a", "params": params}])


def in_the_background(server: CannedServer) -> None:
    openai_at(server).responses.create(model="gpt-4o", input="Hi", background=True)


def spent() -> dict[str, tuple[int, int, int]]:
    return {one.key: (one.spent, one.held, one.flagged) for one in accounts() if one.kind == "budget"}


@pytest.mark.parametrize("create", [batch_of_openai, batch_of_anthropic, in_the_background])
def test_what_is_paid_later_is_refused_where_the_money_is_spent_and_else_holds_nothing(
    traced: Traced, server: CannedServer, create: Callable[[CannedServer], None]
) -> None:
    with spanledger.tags(feature="nightly"):
        create(server)
        create(server)
    assert spent() == {TODAY: (0, 0, 0)}
    assert [(one.kind, one.held) for one in accounts() if one.kind == "lease"] == [("lease", 0)]
    assert gate().live == {}
    store = gate().store
    assert store is not None
    assert store.charges(2**60, 10) == []

    store.set_spent(TODAY, 10_000_000, 0, "usd")
    with spanledger.tags(feature="nightly"), pytest.raises(BudgetExceeded) as refused:
        create(server)
    assert isinstance(refused.value, openai.RateLimitError | anthropic.RateLimitError)
    assert len(server.seen) == 2
    attributes = traced.spans()[-1]["attributes"]
    assert (attributes["spanledger.guard.action"], attributes["spanledger.guard.policy"]) == ("block", "nights")


def result(number: int, usage: dict[str, int] | None) -> dict[str, Any]:
    body = {
        "id": f"chatcmpl-counted-{number:012}",
        "object": "chat.completion",
        "created": MADE,
        "model": "gpt-4o-2024-08-06",
        "choices": [],
        "usage": usage,
    }
    response = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": f"batch_req_{number:024}", "custom_id": f"task-{number}", "response": response, "error": None}


def test_results_count_once_for_the_day_they_were_made_and_who_asked(
    monkeypatch: pytest.MonkeyPatch, traced: Traced, server: CannedServer
) -> None:
    used = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    content = lines(*(result(number, used) for number in range(20)), result(20, None))
    server.on("GET", "/v1/batches/batch_abc", {"id": "batch_abc", "object": "batch", "output_file_id": "file-out"})
    server.on("GET", "/v1/files/file-out/content", content, kind="application/octet-stream")
    client = openai_at(server)

    with spanledger.tags(feature="nightly"):
        batch_of_openai(server)
    client.batches.retrieve("batch_abc")
    for _ in range(2):
        client.files.content("file-out")
        assert len(traced.spans()) in (21, 41)
        # More than the budget has: the money is gone, and nobody can refuse it.
        assert spent() == {TODAY: (0, 0, 0), YESTERDAY: (20 * EACH, 0, 0)}


def test_results_count_for_the_model_that_answered_as_the_price_book_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: CannedServer
) -> None:
    budgets = "".join(
        f'[[budget]]\nname = "{name}"\nmatch = {{ model = "{name}" }}\nper = "total"\nusd = 1\n'
        for name in ("gpt-4o", "gpt-4o-mini", "gpt-4*")
    )
    write_policy(monkeypatch, tmp_path, budgets)
    used = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    server.on("GET", "/v1/files/file-out/content", lines(result(7, used)), kind="application/octet-stream")
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        openai_at(server).files.content("file-out")
        assert len(traced.spans()) == 1
        assert spent() == {f"budget/{name}/model=gpt-4o/total": (EACH, 0, 0) for name in ("gpt-4o", "gpt-4*")}


def test_another_process_knows_who_asked_for_a_batch_if_it_shares_the_budgets(
    monkeypatch: pytest.MonkeyPatch, traced: Traced, server: CannedServer
) -> None:
    from spanledger import later

    store = gate().store
    assert store is not None
    old = '{"at_ms": 1, "tags": {"feature.id": "gone"}}'
    assert store.put_state("batch/batch_old", old, None)
    used = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    server.on("GET", "/v1/batches/batch_abc", {"id": "batch_abc", "object": "batch", "output_file_id": "file-out"})
    server.on("GET", "/v1/files/file-out/content", lines(result(7, used)), kind="application/octet-stream")
    with spanledger.tags(feature="nightly", user_id="ann"):
        batch_of_openai(server)
    assert list(store.states("batch/")) == ["batch/batch_abc"]
    monkeypatch.setattr(later, "_asked", later.Recent[Any]())
    client = openai_at(server)
    client.batches.retrieve("batch_abc")
    with spanledger.tags(user_id="bob"):
        client.files.content("file-out")

    attributes = traced.spans()[-1]["attributes"]
    assert (attributes["feature.id"], attributes["user.id"]) == ("nightly", "bob")
    assert spent() == {TODAY: (0, 0, 0), YESTERDAY: (EACH, 0, 0)}


def test_a_fault_of_ours_costs_the_count_and_never_the_charge(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: CannedServer
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("told to")

    used = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    server.on("GET", "/v1/files/file-out/content", lines(result(1, used), result(2, used)))
    write_policy(monkeypatch, tmp_path, POLICY)
    seams: list[tuple[type, str]] = [(Gate, "values"), (PaidLater, "_lines")]
    for owner, name in seams:
        with monkeypatch.context() as patch, switched_on(patch, tmp_path / name, faultless=False) as traced:
            patch.setattr(owner, name, broken)
            openai_at(server).files.content("file-out")
            costs = [span["attributes"].get("spanledger.cost.pico_usd") for span in traced.spans()]
            assert costs == [1_750_000_000, 1_750_000_000]


def test_an_answer_that_is_a_week_old_counts_no_more(
    monkeypatch: pytest.MonkeyPatch, traced: Traced, server: CannedServer
) -> None:
    old = result(1, {"prompt_tokens": 1000, "completion_tokens": 100})
    old["response"]["body"]["created"] = MADE - 6 * 86_400
    server.on("GET", "/v1/files/file-out/content", lines(old), kind="application/octet-stream")

    with spanledger.tags(feature="nightly"):
        openai_at(server).files.content("file-out")

    assert len(traced.spans()) == 1
    assert spent() == {}


def test_a_background_answer_counts_for_the_session_that_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: CannedServer
) -> None:
    budget = '[[budget]]\nname = "run"\nper = "session"\nusd = 1\nmatch = { model = "gpt-4o*" }\n'
    write_policy(monkeypatch, tmp_path, budget)
    usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
    answer = {"id": "resp_counted_00000001", "object": "response", "status": "completed", "background": True}
    answer |= {"created_at": MADE, "model": "gpt-4o-2024-08-06", "output": []}
    server.on("POST", "/v1/responses", answer | {"status": "queued"})
    server.on("GET", "/v1/responses/resp_counted_00000001", answer | {"usage": usage})
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        client = openai_at(server)
        with spanledger.tags(session_id="s1"):
            client.responses.create(model="gpt-4o", input="Hi", background=True)
        for _ in range(3):
            client.responses.retrieve("resp_counted_00000001")
        assert len(traced.spans()) == 2
        assert spent() == {"budget/run/model=gpt-4o/session:s1": (3_500_000, 0, 0)}


def queue_full(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ledger.start(), "_settings", replace(load(), queue_size=0))


def no_way_to_send(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("spanledger.ledger.Worker._set_up", lambda _: False)


@pytest.mark.parametrize("spoil", [queue_full, no_way_to_send])
def test_a_background_answer_that_never_reaches_the_ledger_counts_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    server: CannedServer,
    spoil: Callable[[pytest.MonkeyPatch], None],
) -> None:
    write_policy(monkeypatch, tmp_path, POLICY)
    answer_id = f"resp_counted_{spoil.__name__}"
    used = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
    answer = {"id": answer_id, "object": "response", "status": "completed", "background": True}
    answer |= {"created_at": MADE, "model": "gpt-4o-2024-08-06", "output": [], "usage": used}
    server.on("GET", f"/v1/responses/{answer_id}", answer)
    with switched_on(monkeypatch, tmp_path / "home", faultless=False) as traced, spanledger.tags(feature="nightly"):
        client = openai_at(server)
        with monkeypatch.context() as patch:
            spoil(patch)
            client.responses.retrieve(answer_id)
            spanledger.flush()
            assert spent() == {YESTERDAY: (2 * EACH, 0, 0)}
        client.responses.retrieve(answer_id)
        if spoil is queue_full:  # who reads it is told at once that it was not taken
            assert [span["attributes"]["gen_ai.response.id"] for span in traced.spans()] == [answer_id]
        assert spent() == {YESTERDAY: (2 * EACH, 0, 0)}


def test_results_that_find_no_room_are_told_by_their_number_and_count_when_they_are_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: CannedServer
) -> None:
    write_policy(monkeypatch, tmp_path, POLICY)
    used = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    content = lines(*(result(number, used) for number in range(20)), {"custom_id": "failed"})
    server.on("GET", "/v1/files/file-out/content", content, kind="application/octet-stream")
    before = faults.counts()
    with switched_on(monkeypatch, tmp_path / "home", faultless=False) as traced, spanledger.tags(feature="nightly"):
        client = openai_at(server)
        with monkeypatch.context() as patch:
            queue_full(patch)
            client.files.content("file-out")
        told = {kind: count - before.get(kind, 0) for kind, count in faults.counts().items()}
        assert {kind: count for kind, count in told.items() if count} == {
            "results of a batch count nowhere until they are read again: queue full": 20
        }
        client.files.content("file-out")
        assert len(traced.spans()) == 20
        assert spent() == {YESTERDAY: (20 * EACH, 0, 0)}

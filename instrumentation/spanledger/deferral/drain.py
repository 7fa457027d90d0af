"""Draining the queue: each request by itself, as far as the policy lets it, or all of a kind in a provider's batch.

A request that the policy has no room for waits on. Who drains is traced like any application, so what it spends stands
in the ledger under the tags of who had put it off.
"""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from spanledger import tagging
from spanledger.errors import LimitExceeded, Refusal, SpanledgerError

from .queue import Job, Queue

MOST_IN_A_BATCH: Final = 10_000
_GONE: Final = ("expired", "failed", "cancelled")


class DrainError(SpanledgerError):
    """The queue can't be drained; says what to do."""


class Drained(NamedTuple):
    """What became of one request, or of a batch of them."""

    ids: tuple[str, ...]
    what: str
    """done | failed | waits | batched."""
    why: str = ""
    retry_after_s: float | None = None


def drain(queue: Queue, most: int | None = None) -> Iterator[Drained]:
    """Make the requests that wait, one by one; yields what became of each.

    Those of tags that the policy refuses are let be for this time, so that others get their turn.
    """
    held: list[Job] = []
    clients: dict[tuple[str, str], Any] = {}
    try:
        while (most is None or most > 0) and (jobs := queue.take()):
            (job,) = jobs
            if any(job.tags == other.tags and job.method == other.method for other in held):
                held.append(job)
                continue
            drained = _make(queue, job, clients)
            if drained.what == "waits":
                held.append(job)
            most = None if most is None else most - 1
            yield drained
    finally:
        queue.give_back([job.id for job in held])
        for client in clients.values():
            client.close()


def _make(queue: Queue, job: Job, clients: dict[tuple[str, str], Any]) -> Drained:
    client = _client(queue, job, clients)
    token = tagging.current.set(job.tags)
    try:
        answer = job.method.of(client)(**json.loads(job.request))
    except Refusal as refusal:
        return Drained(
            (job.id,), "waits", str(refusal), refusal.retry_after_s if isinstance(refusal, LimitExceeded) else None
        )
    except Exception as error:
        return _failed(queue, job, f"{type(error).__name__}: {error}")
    finally:
        tagging.current.reset(token)
    return _done(queue, job, answer)


def _client(queue: Queue, job: Job, clients: dict[tuple[str, str], Any]) -> Any:
    key = job.method.sdk, job.method.base_url
    if key not in clients:
        try:
            clients[key] = job.method.client()
        except Exception as error:
            queue.give_back([job.id])
            raise DrainError(f"no client of {job.method.sdk} can be made: {error}") from error
    return clients[key]


def _done(queue: Queue, job: Job, answer: Any) -> Drained:
    queue.end(job.id, result=answer.model_dump_json(exclude_unset=True))
    if job.on_result is None:
        return Drained((job.id,), "done")
    try:
        module, _, name = job.on_result.partition(":")
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        found(job.id, answer)
    except Exception as error:
        return Drained((job.id,), "done", f"but {job.on_result} failed: {type(error).__name__}: {error}")
    return Drained((job.id,), "done")


def _failed(queue: Queue, job: Job, why: str) -> Drained:
    queue.end(job.id, error=why)
    return Drained((job.id,), "failed", why)


def submit(queue: Queue) -> Iterator[Drained]:
    """Hand all that waits to the providers' batch APIs, a batch for each method and tags; yields one for each batch."""
    clients: dict[tuple[str, str], Any] = {}
    try:
        while first := next(iter(queue.jobs("waiting")), None):
            jobs = queue.take(most=MOST_IN_A_BATCH, alike=first)
            if not jobs:
                return
            ids = tuple(job.id for job in jobs)
            client = _client(queue, first, clients)
            token = tagging.current.set(first.tags)
            try:
                batch = _SUBMIT[first.method.sdk](client, jobs)
            except Exception as error:
                queue.give_back(ids)
                raise DrainError(f"{first.method.sdk} took no batch: {error}") from error
            finally:
                tagging.current.reset(token)
            queue.batched(ids, batch)
            yield Drained(ids, "batched", batch)
    finally:
        for client in clients.values():
            client.close()


def collect(queue: Queue) -> Iterator[Drained]:
    """Read the results of batches that have ended; yields one for each request."""
    clients: dict[tuple[str, str], Any] = {}
    try:
        by_batch: dict[str, list[Job]] = {}
        for job in queue.jobs("batched"):
            by_batch.setdefault(str(job.batch), []).append(job)
        for batch, jobs in by_batch.items():
            client = _client(queue, jobs[0], clients)
            token = tagging.current.set(jobs[0].tags)
            try:
                results = _COLLECT[jobs[0].method.sdk](client, batch)
                if results is not None:
                    yield from _read(queue, jobs, results)
            finally:
                tagging.current.reset(token)
    finally:
        for client in clients.values():
            client.close()


def _read(queue: Queue, jobs: Iterable[Job], results: Iterable[tuple[str, Any, str]]) -> Iterator[Drained]:
    left = {job.id: job for job in jobs}
    for id, told, error in results:
        job = left.pop(id, None)
        if job is not None:
            yield _done(queue, job, job.method.answer(told)) if told is not None else _failed(queue, job, error)
    for job in left.values():
        yield _failed(queue, job, "the batch ended without an answer for it")


def _submit_openai(client: Any, jobs: list[Job]) -> str:
    lines = "".join(
        json.dumps({"custom_id": job.id, "method": "POST", "url": job.method.url, "body": json.loads(job.request)})
        + "\n"
        for job in jobs
    )
    file = client.files.create(file=("deferred.jsonl", io.BytesIO(lines.encode())), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=jobs[0].method.url, completion_window="24h")
    return str(batch.id)


def _submit_anthropic(client: Any, jobs: list[Job]) -> str:
    requests = [{"custom_id": job.id, "params": json.loads(job.request)} for job in jobs]
    return str(client.messages.batches.create(requests=requests).id)


def _collect_openai(client: Any, batch_id: str) -> Iterator[tuple[str, Any, str]] | None:
    batch = client.batches.retrieve(batch_id)
    if batch.status not in ("completed", *_GONE):
        return None
    return _openai_results(client, batch)


def _openai_results(client: Any, batch: Any) -> Iterator[tuple[str, Any, str]]:
    for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
        for line in client.files.content(file_id).text.splitlines():
            told = json.loads(line)
            response = told.get("response") or {}
            body = response.get("body")
            if response.get("status_code") == 200:
                yield told["custom_id"], body, ""
            else:
                yield told["custom_id"], None, json.dumps(told.get("error") or body or f"batch {batch.status}")


def _collect_anthropic(client: Any, batch_id: str) -> Iterator[tuple[str, Any, str]] | None:
    if client.messages.batches.retrieve(batch_id).processing_status != "ended":
        return None
    return _anthropic_results(client, batch_id)


def _anthropic_results(client: Any, batch_id: str) -> Iterator[tuple[str, Any, str]]:
    for line in client.messages.batches.results(batch_id):
        result = line.result
        if result.type == "succeeded":
            yield line.custom_id, json.loads(result.message.model_dump_json(exclude_unset=True)), ""
        else:
            yield line.custom_id, None, f"{result.type} {getattr(getattr(result, 'error', None), 'error', '')}".rstrip()


_SUBMIT: Final[dict[str, Callable[[Any, list[Job]], str]]] = {
    "openai": _submit_openai,
    "anthropic": _submit_anthropic,
}
_COLLECT: Final[dict[str, Callable[[Any, str], Iterator[tuple[str, Any, str]] | None]]] = {
    "openai": _collect_openai,
    "anthropic": _collect_anthropic,
}

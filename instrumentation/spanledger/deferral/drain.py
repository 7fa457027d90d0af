"""Draining the queue: each request by itself, as far as the policy lets it, or all of a kind in a provider's batch.

A request that the policy has no room for waits on, and so does one that the provider doesn't take now, because it is
away, busy or has a fault. Who drains is traced like any application, so what it spends stands in the ledger under the
tags of who had put it off.
"""

from __future__ import annotations

import importlib
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from spanledger import tagging
from spanledger.errors import LimitExceeded, Refusal

from .methods import Method
from .queue import KEEP_S, Job, Queue

MOST_IN_A_BATCH: Final = 10_000
_PASSING: Final = (408, 409, 429)
"""HTTP statuses below 500 of what another try may help; the SDKs try these again, too."""
_KEY: Final = (401, 402, 403)
"""HTTP statuses that say nothing of the request: whoever asks isn't known, hasn't paid, or isn't let in."""
_GONE: Final = ("expired", "failed", "cancelled")


class Drained(NamedTuple):
    """What became of one request, or of a batch of them."""

    ids: tuple[str, ...]
    what: str
    """done | failed | waits | batched | left: as it was, and will be until somebody does something about it."""
    why: str = ""
    retry_after_s: float | None = None


def drain(queue: Queue, most: int | None = None) -> Iterator[Drained]:
    """Make the requests that wait, one by one; yields what became of each.

    Those of tags that the policy refuses, or of a provider that is away or busy, are let be for this time, so that
    others get their turn.
    """
    held: list[Job] = []
    clients: dict[tuple[str, str], Any] = {}
    passed_over = _PassedOver()
    try:
        while (most is None or most > 0) and (jobs := queue.take()):
            (job,) = jobs
            if job in passed_over:
                held.append(job)
                continue
            drained = _make(queue, job, clients, passed_over)
            if drained.what in ("waits", "left"):
                held.append(job)
            most = most if most is None or drained.what == "left" else most - 1
            yield drained
    finally:
        queue.give_back([job.id for job in held])
        for client in clients.values():
            client.close()


class _PassedOver:
    """Which requests are let be for this time."""

    def __init__(self) -> None:
        self._kinds: list[tuple[Method, Mapping[str, str] | None]] = []
        self._without_client: set[tuple[str, str]] = set()

    def __contains__(self, job: Job) -> bool:
        if _address(job) in self._without_client:
            return True
        return any(job.method == method and tags in (None, job.tags) for method, tags in self._kinds)

    def no_client(self, queue: Queue, job: Job, error: Exception) -> Drained:
        """Let all requests be that need the same client, and say which wait for it as this one does."""
        sdk, base_url = _address(job)
        return self._all_left(queue, job, f"no client of {sdk} for {base_url} can be made: {error}")

    def no_key(self, queue: Queue, job: Job, error: Exception) -> Drained | None:
        """Leave a request as it is that the provider may take under another key; None of any other error.

        Where the key itself isn't taken, all that would go out under it are let be.
        """
        status = getattr(error, "status_code", None)
        if status not in _KEY:
            return None
        sdk, base_url = _address(job)
        why = f"{sdk}'s key isn't taken at {base_url}: {_said(error)}"
        return Drained((job.id,), "left", why) if status == 403 else self._all_left(queue, job, why)

    def _all_left(self, queue: Queue, job: Job, why: str) -> Drained:
        address = _address(job)
        self._without_client.add(address)
        alike = queue.jobs("batched" if job.state == "batched" else "waiting")
        ids = {job.id: None} | {one.id: None for one in alike if _address(one) == address}
        return Drained(tuple(ids), "left", why)

    def no_batch(self, jobs: Sequence[Job], error: Exception) -> Drained:
        """Let requests be that the provider took no batch of."""
        method, tags = jobs[0].method, jobs[0].tags
        self._kinds.append((method, tags))
        return Drained(tuple(job.id for job in jobs), "left", f"{method.sdk} took no batch: {_said(error)}")

    def add(self, jobs: Sequence[Job], error: Exception, *, batch: bool = False) -> Drained | None:
        """Let requests be that another try may help, and say so; None of an error that stays.

        A fault may be one request's alone, so it stops no other one, but for what would be the same `batch` again.
        """
        method, tags, ids = jobs[0].method, jobs[0].tags, tuple(job.id for job in jobs)
        if isinstance(error, Refusal):
            self._kinds.append((method, tags))
            after_s = error.retry_after_s if isinstance(error, LimitExceeded) else None
            return Drained(ids, "waits", str(error), after_s)
        if not _passes(jobs[0], error):
            return None
        if getattr(error, "status_code", None) in (None, 429):
            self._kinds.append((method, None))
        elif batch:
            self._kinds.append((method, tags))
        return Drained(ids, "waits", _said(error))


def _passes(job: Job, error: Exception) -> bool:
    """Say whether another try may help."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status in _PASSING or status >= 500
    return isinstance(error, importlib.import_module(job.method.sdk).APIConnectionError)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _make(queue: Queue, job: Job, clients: dict[tuple[str, str], Any], passed_over: _PassedOver) -> Drained:
    try:
        client = _client(job, clients)
    except Exception as error:
        return passed_over.no_client(queue, job, error)
    token = tagging.current.set(job.tags)
    try:
        answer = job.method.of(client)(**json.loads(job.request))
    except Exception as error:
        return (
            passed_over.add([job], error) or passed_over.no_key(queue, job, error) or _failed(queue, job, _said(error))
        )
    finally:
        tagging.current.reset(token)
    return _done(queue, job, answer)


def _address(job: Job) -> tuple[str, str]:
    return job.method.sdk, job.method.base_url


def _client(job: Job, clients: dict[tuple[str, str], Any]) -> Any:
    """Return the client of a request; raises whatever its SDK does where it can't be made."""
    address = _address(job)
    if address not in clients:
        clients[address] = job.method.client()
    return clients[address]


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
    """Hand all that waits to the providers' batch APIs, a batch for each method and tags; yields one for each batch.

    What the policy refuses, or the provider doesn't take now, waits on.
    """
    clients: dict[tuple[str, str], Any] = {}
    passed_over = _PassedOver()
    try:
        while first := next((job for job in queue.jobs("waiting") if job not in passed_over), None):
            jobs = queue.take(most=MOST_IN_A_BATCH, alike=first)
            if not jobs:
                return
            yield _hand_over(queue, jobs, clients, passed_over)
    finally:
        for client in clients.values():
            client.close()


def _hand_over(queue: Queue, jobs: list[Job], clients: dict[tuple[str, str], Any], passed_over: _PassedOver) -> Drained:
    ids, method = tuple(job.id for job in jobs), jobs[0].method
    try:
        client = _client(jobs[0], clients)
    except Exception as error:
        queue.give_back(ids)
        return passed_over.no_client(queue, jobs[0], error)
    token = tagging.current.set(jobs[0].tags)
    try:
        batch = _SUBMIT[method.sdk](client, jobs)
    except Exception as error:
        queue.give_back(ids)
        return passed_over.add(jobs, error, batch=True) or passed_over.no_batch(jobs, error)
    finally:
        tagging.current.reset(token)
    queue.batched(ids, batch)
    return Drained(ids, "batched", batch)


def collect(queue: Queue) -> Iterator[Drained]:
    """Read the results of batches that have ended; yields one for each request.

    A batch that can't be read is told of, and tried again another time.
    """
    clients: dict[tuple[str, str], Any] = {}
    passed_over = _PassedOver()
    try:
        by_batch: dict[str, list[Job]] = {}
        for job in queue.jobs("batched"):
            by_batch.setdefault(str(job.batch), []).append(job)
        for batch, jobs in by_batch.items():
            if jobs[0] in passed_over:
                continue
            try:
                client = _client(jobs[0], clients)
            except Exception as error:
                yield passed_over.no_client(queue, jobs[0], error)
                continue
            token = tagging.current.set(jobs[0].tags)
            try:
                results = _COLLECT[jobs[0].method.sdk](client, batch)
                if results is not None:
                    yield from _read(queue, jobs, results)
            except Exception as error:
                yield from _unread(queue, batch, error)
            finally:
                tagging.current.reset(token)
    finally:
        for client in clients.values():
            client.close()


def _unread(queue: Queue, batch: str, error: Exception) -> Iterator[Drained]:
    """Leave a batch's requests as they are: it may be another account's, or back soon; until nobody has it any more."""
    left = [job for job in queue.jobs("batched") if job.batch == batch]
    why = f"{batch} can't be read: {_said(error)}"
    if left and left[0].at_s + KEEP_S < time.time() and not _passes(left[0], error):
        for job in left:
            yield _failed(queue, job, why)
    elif left:
        yield Drained(tuple(job.id for job in left), "waits", why)


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

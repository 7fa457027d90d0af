"""Deferral: a request that can wait is written down, and made when spend is normal, or in a batch at half the price.

A synchronous call can't be put off behind its caller's back, so the application says which requests may wait. What is
kept is the request, never a key: `spanledger drain` makes its own client, of the same SDK, from its own environment.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import Callable, Generator
from typing import Any, Final

from spanledger import settings, tagging
from spanledger.errors import SpanledgerError

from .methods import method_of
from .queue import Job, Queue, State

__all__ = ["Deferred", "DeferredError", "defer"]

_LOOK_EVERY_S: Final = 0.25
_OF_A_CALL: Final = frozenset({"extra_body", "extra_headers", "extra_query", "timeout"})
"""Arguments of the SDKs that aren't part of what is asked."""


class DeferredError(SpanledgerError):
    """A request that was put off and came to nothing; says why."""


class Deferred:
    """A request that is to be made later: its id, how far it is, and its answer; also awaitable.

    Made anew from its id, in any process of the same home: `Deferred("3f2a...")`.
    """

    def __init__(self, id: str, *, queue: Queue | None = None) -> None:
        self.id = id
        self._queue = queue or Queue(settings.load().home)

    @property
    def state(self) -> State:
        """How far it is: waiting | running | batched | done | failed.

        Raises:
            DeferredError: nothing is known of it (any more).
        """
        return self._job().state

    def result(self, timeout_s: float | None = None) -> Any:
        """Return the answer, as the SDK's own object, when it is there.

        Raises:
            TimeoutError: it isn't, after `timeout_s` seconds; None waits for as long as it takes.
            DeferredError: the provider refused it, or nothing is known of it.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while (answer := self._answer()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"{self.id} is {self.state}: run `spanledger drain`, and ask again")
            time.sleep(_LOOK_EVERY_S)
        return answer

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        while (answer := self._answer()) is None:
            await asyncio.sleep(_LOOK_EVERY_S)
        return answer

    def _answer(self) -> Any:
        job = self._job()
        if job.state == "failed":
            raise DeferredError(f"{self.id}: {job.error}")
        return job.method.answer(json.loads(job.result)) if job.state == "done" and job.result is not None else None

    def _job(self) -> Job:
        job = self._queue.find(self.id)
        if job is None:
            raise DeferredError(f"{self.id}: no such request in {self._queue.path}; answers are kept for 30 days")
        return job

    def __repr__(self) -> str:
        return f"Deferred({self.id!r})"


def defer(
    call: Callable[..., Any], /, *, on_result: str | Callable[..., Any] | None = None, **request: Any
) -> Deferred:
    """Write a request down that may wait; `spanledger drain` makes it.

    The request stands in SPANLEDGER_HOME/deferred.sqlite (mode 0600), prompt included, until its answer is 30 days old.
    The tags in force go along.

    Args:
        call: The SDK's method, such as `client.chat.completions.create` or `client.messages.create`.
        on_result: A function of a module, or its `package.module:name`, that is called by who drains, with the id and
            the answer.
        request: What the method is called with.

    Raises:
        ValueError: the method can't be put off, or the request can't be written as JSON.
    """
    method = method_of(call)
    left_out = sorted(_OF_A_CALL & request.keys())
    if left_out:
        raise ValueError(f"{', '.join(left_out)}: not kept with a request that is put off; leave it out")
    if request.get("stream"):
        raise ValueError("stream: nobody listens to a request that is put off; leave it out")
    try:
        text = json.dumps(request, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the request can't be written as JSON: {error}; write its messages as plain data") from error
    queue = Queue(settings.load().home)
    id = queue.put(method, text, dict(tagging.current.get()), _callback(on_result))
    return Deferred(id, queue=queue)


def _callback(on_result: str | Callable[..., Any] | None) -> str | None:
    if on_result is None:
        return None
    if not isinstance(on_result, str):
        name = getattr(on_result, "__qualname__", "")
        if not inspect.isfunction(on_result) or "<" in name or on_result.__module__ == "__main__":
            raise ValueError("on_result: needs a function at the top of a module that another process can import")
        return f"{on_result.__module__}:{name}"
    if ":" not in on_result:
        raise ValueError("on_result: expected package.module:name")
    return on_result

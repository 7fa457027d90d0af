"""Sending dead letters again: what can be converted by now goes into the ledger, the rest stays where it is.

Each letter is judged first, by the converter's own code in a process of its own (a letter may be here because it kills
converters), so that what is dead again never travels and never comes back as another file. A letter leaves `dead/`
after the acknowledgement of all that was sent of it: dying in between sends it twice, and the second time its spans are
known by their ids.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger.locks import hold

from .bodies import Body, count_items, cut
from .dead import Letter, body_of, dead_dir, put, remove
from .delivery import Delivery
from .errors import DeliveryError
from .rows import convert
from .signals import convert_records
from .wal import Record

_Key = tuple[bytes, bytes, int]

KILLS: Final = "it still kills the converter"
UNREADABLE: Final = "it can't be read as OTLP"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the converter of today makes of a letter."""

    good: Body | None
    """What can be converted; None for nothing, and then the letter stays as it is."""
    reasons: Counter[str]
    """Why spans stay dead, and how many for each reason."""
    rest: bytes
    """Those spans, where others leave them; else empty."""


@dataclass(slots=True)
class Replayed:
    """What became of the letters."""

    letters: int = 0
    """Looked at."""
    sent_letters: int = 0
    """Of which something was sent, or would be."""
    sent_items: int = 0
    dead_again: Counter[str] = field(default_factory=Counter)
    """What stays, by reason: spans, or whole letters where they can't be read."""


Judge = Callable[[Letter], Verdict]


def replay(
    home: Path,
    chosen: Iterator[Letter],
    open_way: Callable[[], AbstractContextManager[Delivery]] | None,
    *,
    judge: Judge | None = None,
    seen: Callable[[], None] = lambda: None,
) -> Replayed:
    """Send the letters again by the way that `open_way` gives; None only says what would happen.

    Raises:
        DeliveryError: one could not be handed over; it and those after it stay as they are.
    """
    done = Replayed()
    with _alone(home), _Court(judge or judge_letter) as court, _way(open_way) as way:
        for letter in chosen:
            verdict = court.judge(letter)
            if verdict.good is not None and way is not None:
                for part in cut(verdict.good, way.most_bytes):
                    way.send(part, verdict.good.signal)
                _settle(letter, verdict)
            _count(done, verdict)
            seen()
    return done


def judge_letter(letter: Letter) -> Verdict:
    """Convert a letter for a try."""
    body = body_of(letter)
    if body is None:
        return Verdict(None, Counter({UNREADABLE: 1}), b"")
    if not isinstance(body.request, ExportTraceServiceRequest):
        produced = convert_records([Record(time.time_ns(), body.data, body.signal)])
        again = Counter(reason for _, reason in produced.dead)
        return Verdict(None if again else body, again, b"")
    dead = convert([body.data], [time.time_ns()]).dead
    reasons = Counter[str]()
    for one in dead:
        reasons[one.reason] += count_items(body) if one.spans is None else len(_keys(_trace_request(one.spans)))
    if not dead:
        return Verdict(body, reasons, b"")
    if any(one.spans is None for one in dead):
        return Verdict(None, reasons, b"")
    rest = b"".join(one.spans for one in dead if one.spans is not None)
    good = _without(body.request, set(_keys(_trace_request(rest))))
    return Verdict(good, reasons, rest if good else b"")


def _trace_request(data: bytes) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(data)


def _keys(request: ExportTraceServiceRequest) -> list[_Key]:
    return [
        (span.trace_id, span.span_id, span.start_time_unix_nano)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _without(request: ExportTraceServiceRequest, dead: set[_Key]) -> Body | None:
    """Return the spans whose ids and start are not among `dead`: nothing else decides which spans die."""
    left = 0
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            alive = [
                span for span in scope.spans if (span.trace_id, span.span_id, span.start_time_unix_nano) not in dead
            ]
            left += len(alive)
            del scope.spans[:]
            scope.spans.extend(alive)
    return Body("traces", request.SerializeToString(), request) if left else None


def _settle(letter: Letter, verdict: Verdict) -> None:
    """Take a letter out of which all was acknowledged that could be sent, or leave in it what stays dead."""
    if verdict.rest:
        put(letter.path, verdict.rest, "; ".join(verdict.reasons))
    else:
        remove(letter.path)


def _count(done: Replayed, verdict: Verdict) -> None:
    done.letters += 1
    done.dead_again += verdict.reasons
    if verdict.good is not None:
        done.sent_letters += 1
        done.sent_items += count_items(verdict.good)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold off a second replay, which would send what this one is about to take out."""
    folder = dead_dir(home)
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder / ".replaying", 0.0) as held:
        if not held:
            raise DeliveryError(f"another replay is at work on {folder}; wait for it")
        yield


@contextmanager
def _way(open_way: Callable[[], AbstractContextManager[Delivery]] | None) -> Iterator[Delivery | None]:
    if open_way is None:
        yield None
        return
    with open_way() as way:
        yield way


class _Court:
    """Lets a process of its own judge, and starts another where one dies of it."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._pool = self._started()

    def __enter__(self) -> _Court:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def judge(self, letter: Letter) -> Verdict:
        try:
            return self._pool.submit(self._judge, letter).result()
        except BrokenProcessPool:
            self._pool.shutdown()
            self._pool = self._started()
            return Verdict(None, Counter({KILLS: 1}), b"")

    @staticmethod
    def _started() -> ProcessPoolExecutor:
        # A forked child of a process with threads may hang.
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

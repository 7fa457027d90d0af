"""Bringing in what others kept: files of OTLP bodies -> the ledger.

Small bodies are joined, large ones cut, so that a history of a million spans is a few hundred requests; every body is
parsed here first, so that what is wrong with it is said with its file and line. A span that is in the ledger already is
dropped at the commit like any other repeat, so importing twice is importing once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .bodies import ITEMS, Body, count_items, cut, read_body
from .delivery import Delivery
from .errors import BodyRefusedError, MalformedError
from .rows import NEWEST_NS, OLDEST_NS
from .stored import Fault, read_stored
from .wal import Signal

Advance = Callable[[int], None]
Complain = Callable[[str], None]


@dataclass(slots=True)
class Imported:
    """What came in, and what could not."""

    files: int = 0
    bodies: int = 0
    items: dict[Signal, int] = field(default_factory=lambda: {"traces": 0, "logs": 0, "metrics": 0})
    """Spans, log records and metrics that are in the ledger now; repeats among them are dropped at the commit."""
    too_old: int = 0
    """Spans from more than 400 days ago; among the items, kept in dead/ with that reason."""
    ahead: int = 0
    """Spans dated more than a day ahead; likewise."""
    without_ids: int = 0
    """Spans that can't be kept, because they have no valid trace or span id."""
    faults: int = 0
    """Places in the files that could not be read, each of them named."""


def stored_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files of the paths; of folders all that are below, by name, but for hidden ones."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for inside in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in inside.relative_to(path).parts)
            if inside.is_file() and not hidden:
                yield inside


class Importer:
    """Reads one file after the other and hands on what is in it."""

    def __init__(self, delivery: Delivery, complain: Complain, now_ns: int | None = None) -> None:
        self.done = Imported()
        self._delivery = delivery
        self._complain = complain
        self._now_ns = now_ns or time.time_ns()
        self._place = ""
        self._waiting: dict[Signal, bytearray] = {"traces": bytearray(), "logs": bytearray(), "metrics": bytearray()}

    def take_path(self, path: Path, advance: Advance) -> None:
        """Take one file in; `advance` is told how many of its bytes have been read."""
        try:
            with path.open("rb") as file:
                self.take(file, str(path), advance)
        except OSError as error:
            self._blame(f"{path}: {error.strerror}")

    def take(self, file: BinaryIO, name: str, advance: Advance = lambda _: None) -> None:
        """Take in what a file holds.

        Raises:
            DeliveryError: the ledger takes nothing more; what came before is in.
        """
        self.done.files += 1
        found = read = 0
        for stored in read_stored(file):
            if isinstance(stored, Fault):
                self._blame(f"{name}: {stored.place}: {stored.reason}")
            else:
                self._take_body(stored.data, f"{name}: {stored.place}")
            found += 1
            if file.seekable():
                advance(file.tell() - read)
                read = file.tell()
        if not found:
            self._blame(f"{name}: is empty")

    def flush(self) -> None:
        """Hand on what waits to be joined with more."""
        for signal in self._waiting:
            self._send(signal)

    def _take_body(self, data: bytes, place: str) -> None:
        try:
            for body in read_body(data):
                self._take_request(body, place)
        except MalformedError as error:
            self._blame(f"{place}: {error.message}")

    def _take_request(self, body: Body, place: str) -> None:
        self.done.bodies += 1
        self._place = place
        if isinstance(body.request, ExportTraceServiceRequest):
            self._look_at(body.request, place)
        self.done.items[body.signal] += count_items(body)
        for part in cut(body, self._delivery.most_bytes):
            if len(self._waiting[body.signal]) + len(part) > self._delivery.most_bytes:
                self._send(body.signal)
            # Requests written one after the other are one request with the resources of all.
            self._waiting[body.signal] += part

    def _look_at(self, request: ExportTraceServiceRequest, place: str) -> None:
        """Count the spans that will not become rows."""
        oldest, newest, unusable = self._now_ns - OLDEST_NS, self._now_ns + NEWEST_NS, 0
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    start_ns = span.start_time_unix_nano
                    if len(span.trace_id) != 16 or len(span.span_id) != 8 or not any(span.span_id):
                        unusable += 1
                    elif start_ns < oldest:
                        self.done.too_old += 1
                    elif start_ns > newest:
                        self.done.ahead += 1
        if unusable:
            self.done.without_ids += unusable
            self._complain(f"{place}: {unusable} spans have no valid trace or span id")

    def _send(self, signal: Signal) -> None:
        waiting = self._waiting[signal]
        if waiting:
            try:
                self._delivery.send(bytes(waiting), signal)
            except BodyRefusedError as error:
                self._blame(f"{len(waiting)} bytes of {ITEMS[signal]}, up to {self._place}: {error}")
            waiting.clear()

    def _blame(self, words: str) -> None:
        self.done.faults += 1
        self._complain(words)

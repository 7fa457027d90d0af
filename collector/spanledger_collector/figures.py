"""The collector's figures about itself: their names in one table, and how its processes keep and share them.

Each child publishes its own as a small file under `<home>/figures`, which the doors' process reads when somebody asks:
so a scrape waits for no child, and a child that is started again goes on from where it was. What a crash cuts off is
counted again or not at all: figures are for watching, the ledger is in the lake.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

log = logging.getLogger(__name__)

EDGES_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of the buckets of every histogram, seconds."""
_PUBLISH_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Family:
    """One figure, with one value for each combination of its labels."""

    name: str
    """Without what all have in front, `spanledger_collector_`."""
    kind: Literal["counter", "gauge", "histogram"]
    sentence: str
    labels: tuple[str, ...] = ()


FAMILIES: Final = (
    Family("accepted_total", "counter", "Spans, log records, metric points acknowledged, so on disk.", ("signal",)),
    Family("accepted_bytes_total", "counter", "Their bytes in the log.", ("signal",)),
    Family("dropped_total", "counter", "Acknowledged and not kept: the ledger has no use for it.", ("signal",)),
    Family("rejected_total", "counter", "Left out of a request for good: spans without valid ids.", ("signal",)),
    Family("refused_total", "counter", "Refused, to be sent again: no room, or the disk failed.", ("signal",)),
    Family("requests_total", "counter", "Answers by door (http, grpc) and code of HTTP or gRPC.", ("door", "code")),
    Family("adopted_bodies_total", "counter", "Requests taken over from the spool of programs on this machine."),
    Family("ack_seconds", "histogram", "From a request that is read and checked to its acknowledgement."),
    Family("fsync_seconds", "histogram", "One fsync of the log, for all requests that wait for it."),
    Family("wal_backlog_bytes", "gauge", "In the log, not yet in the lake."),
    Family("wal_backlog_age_seconds", "gauge", "Since the oldest request came that is not yet in the lake."),
    Family("wal_waiting_bytes", "gauge", "In memory, waiting for the disk."),
    Family("disk_free_bytes", "gauge", "Room on the disk of the log and on that of the lake.", ("of",)),
    Family("ready", "gauge", "1 while /readyz says so."),
    Family("rows_total", "counter", "Rows made of what was taken, before repeats are dropped.", ("table",)),
    Family("unpriced_total", "counter", "Rows of calls without a price, by reason.", ("reason",)),
    Family("dead_letters_total", "counter", "Put into dead/, because they can't become rows."),
    Family("dead_letters", "gauge", "In dead/ now."),
    Family("dead_bytes", "gauge", "What dead/ takes now."),
    Family("duplicates_total", "counter", "Repeated spans dropped at the commit."),
    Family("superseded_total", "counter", "Spans in the lake that a fuller copy took the place of."),
    Family("lag_seconds", "histogram", "From the first request of a segment until it can be queried, once a segment."),
)
"""All there are, in the order in which /metrics has them."""
NAMES: Final = {family.name: family for family in FAMILIES}

Labels = tuple[str, ...]


@dataclass(slots=True)
class Histogram:
    """How many observations fell into each bucket; the last has no upper end."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(EDGES_S) + 1))
    total_s: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(EDGES_S, seconds)] += 1
        self.total_s += seconds


class Figures:
    """The figures of one process."""

    def __init__(self) -> None:
        self.values: dict[str, Counter[Labels]] = defaultdict(Counter)
        self.histograms: dict[str, Histogram] = defaultdict(Histogram)

    def add(self, name: str, amount: int, *labels: str) -> None:
        """Let a counter grow; `labels` are the values of its labels, in the order of the table."""
        if amount:
            self.values[name][labels] += amount

    def observe(self, name: str, seconds: float) -> None:
        """Count one observation of a histogram."""
        self.histograms[name].observe(seconds)


class StageFigures(Figures):
    """The figures of a child process, going on from what it published last."""

    def __init__(self, home: Path, stage: str) -> None:
        super().__init__()
        self._path = figures_dir(home) / f"{stage}.json"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _read_into(self, self._path)
        self._published = self._content()
        self._published_at = float("-inf")

    def publish(self, *, busy: bool = False) -> None:
        """Let others see them, if anything has changed; while `busy`, at most once a second."""
        if busy and time.monotonic() - self._published_at < _PUBLISH_EVERY_S:
            return
        content = self._content()
        if content == self._published:
            return
        try:
            draft = self._path.with_suffix(".tmp")
            draft.write_text(content, "ascii")
            draft.rename(self._path)
        except OSError as error:  # a full disk: they are tried again, and nothing waits for them
            log.debug("%s could not be written: %s", self._path, error)
            return
        self._published, self._published_at = content, time.monotonic()

    def _content(self) -> str:
        values = {name: [[*labels, amount] for labels, amount in found.items()] for name, found in self.values.items()}
        histograms = {name: [*one.counts, one.total_s] for name, one in self.histograms.items()}
        return json.dumps({"values": values, "histograms": histograms})


def figures_dir(home: Path) -> Path:
    """Return the folder of what the children publish."""
    return home / "figures"


def published(home: Path) -> Figures:
    """Return what all children have published."""
    found = Figures()
    for path in sorted(figures_dir(home).glob("*.json")):
        _read_into(found, path)
    return found


def _read_into(figures: Figures, path: Path) -> None:
    """Add what a file has; what is not of this version's figures is left out."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        content = json.loads(path.read_bytes())
        _add_values(figures, content["values"])
        _add_histograms(figures, content["histograms"])


def _add_values(figures: Figures, values: Mapping[str, Sequence[Sequence[str | int]]]) -> None:
    for name, samples in values.items():
        for *labels, amount in samples:
            if name in NAMES and len(labels) == len(NAMES[name].labels):
                figures.values[name][tuple(map(str, labels))] += int(amount)


def _add_histograms(figures: Figures, histograms: Mapping[str, Sequence[float]]) -> None:
    for name, (*counts, total_s) in histograms.items():
        held = figures.histograms[name] if name in NAMES else Histogram()
        if len(counts) == len(held.counts):
            held.counts = [old + int(new) for old, new in zip(held.counts, counts, strict=True)]
            held.total_s += total_s

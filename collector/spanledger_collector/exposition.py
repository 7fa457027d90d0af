"""The collector's own figures as Prometheus text: those of the doors' process and what its children published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Final

from .dead import dead_dir
from .figures import EDGES_S, FAMILIES, Family, Figures, Histogram, Labels, published
from .intake import Intake
from .readiness import Readiness
from .wal import MARKERS

PREFIX: Final = "spanledger_collector_"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def metrics_text(home: Path, intake: Intake, readiness: Readiness) -> str:
    """Return what /metrics answers."""
    figures = published(home)
    _add_own(figures, home, intake, readiness)
    return "".join(f"{line}\n" for family in FAMILIES for line in _lines(family, figures))


def _add_own(figures: Figures, home: Path, intake: Intake, readiness: Readiness) -> None:
    state = intake.wal_state()
    for signal in MARKERS:  # those that are 0 as well: what is not there can't be watched
        for name in ("accepted_total", "accepted_bytes_total", "dropped_total", "rejected_total", "refused_total"):
            figures.values[name][signal,] += intake.figures.values[name][signal,]
    for (door, code), count in sorted(intake.requests.items()):
        figures.values["requests_total"][door, str(code)] = count
    figures.histograms["ack_seconds"] = intake.figures.histograms["ack_seconds"]
    figures.histograms["fsync_seconds"] = state.fsyncs
    letters, letters_bytes = _dead(dead_dir(home))
    gauges: Mapping[str, Mapping[Labels, int]] = {
        "adopted_bodies_total": {(): intake.adopted_bodies},
        "wal_backlog_bytes": {(): state.backlog_bytes},
        "wal_backlog_age_seconds": {(): round(state.backlog_age_s)},
        "wal_waiting_bytes": {(): state.waiting_bytes},
        "disk_free_bytes": {("log",): state.free_bytes, ("lake",): state.lake_free_bytes},
        "ready": {(): int(not readiness.reason())},
        "dead_letters": {(): letters},
        "dead_bytes": {(): letters_bytes},
    }
    for name, values in gauges.items():
        figures.values[name].update(values)


def _dead(folder: Path) -> tuple[int, int]:
    """Return how many letters there are, and their bytes."""
    sizes = [_size(path) for path in folder.glob("*.pb")]
    return len(sizes), sum(sizes)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # it has just been replayed


def _lines(family: Family, figures: Figures) -> Iterator[str]:
    full = PREFIX + family.name
    yield f"# HELP {full} {family.sentence}"
    yield f"# TYPE {full} {family.kind}"
    if family.kind == "histogram":
        yield from _histogram_lines(full, figures.histograms[family.name])
        return
    samples = figures.values[family.name]
    if not family.labels:
        samples[()] += 0
    for labels, value in sorted(samples.items()):
        yield f"{full}{_braces(family, labels)} {value}"


def _histogram_lines(full: str, histogram: Histogram) -> Iterator[str]:
    counts = list(accumulate(histogram.counts))
    for edge, count in zip((*EDGES_S, "+Inf"), counts, strict=True):
        yield f'{full}_bucket{{le="{edge}"}} {count}'
    yield f"{full}_sum {histogram.total_s}"
    yield f"{full}_count {counts[-1]}"


def _braces(family: Family, labels: Labels) -> str:
    pairs = [f'{name}="{text.translate(_ESCAPES)}"' for name, text in zip(family.labels, labels, strict=True)]
    return f"{{{','.join(pairs)}}}" if pairs else ""

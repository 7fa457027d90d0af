"""The collector's own figures as Prometheus text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .intake import Intake
from .readiness import Readiness
from .wal import MARKERS, Signal


def metrics_text(intake: Intake, readiness: Readiness) -> str:
    """Return what /metrics answers."""
    state = intake.wal_state()
    codes = [(f'{{door="{door}",code="{code}"}}', count) for (door, code), count in sorted(intake.requests.items())]
    families = (
        _family("accepted_total", "counter", "Acknowledged.", _by_signal(intake.accepted)),
        _family("dropped_total", "counter", "Acknowledged, of no use here.", _by_signal(intake.dropped)),
        _family("rejected_total", "counter", "Spans with unusable ids.", _by_signal(intake.rejected)),
        _family("refused_total", "counter", "Refused, to be sent again.", _by_signal(intake.refused)),
        _family("adopted_bodies_total", "counter", "Taken over from the spool.", [("", intake.adopted_bodies)]),
        _family("requests_total", "counter", "Requests by door and code of the answer.", codes),
        _family("wal_backlog_bytes", "gauge", "Logged, not yet committed.", [("", state.backlog_bytes)]),
        _family("wal_waiting_bytes", "gauge", "In memory, waiting for the disk.", [("", state.waiting_bytes)]),
        _family("wal_syncs_total", "counter", "Group commits of the log.", [("", state.syncs)]),
        _family("disk_free_bytes", "gauge", "Room on the disk of the log.", [("", state.free_bytes)]),
        _family("ready", "gauge", "1 while requests are taken.", [("", int(not readiness.reason()))]),
    )
    return "".join(families)


def _by_signal(counts: Mapping[Signal, int]) -> list[tuple[str, int]]:
    return [(f'{{signal="{signal}"}}', counts.get(signal, 0)) for signal in MARKERS]


def _family(name: str, kind: str, sentence: str, samples: Iterable[tuple[str, int]]) -> str:
    full = f"spanledger_collector_{name}"
    lines = [f"# HELP {full} {sentence}", f"# TYPE {full} {kind}"]
    lines += [f"{full}{labels} {value}" for labels, value in samples]
    return "\n".join(lines) + "\n"

"""What a rule is: what it looks at, when it fires, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from spanledger_analytics.reports.question import Where

from .reading import Reading, label_name

if TYPE_CHECKING:
    from spanledger.entries import Entry

    from .lookout import Lookout

SEVERITIES: Final = ("info", "warning", "critical")
LOG: Final = "log"
"""The receiver that is always there: the log of who evaluates."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often what is done; `[alerting]` of the file."""

    every: timedelta = timedelta(seconds=20)
    """Between two evaluations."""
    group_wait: timedelta = timedelta(seconds=30)
    """From the first alert of a group until it is told, so that others come with it."""
    group_interval: timedelta = timedelta(minutes=5)
    """Between two times that a group is told, if something has changed."""
    repeat: timedelta = timedelta(hours=4)
    """Until a group is told again that hasn't changed."""
    external_url: str = ""
    """Where people find more: the address of the dashboard."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of rule."""

    name: str
    keys: Collection[str]
    """Those that only this kind has."""
    read: Callable[[Entry], Any]
    """Makes of an entry what `readings` takes."""
    readings: Callable[[Any, Rule, Lookout], list[Reading]]
    sentence: str
    """What it looks at."""
    waits: bool = True
    """Whether a group's first alert waits for others."""
    once: bool = False
    """Whether an alert is told once, and is over only when nothing is left to look at."""
    takes_by: bool = True
    evaluations: int = 2
    """How many in a row have to trip, unless the rule says so."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    name: str
    kind: Kind
    terms: Any
    """What its kind has read."""
    by: str | None = None
    """Dimension of whose values each has an alert of its own."""
    where: Where = field(default_factory=Where)
    evaluations: int = 2
    cooldown: timedelta = timedelta(minutes=30)
    """From the end of an alert until the same one may fire again."""
    severity: str = "warning"
    labels: Mapping[str, str] = field(default_factory=dict)
    receivers: tuple[str, ...] = (LOG,)

    def labels_of(self, reading: Reading) -> dict[str, str]:
        """Return the labels of the alert that a reading is of."""
        return {
            **self.labels,
            "alertname": self.name,
            "kind": self.kind.name,
            "severity": self.severity,
            "scope": self.scope,
            **reading.scope,
        }

    @property
    def group(self) -> dict[str, str]:
        """Labels that all of its alerts have, and those of no other rule."""
        return {"alertname": self.name, "scope": self.scope}

    @property
    def scope(self) -> str:
        """What its alerts are told apart by."""
        return label_name(self.by) if self.by else "total"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told, and how."""

    name: str
    kind: str
    """log | webhook | alertmanager | email | apprise."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the kind needs; no secrets, but where they stand."""
    send_resolved: bool = True
    timeout_s: int = 10


@dataclass(frozen=True, slots=True)
class Rules:
    """All of a file."""

    rules: tuple[Rule, ...] = ()
    receivers: Mapping[str, Receiver] = field(default_factory=lambda: {LOG: Receiver(LOG, LOG)})
    pace: Pace = Pace()

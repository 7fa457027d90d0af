"""Whether a collector should be sent to now: it has room, and what it takes becomes rows.

With children that keep dying it still takes requests, up to the limit of its log, for those who have no other; but
whoever can choose shouldn't choose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .intake import Intake


class Stage(Protocol):
    """A process that has to run."""

    @property
    def trouble(self) -> str:
        """Why it does not do its work; empty while it does."""
        ...


class Readiness:
    """Asked by /readyz, /metrics and gRPC's health service."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.stages: Sequence[Stage] = ()

    def reason(self) -> str:
        """Return why not to send to it now; empty when all is well."""
        troubles = (stage.trouble for stage in self.stages)
        return self._intake.wal_state().refusal or next(filter(None, troubles), "")

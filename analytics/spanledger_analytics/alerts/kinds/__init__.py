"""The kinds of rules; each module has one, or a few that look at the same."""

from __future__ import annotations

from typing import Final

from spanledger_analytics.alerts.rules import Kind

from .anomaly import ANOMALY
from .budget import BUDGET
from .quiet import SILENCE
from .sessions import SESSION
from .shares import CACHE, RETRY, UNPRICED
from .velocity import VELOCITY

KINDS: Final[dict[str, Kind]] = {
    kind.name: kind for kind in (VELOCITY, BUDGET, ANOMALY, UNPRICED, CACHE, RETRY, SESSION, SILENCE)
}

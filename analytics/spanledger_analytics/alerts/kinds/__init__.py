"""The kinds of rules; each module has one, or a few that look at the same."""

from __future__ import annotations

from typing import Final

from spanledger_analytics.alerts.rules import Kind

from .velocity import VELOCITY

KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in (VELOCITY,)}

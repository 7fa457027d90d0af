"""A clock of the gate that begins at noon, so that no minute, hour, day or month ends within a test."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

DAY_NS = 86_400 * 10**9


def begin_at_noon(monkeypatch: pytest.MonkeyPatch, day_ns: int | None = None) -> None:
    """Have calls be held by a clock that is now at noon of today, or of the day of a moment, in UTC, and goes on."""
    began = time.monotonic_ns()
    noon = (time.time_ns() if day_ns is None else day_ns) // DAY_NS * DAY_NS + DAY_NS // 2
    clock = SimpleNamespace(monotonic=time.monotonic, time_ns=lambda: noon + time.monotonic_ns() - began)
    monkeypatch.setattr("spanledger.guard.gate.time", clock)

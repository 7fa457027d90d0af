"""Where a call's span stands in its trace."""

from __future__ import annotations

import importlib.machinery
import sys
import types

import pytest

from spanledger.record import place_below


def test_a_call_made_while_opentelemetry_is_being_imported_is_a_root(monkeypatch: pytest.MonkeyPatch) -> None:
    half = types.ModuleType("opentelemetry.trace")
    spec = importlib.machinery.ModuleSpec("opentelemetry.trace", None)
    monkeypatch.setattr(spec, "_initializing", True, raising=False)
    half.__spec__ = spec
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", half)

    place = place_below(None)

    assert (place.parent_id, place.parent_sampled) == (None, True)
    assert place.trace_id
    assert place.span_id

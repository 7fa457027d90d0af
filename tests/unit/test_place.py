"""Where a call's span stands in its trace."""

from __future__ import annotations

import importlib.machinery
import sys
import types

import pytest

from spanledger import record
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


def test_copies_of_a_frozen_process_have_ids_of_their_own() -> None:
    """As a function has that is started, many times over, from one snapshot of its memory."""
    frozen = record._random.getstate()
    places = []
    for _ in range(2):
        record._random.setstate(frozen)
        places.append(place_below(None))

    assert places[0].span_id != places[1].span_id
    assert places[0].trace_id != places[1].trace_id

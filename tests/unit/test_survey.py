"""Only traces that may be settled differently than they are booked are read whole."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings

from settled_rows import DAY, NOON, Row, agent, booked, metered, settled, span, traces
from spanledger_collector.row import SCHEMA
from spanledger_collector.survey import COLUMNS, traces_that_may_change


def named(*rows: Row, alike: tuple[Row, ...] = ()) -> set[int]:
    """Return the traces that are to be looked at."""
    found = traces_that_may_change(booked(rows).select(COLUMNS), pa.Table.from_pylist(list(alike), schema=SCHEMA))
    return {int(trace_id, 16) for trace_id in found.to_pylist()}


def test_a_trace_of_ours_with_its_tags_on_every_span_is_passed_over() -> None:
    assert named(span(1, user_id="u"), metered(2, 1, user_id="u"), metered(3, 1, user_id="u")) == set()


@pytest.mark.parametrize(
    "rows",
    [
        [agent(1)],
        [span(1, user_id="u"), metered(2, 1)],
        [metered(1, request_model="gpt-99", response_model="gpt-99")],
        [metered(1), metered(2, dialect="litellm")],
        [metered(1), metered(2, service_name="other")],
        [metered(1, dialect="openinference", response_id=None)],
    ],
    ids=["an agent", "a tag on the root", "no price", "two emitters", "two services", "no id of the answer"],
)
def test_a_trace_that_may_change_is_looked_at(rows: list[Row]) -> None:
    assert named(*rows, metered(9, trace=9, start_time=NOON + DAY)) == {1}


def test_calls_that_share_an_answer_are_looked_at_in_all_their_traces() -> None:
    same: Row = {"response_id": "chatcmpl-0123456789"}
    assert named(metered(1, **same), metered(2, trace=2, **same), metered(3, trace=3)) == {1, 2}
    assert named(metered(1, **same), metered(3, trace=3), alike=(metered(4, trace=4, **same),)) == {1}


@settings(max_examples=30, deadline=None)
@given(traces())
def test_every_trace_that_changes_is_looked_at(rows: list[Row]) -> None:
    changed = {trace for trace, _ in settled(*rows).changes()}
    assert changed <= named(*rows)

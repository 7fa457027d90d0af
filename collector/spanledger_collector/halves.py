"""One call that one emitter tells of in two spans, of which only one has what was used.

A span around a call of the same instrumentation, and Logfire's span of a request whose stream it tells of later, in a
moment of its own. Only a span without any usage gives way, so that no charge can be lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .nameless import LENGTH, MOMENTS, length_us
from .rawspans import Flags, is_word, known

_ASKED: Final = ("request_data", "gen_ai.input.messages")
"""What of Logfire's attributes is the same on the request and on the moment that tells of its stream."""
_SLIP_US: Final = 1_000
_LONGEST_WAIT_US: Final = 60_000_000
"""Between the answer's head and the first look into its stream."""
_NONE: Final = pa.scalar(None, pa.string())


def half_losers(rows: pa.Table, losers: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Yield (row, row of the winner) for inferences without usage that are halves of others; not for `losers`."""
    inference = is_word(rows["role"], "inference")
    silent = inference & is_word(rows["usage_state"], "missing")
    silent[list(losers)] = False
    if not silent.any():
        return
    wrapped = _around(rows, silent, inference & ~silent)
    streamed = _streams(rows, inference)
    for row, winner in {**streamed, **wrapped}.items():
        if silent[row]:
            yield row, losers.get(winner, winner)


def _around(rows: pa.Table, silent: Flags, told: Flags) -> dict[int, int]:
    """Return the silent spans that are parents of a call of the same instrumentation, each with the first of them."""
    children = np.flatnonzero(told & known(rows["parent_span_id"]))
    parents = np.flatnonzero(silent)
    own = _keys(rows, "span_id", parents)
    found = pc.index_in(_keys(rows, "parent_span_id", children), value_set=own)
    places = pc.fill_null(found, -1).to_numpy()
    return {
        int(parents[place]): int(child)
        for place, child in reversed([*zip(places, children, strict=True)])
        if place >= 0
    }


def _keys(rows: pa.Table, span: str, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Array:
    taken = rows.select(["trace_id", span, "scope_name"]).take(pa.array(places))
    texts = [pc.fill_null(column, "") for column in taken.columns]
    joined: pa.ChunkedArray = pc.binary_join_element_wise(*texts, "\n")
    return joined.combine_chunks()


def _streams(rows: pa.Table, inference: Flags) -> dict[int, int]:
    """Return requests, each with the moment that tells of its stream: the last that was answered before it began."""
    places = np.flatnonzero(inference & is_word(rows["dialect"], MOMENTS))
    if not len(places):
        return {}
    taken = rows.take(pa.array(places))
    lengths = pc.map_lookup(taken["attributes"], LENGTH, "first").to_pylist()
    starts = taken["start_time"].cast(pa.int64()).to_numpy()
    lasted = pc.fill_null(taken["duration_us"], 0).to_numpy()
    silent = is_word(taken["usage_state"], "missing")
    asked = _questions(taken)
    open_requests: dict[object, list[int]] = {}
    for row in np.argsort(starts + lasted, kind="stable").tolist():
        if lasted[row] and silent[row]:
            open_requests.setdefault(asked[row], []).append(row)
    found = {}
    for row in np.argsort(starts, kind="stable").tolist():
        if lasted[row] or lengths[row] is None:
            continue
        began = starts[row] - length_us(lengths[row])
        waiting = open_requests.get(asked[row], [])
        fits = [one for one in waiting if 0 <= began + _SLIP_US - starts[one] - lasted[one] <= _LONGEST_WAIT_US]
        if fits:
            waiting.remove(fits[-1])
            found[int(places[fits[-1]])] = int(places[row])
    return found


def _questions(rows: pa.Table) -> list[tuple[str | None, ...]]:
    """Return what has to be the same of both halves."""
    columns = [rows[name].to_pylist() for name in ("scope_name", "service_name", "request_model", "operation")]
    columns += [pc.map_lookup(rows["attributes"], key, "first").to_pylist() for key in _ASKED]
    return list(zip(*columns, strict=True))

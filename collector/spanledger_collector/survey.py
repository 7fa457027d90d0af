"""Which of many traces can be settled any differently than they are booked: most can't, and aren't read whole.

A trace of our own SDK with its tags on every span has nothing to inherit, nobody else told of its calls, and no agent
of it claims usage. That is told by a dozen small columns. When in doubt a trace is named; `settlement` decides.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from spanledger import names

from .ancestry import Flags
from .rawspans import flags, is_word, known
from .settlement import INHERITED, PRICEABLE_LATER
from .tables import SPANS

COLUMNS: Final = (
    "trace_id",
    "start_time",
    "role",
    "scope_name",
    "service_name",
    "dialect",
    "response_id",
    "duplicate_of",
    "unpriced_reason",
    "cost_usd",
    *INHERITED,
)
SCHEMA: Final = pa.schema([SPANS.schema.field(name) for name in COLUMNS])
_Codes = npt.NDArray[np.int64]
_NONE: Final = -1
_NEAR_US: Final = 3_600_000_000
"""Between the starts of two spans of one call: as long as a call may take."""


def traces_that_may_change(spans: pa.Table, alike: pa.Table) -> pa.Array:
    """Return the ids of the traces that have to be looked at.

    `spans` has all spans of the traces with `COLUMNS`; `alike` are the calls of others that share a response_id with
    them.
    """
    trace, trace_ids = _codes(spans["trace_id"])
    calls = is_word(spans["role"], "inference")
    rows = is_word(spans["unpriced_reason"], "aggregate") | known(spans["duplicate_of"])
    rows |= calls & flags(pc.is_in(spans["unpriced_reason"], PRICEABLE_LATER))
    rows |= _told_by_several(spans, trace, calls) | _shared(spans, trace, calls, alike["response_id"])
    rows |= _nameless(spans, calls)
    named = np.zeros(len(trace_ids), np.bool_)
    named[trace[rows]] = True
    for tag in INHERITED:
        named |= _partly_tagged(known(spans[tag]), calls | known(spans["cost_usd"]), trace, len(trace_ids))
    return trace_ids.filter(pa.array(named))


def told_by_others(spans: pa.Table) -> bool:
    """Say whether any call was told of by another emitter than ours."""
    return bool((is_word(spans["role"], "inference") & ~is_word(spans["dialect"], names.SCOPE)).any())


def _partly_tagged(tagged: Flags, leaves: Flags, trace: _Codes, count: int) -> Flags:
    """Return the traces in which a leaf lacks what another span has."""
    has, lacks = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    has[trace[tagged]] = True
    lacks[trace[leaves & ~tagged]] = True
    both: Flags = has & lacks
    return both


def _told_by_several(spans: pa.Table, trace: _Codes, calls: Flags) -> Flags:
    """Return calls whose trace has calls of another scope or service, too."""
    scope, scopes = _codes(spans["scope_name"])
    service, _ = _codes(spans["service_name"])
    emitter = (service + 1) * (len(scopes) + 1) + scope + 1
    several: Flags = calls & (emitter != _first_of(emitter, trace, calls)[trace])
    return several


def _shared(spans: pa.Table, trace: _Codes, calls: Flags, alike: pa.ChunkedArray) -> Flags:
    """Return calls that share their response_id with one of another trace."""
    answer, answers = _codes(spans["response_id"])
    told: Flags = calls & (answer != _NONE)
    if not told.any():
        return told
    first = _first_of(trace, answer, told)
    shared = np.zeros(len(answers), np.bool_)
    shared[answer[told & (trace != first[answer])]] = True
    shared |= flags(pc.is_in(answers, value_set=pc.unique(alike)))
    sharing: Flags = told & shared[answer]
    return sharing


def _nameless(spans: pa.Table, calls: Flags) -> Flags:
    """Return calls of other emitters without a response_id, and those that may be the same, by their time."""
    nameless = calls & ~known(spans["response_id"]) & ~is_word(spans["dialect"], names.SCOPE)
    if not nameless.any():
        return nameless
    start = spans["start_time"].cast(pa.int64()).to_numpy()
    low, high = start[nameless].min() - _NEAR_US, start[nameless].max() + _NEAR_US
    near: Flags = calls & (start >= low) & (start <= high)
    return near


def _first_of(values: _Codes, group: _Codes, rows: Flags) -> _Codes:
    """Return the value of the first of `rows` of each group."""
    first = np.full(int(group.max(initial=_NONE)) + 2, _NONE)  # one more for rows of no group
    first[group[rows][::-1]] = values[rows][::-1]
    return first


def _codes(column: pa.ChunkedArray) -> tuple[_Codes, pa.Array]:
    """Return a number for each distinct text, -1 for NULL, and the texts."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = np.asarray(pc.fill_null(encoded.indices, _NONE).to_numpy(zero_copy_only=False), np.int64)
    return codes, encoded.dictionary

"""Who is above whom: parents and nearest ancestors of all spans of many traces at once.

By pointer doubling: each round lets every span look twice as far up, so a trace that is a chain of 10,000 takes 14
rounds over arrays and no recursion. A parent that isn't there leaves its span at the top; a ring of parents, which
broken emitters make, is cut at its earliest span, as the dashboard draws it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Places = npt.NDArray[np.int64]
"""Numbers of rows, -1 for none."""
Flags = npt.NDArray[np.bool_]


def places_of(trace_ids: pa.ChunkedArray, span_ids: pa.ChunkedArray, spans: pa.Table) -> Places:
    """Return the row of `spans` (trace_id, span_id, each once) that each pair of ids names."""
    keys = pc.binary_join_element_wise(spans["trace_id"], spans["span_id"], "")
    found = pc.index_in(pc.binary_join_element_wise(trace_ids, span_ids, ""), value_set=keys.combine_chunks())
    return np.asarray(pc.fill_null(found, -1).to_numpy(), np.int64)


def version_keys(rows: pa.Table, *further: str) -> pa.Array:
    """Return a text for each row that is the same only for the same version of a row of `spans`, and further times."""
    times = [pc.fill_null(rows[name].cast(pa.int64()).cast(pa.string()), "") for name in ("ingested_at", *further)]
    return pc.binary_join_element_wise(rows["trace_id"], rows["span_id"], *times, " ").combine_chunks()


def parents_of(spans: pa.Table) -> Places:
    """Return the row of each span's parent; `spans` has trace_id, span_id, parent_span_id and start_time."""
    parents = places_of(spans["trace_id"], spans["parent_span_id"], spans)
    parents[parents == np.arange(len(parents))] = -1
    return _without_rings(parents, spans)


def nearest(places: Places, parents: Places, wanted: Flags) -> Places:
    """Return for each row of `places` the first one that is `wanted`, going up from the row itself."""
    target = _tops(parents, wanted)
    found = np.where(places < 0, -1, target[places]) if len(target) else np.full(len(places), -1)
    return np.where((found >= 0) & wanted[found], found, -1) if len(target) else found


def _tops(parents: Places, stops: Flags) -> Places:
    """Return where each row gets to, going up until it is at a stop or at the top."""
    rows = np.arange(len(parents))
    target = np.where(stops | (parents < 0), rows, parents)
    for _ in range(len(parents).bit_length()):
        further = target[target]
        if np.array_equal(further, target):
            break
        target = further
    return target


def _without_rings(parents: Places, spans: pa.Table) -> Places:
    # Whoever isn't at a top after as many steps as there are rows goes round, and is on the ring by then.
    reached = _tops(parents, np.zeros(len(parents), np.bool_))
    ring = np.unique(reached[parents[reached] >= 0]) if len(parents) else reached
    if not len(ring):
        return parents
    picked = spans.select(["start_time", "span_id"]).take(pa.array(ring))
    order = dict(zip(ring.tolist(), zip(*(column.to_pylist() for column in picked.columns), strict=True), strict=True))
    cut = parents.copy()
    while order:
        row = next(iter(order))
        members = []
        while row in order:
            members.append((order.pop(row), row))
            row = int(parents[row])
        cut[min(members)[1]] = -1
    return cut

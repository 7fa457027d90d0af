"""Token counts as emitters have them -> inclusive totals and the disjoint parts that add up to them.

Same meaning as `spanledger.usage.Usage.from_totals`, for a whole batch at once. A count that doesn't fit is not
repaired: its parts stay NULL and `usage_state` says `inconsistent`, so that it isn't priced at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS

Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
STATES: Final = frozenset({"reported", "estimated", "missing", "inconsistent"})
_WITH_COUNTS: Final = ["reported", "estimated"]
_LIMIT: Final = 2**50
"""Tokens of one call, far beyond any."""
_CACHE_WRITES: Final = ("cache_write", "cache_write_5m", "cache_write_1h", "cache_write_12h")
_TOLD_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "cache_read_tokens": ("cache_read",),
    "cache_write_5m_tokens": _CACHE_WRITES,
    "cache_write_1h_tokens": _CACHE_WRITES,
    "cache_write_12h_tokens": _CACHE_WRITES,
    "input_audio_tokens": ("input_audio",),
    "cache_read_audio_tokens": ("cache_read_audio",),
    "input_image_tokens": ("input_image",),
    "reasoning_tokens": ("reasoning",),
    "output_audio_tokens": ("output_audio",),
    "output_image_tokens": ("output_image",),
}
"""Part -> the counts that tell it; the two parts that aren't here are what the others leave over."""


@dataclass(frozen=True, slots=True)
class Count:
    """One whole number per span; 0 where `known` is false."""

    values: Counts
    known: Mask


@dataclass(frozen=True, slots=True)
class Context:
    """What has to be known of the spans to judge their counts."""

    inference: Mask
    input_only: Mask
    """Operations that have no output to report."""
    cut_short: Mask
    """Streams that ended before they told their output; what they gave for it is no count."""
    exclusive: Mask
    """The dialect never counts cached tokens as input."""
    detect: Mask
    """The dialect may or may not."""
    omits_zero: Mask
    """The dialect leaves out parts that are 0; of others, a part that isn't there is unknown."""
    has_units: Mask
    stated: pa.Array
    """usage_state as the emitter gave it."""


def token_columns(wire: Mapping[str, Count], context: Context) -> dict[str, pa.Array]:
    """Return the token columns, usage_state and token_basis from counts named as in `dialects.COUNTS`."""
    wire = {name: _plausible(count) for name, count in wire.items()}
    writes = _cache_writes(wire)
    cached = np.add.reduce([wire["cache_read"].values, *writes])
    summed, wire = _summed(wire, cached)
    stated = np.array([state if state in STATES else "" for state in context.stated.to_pylist()], dtype=object)
    read, out = wire["input"], wire["output"]
    empty = context.inference & (stated == "") & (read.values == 0) & (out.values == 0) & ~context.has_units
    has_input = read.known & ~empty
    has_output = (out.known | (context.input_only & read.known)) & ~empty & ~(context.cut_short & (stated == ""))
    exclusive = has_input & ~summed & (context.exclusive | (context.detect & _leaves_cached_out(wire, cached)))
    apart = has_output & context.detect & _leaves_reasoning_out(wire)
    totals = {
        "input_tokens": read.values + np.where(exclusive, cached, 0),
        "output_tokens": out.values + np.where(apart, wire["reasoning"].values, 0),
    }
    parts = _parts(wire, totals, writes)
    fits = np.all([counts >= 0 for counts in parts.values()], axis=0)
    state = _states(stated, context, has_input, has_output, fits)
    sound = state != "inconsistent"
    basis = np.where(exclusive | (summed & has_input), "exclusive", "inclusive").astype(object)
    columns = {
        **{
            name: _column(totals[name], present & (totals[name] >= 0))
            for name, present in (("input_tokens", has_input), ("output_tokens", has_output))
        },
        "usage_state": pa.array(state, pa.string(), mask=state == ""),
        "token_basis": pa.array(basis, pa.string(), mask=~has_input),
    }
    for names, present in ((INPUT_PARTS, has_input), (OUTPUT_PARTS, has_output)):
        for name in names:
            told = np.any([wire[source].known for source in _TOLD_BY.get(name, ())], axis=0)
            said = context.omits_zero | told if name in _TOLD_BY else present
            columns[name] = _column(parts[name], present & sound & said)
    return columns


def _plausible(count: Count) -> Count:
    """Return the count, -1 where it is absurd: such a span is inconsistent, and sums can't overflow."""
    sane = (count.values >= 0) & (count.values < _LIMIT)
    return Count(np.where(sane, count.values, -1), count.known)


def _cache_writes(wire: Mapping[str, Count]) -> tuple[Counts, Counts, Counts]:
    """Return cache writes for 5 minutes, 1 hour and 12 hours; what has no stated lifetime counts as 5 minutes."""
    long = wire["cache_write_1h"].values + wire["cache_write_12h"].values
    total = np.maximum(wire["cache_write"].values, wire["cache_write_5m"].values + long)
    return total - long, wire["cache_write_1h"].values, wire["cache_write_12h"].values


def _summed(wire: Mapping[str, Count], cached: Counts) -> tuple[Mask, dict[str, Count]]:
    """Return where input is only told in disjoint parts, and the counts with totals made from such parts."""
    told = {"input": wire["input_uncached"], "output": wire["output_text"]}
    others = {
        "input": cached + wire["input_audio"].values + wire["input_image"].values,
        "output": np.add.reduce([wire[name].values for name in ("reasoning", "output_audio", "output_image")]),
    }
    summed = {name: part.known & ~wire[name].known for name, part in told.items()}
    totals = {
        name: Count(
            np.where(summed[name], part.values + others[name], wire[name].values), wire[name].known | summed[name]
        )
        for name, part in told.items()
    }
    return summed["input"], {**wire, **totals}


def _leaves_reasoning_out(wire: Mapping[str, Count]) -> Mask:
    """Return where only with reasoning on top of its output the emitter's own total comes out."""
    total, reasoning = wire["total"], wire["reasoning"].values
    by_total = total.values == wire["input"].values + wire["output"].values + reasoning
    result: Mask = total.known & (reasoning > 0) & by_total & ~wire["output_text"].known
    return result


def _leaves_cached_out(wire: Mapping[str, Count], cached: Counts) -> Mask:
    """Return where the emitter's input can't include its cached tokens."""
    read, out, total = wire["input"].values, wire["output"].values, wire["total"]
    by_total = total.known & (total.values == read + out + cached)
    uncached = wire["input_uncached"]
    by_part = uncached.known & (uncached.values == read)
    result: Mask = (cached > 0) & ((cached > read) | by_total | by_part)
    return result


def _parts(
    wire: Mapping[str, Count], totals: Mapping[str, Counts], writes: tuple[Counts, Counts, Counts]
) -> dict[str, Counts]:
    """Return the disjoint parts; negative where the wire's subsets don't fit into the totals."""
    audio_read = wire["cache_read_audio"].values
    parts = {
        "cache_read_tokens": wire["cache_read"].values - audio_read,
        "cache_write_5m_tokens": writes[0],
        "cache_write_1h_tokens": writes[1],
        "cache_write_12h_tokens": writes[2],
        "cache_read_audio_tokens": audio_read,
        # Without a count of all audio, the cached part of it is all that is known.
        "input_audio_tokens": np.where(wire["input_audio"].known, wire["input_audio"].values - audio_read, 0),
        "input_image_tokens": wire["input_image"].values,
        "reasoning_tokens": wire["reasoning"].values,
        "output_audio_tokens": wire["output_audio"].values,
        "output_image_tokens": wire["output_image"].values,
    }
    said_in = sum((parts[name] for name in INPUT_PARTS if name in parts), np.zeros_like(audio_read))
    said_out = sum((parts[name] for name in OUTPUT_PARTS if name in parts), np.zeros_like(audio_read))
    has_input, has_output = wire["input"].known, wire["output"].known
    parts["input_uncached_tokens"] = np.where(has_input, totals["input_tokens"] - said_in, 0)
    parts["output_text_tokens"] = np.where(has_output, totals["output_tokens"] - said_out, 0)
    return parts


def _states(
    stated: npt.NDArray[np.object_], context: Context, has_input: Mask, has_output: Mask, fits: Mask
) -> npt.NDArray[np.object_]:
    """Return usage_state, empty where nothing is metered."""
    metered = has_input | has_output | context.has_units
    half = context.inference & (has_input != has_output)
    found = np.where(half, "estimated", np.where(metered, "reported", np.where(context.inference, "missing", "")))
    # A usage that is stated and not there would be priced as none: at 0, where it is unknown.
    believed = (stated != "") & (metered | ~np.isin(stated, _WITH_COUNTS))
    found = np.where(believed, stated, found).astype(object)
    found[(has_input | has_output) & ~fits] = "inconsistent"
    return found


def _column(values: Counts, known: Mask) -> pa.Array:
    return pa.array(values, pa.int64(), mask=~known)

"""Where a line of calls began to read less from the prompt cache: the stretch of quarters of an hour that lost most.

Every quarter may be where it began, and every later one where it ended. What each stretch may have lost at most is
reckoned for all of them at once in floats, with room for what these are off; which of them is the worst is then told
by whole numbers, so no float decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

COUNTS: Final = (
    *("calls", "input_tokens", "read_tokens"),
    *("write_5m_tokens", "write_1h_tokens", "write_12h_tokens"),
)
"""What is known of a quarter of an hour, besides `quarter_hour`, when it began."""
LOOKED_BACK: Final = timedelta(days=1)
_QUARTER: Final = timedelta(minutes=15)
_LEAST_BEFORE: Final = 10
_LEAST_AFTER: Final = 5
"""Calls that it takes to know a rate."""
_OFF: Final = 1e-9
"""More than floats are off, of all tokens."""
_AT_ONCE: Final = 256
"""So many beginnings are looked at in one go, which bounds memory."""

_Whole = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quarter:
    """What a line did in a quarter of an hour, or in several."""

    begin: datetime
    calls: int
    input_tokens: int
    read_tokens: int
    write_5m_tokens: int
    write_1h_tokens: int
    write_12h_tokens: int


@dataclass(frozen=True, slots=True)
class Break:
    """Where a line began to read at most half as much of its input as before."""

    begin: datetime
    end: datetime | None
    """None: it goes on."""
    before: Quarter
    """All that it is held against, from its first moment on."""


@dataclass(frozen=True, slots=True)
class _Line:
    """The quarters of a line; an entry a quarter, in order."""

    begins: Sequence[datetime]
    counts: _Whole
    """Shape (quarters, COUNTS)."""
    start: _Whole
    """Place of the first quarter of the day before each."""
    before: _Whole
    """As `counts`: the sum of that day, but for the quarter right before."""


def find_break(quarters: pl.DataFrame) -> Break | None:
    """Return the stretch of quarters (`quarter_hour` and COUNTS, in order) that lost most tokens, None without one.

    At least a fifth of the input was read in the day before it, and at most half as much of it since, in its first
    quarter and in all of it; in its last one tokens were lost. The quarter right before it may be of both, and is held
    against neither. Of equal ones it is the earliest, and the shortest.
    """
    line = _line(quarters)
    worst, begun, count = Fraction(0), -1, 0
    for place, most in _most_possible(line):
        if most < worst:
            break
        lost, length = _most_lost(line, place)
        if lost > worst or (lost == worst and place < begun):
            worst, begun, count = lost, place, length
    if begun < 0:
        return None
    end = begun + count
    over = end < len(line.begins)
    before = Quarter(line.begins[int(line.start[begun])], *line.before[begun].tolist())
    return Break(line.begins[begun], line.begins[end - 1] + _QUARTER if over else None, before)


def _line(quarters: pl.DataFrame) -> _Line:
    moments = quarters["quarter_hour"].dt.epoch("us").to_numpy()
    counts = quarters.select(pl.col(COUNTS).cast(pl.Int64)).to_numpy()
    sums = np.concatenate([np.zeros((1, len(COUNTS)), np.int64), counts.cumsum(axis=0)])
    start = np.searchsorted(moments, moments - LOOKED_BACK // timedelta(microseconds=1))
    end = np.searchsorted(moments, moments - _QUARTER // timedelta(microseconds=1))
    before = np.where((start < end)[:, None], sums[end] - sums[start], 0)
    return _Line(quarters["quarter_hour"].to_list(), counts, start, before)


def _most_possible(line: _Line) -> list[tuple[int, float]]:
    """Return where it may have begun, each with the most tokens that it can have lost, the most first."""
    calls, inputs, reads = line.before[:, :3].T
    _, inputs_now, reads_now = line.counts[:, :3].T.astype(np.float64)
    is_low = 2 * reads_now * inputs <= reads * inputs_now * (1 + _OFF)
    places = np.flatnonzero((calls >= _LEAST_BEFORE) & (5 * reads >= inputs) & is_low)
    found: list[tuple[int, float]] = []
    for first in range(0, len(places), _AT_ONCE):
        some = places[first : first + _AT_ONCE]
        found += zip(some.tolist(), _bounds(line, some).tolist(), strict=True)
    return sorted((one for one in found if one[1] > 0), key=lambda one: -one[1])


def _bounds(line: _Line, places: _Whole) -> _Floats:
    calls, inputs, reads = line.counts[:, :3].T.astype(np.float64)
    rates = (line.before[places, 2] / line.before[places, 1])[:, None]
    since = np.arange(len(calls)) >= places[:, None]
    lost = np.where(since, rates * inputs - reads, 0)
    over_half = np.where(since, 2 * reads - rates * inputs, 0).cumsum(axis=1)
    enough = np.where(since, calls, 0).cumsum(axis=1) >= _LEAST_AFTER
    off = _OFF * inputs.sum() + _OFF
    running = np.where(since & (lost > -off) & (over_half <= off) & enough, lost.cumsum(axis=1), -np.inf)
    most: _Floats = running.max(axis=1) + off
    return most


def _most_lost(line: _Line, place: int) -> tuple[Fraction, int]:
    """Return the most tokens that a stretch from there on lost, and how many quarters it has; else 0, 0."""
    _, inputs, reads, *_ = line.before[place].tolist()
    most = count = calls = running = over_half = 0
    for number, (calls_now, inputs_now, reads_now, *_) in enumerate(line.counts[place:].tolist(), 1):
        lost = reads * inputs_now - inputs * reads_now
        over_half += 2 * inputs * reads_now - reads * inputs_now
        if number == 1 and over_half > 0:
            break
        running, calls = running + lost, calls + calls_now
        if lost > 0 and over_half <= 0 and calls >= _LEAST_AFTER and running > most:
            most, count = running, number
    return Fraction(most, inputs), count

"""Calls that another witness saw too, without the id that the provider gave the answer.

Some emitters never write that id, and none has it for a call that failed. What is left is that both spans are of the
same time, model and tokens, in one trace or at least in one service. That is weaker than an id, so only a better
witness's span can stand for one, and each for one of a scope only, or for two where one of them is a moment, as Logfire
has it for a stream. Of two calls at once, two are counted, whichever pairs are found.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .dialects import BY_NAME, DIALECTS, OTEL
from .rawspans import Flags, flags, is_word, known

_SLACK_US: Final = 250_000
"""Between a call and what is said of it before or after: OpenLLMetry ends its span of a stream before the request is
sent, Logfire tells of a stream's tokens once it is over."""
_EARLIER: Final = 256
_LATER: Final = 32
"""Better sights that are looked at, by their start: a long stream has many that started since."""
_LOOKED_AT: Final = (
    "trace_id",
    "span_id",
    "provider",
    "request_model",
    "response_model",
    "input_tokens",
    "output_tokens",
    "dialect",
    "scope_name",
    "service_name",
    "start_time",
    "duration_us",
)
_UNKNOWN: Final = "unknown_service"
_BEST: Final = tuple(dialect.name for dialect in DIALECTS if dialect.rank <= 1)
"""Whose span may stand for another: ours, and that of the SDK itself."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """What one witness says of a call."""

    row: int
    trace_id: str
    span_id: str
    provider: str | None
    models: frozenset[str]
    tokens: tuple[int | None, int | None]
    rank: int
    scope: str | None
    service: str | None
    start_us: int
    end_us: int


def nameless_losers(rows: pa.Table, losers: Collection[int]) -> Iterator[tuple[int, str]]:
    """Yield (row, span id of the winner) for inferences without an id that a better witness saw; not for `losers`."""
    inference = is_word(rows["role"], "inference")
    best = flags(pc.fill_null(pc.is_in(rows["dialect"], pa.array(_BEST)), False))
    nameless = inference & ~known(rows["response_id"]) & ~is_word(rows["dialect"], _BEST[0])
    nameless[list(losers)] = False
    winners = inference & best
    winners[list(losers)] = False
    if not nameless.any() or not winners.any():
        return
    better = sorted(_sights(rows, winners), key=_start)
    taken: set[tuple[int, str | None, bool]] = set()
    for sight in sorted(_sights(rows, nameless), key=_start):
        for winner in _candidates(sight, better):
            mark = (winner.row, sight.scope, sight.start_us == sight.end_us)
            if mark not in taken and winner.rank < sight.rank and _same(sight, winner):
                taken.add(mark)
                yield sight.row, winner.span_id
                break


def _candidates(sight: _Sight, better: list[_Sight]) -> list[_Sight]:
    """Return the better sights that are near in time: the first that is free is taken, as calls come in turn."""
    place = bisect(better, sight.start_us, key=_start)
    return better[max(place - _EARLIER, 0) : place + _LATER]


def _same(one: _Sight, other: _Sight) -> bool:
    return (
        one.start_us <= other.end_us + _SLACK_US
        and other.start_us <= one.end_us + _SLACK_US
        and (not one.models or not other.models or not one.models.isdisjoint(other.models))
        and all(a is None or b is None or a == b for a, b in zip(one.tokens, other.tokens, strict=True))
        and (one.trace_id == other.trace_id or (one.service == other.service and _one_provider(one, other)))
    )


def _one_provider(one: _Sight, other: _Sight) -> bool:
    return one.provider is None or other.provider is None or one.provider == other.provider


def _service(name: str | None) -> str | None:
    """Return a service's name; one that nobody named is `unknown_service`, or has the program's name after that."""
    return _UNKNOWN if name is not None and name.startswith(f"{_UNKNOWN}:") else name


def _start(sight: _Sight) -> int:
    return sight.start_us


def _sights(rows: pa.Table, which: Flags) -> list[_Sight]:
    places = np.flatnonzero(which)
    picked = rows.select(_LOOKED_AT).take(pa.array(places))
    starts = picked["start_time"].cast(pa.int64()).to_pylist()
    return [
        _Sight(
            row=place,
            trace_id=row["trace_id"],
            span_id=row["span_id"],
            provider=row["provider"],
            models=frozenset(filter(None, (row["request_model"], row["response_model"]))),
            tokens=(row["input_tokens"], row["output_tokens"]),
            rank=BY_NAME[row["dialect"] or OTEL.name].rank,
            scope=row["scope_name"],
            service=_service(row["service_name"]),
            start_us=start_us,
            end_us=start_us + (row["duration_us"] or 0),
        )
        for place, start_us, row in zip(places.tolist(), starts, picked.to_pylist(), strict=True)
    ]

"""Calls that another witness saw too, without the id that the provider gave the answer.

Some emitters never write that id, and none has it for a call that failed. What is left is that both spans are of the
same time, model and tokens, and that something links them: one is the other's parent, both are of one service and of
one trace or one process, or our process says that the other emitter was in it. Without that, two calls of a service
that only look alike stay two, because a charge must not be lost. Only a better witness's span can stand for one, and
each for one of a scope only, or for two where one of them is a moment, as Logfire has it for a stream. Of two calls at
once, two are counted, whichever pairs are found.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spanledger import names

from .dialects import BY_NAME, DIALECTS, OTEL
from .rawspans import Flags, flags, is_word, known

_SLACK_US: Final = 250_000
"""Between a call and what is said of it before or after: OpenLLMetry ends its span of a stream before the request is
sent, Logfire tells of a stream's tokens once it is over."""
_EARLIER: Final = 256
_LATER: Final = 32
"""Better sights that are looked at, by their start: a long stream has many that started since."""
LOOKED_AT: Final = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "provider",
    "request_model",
    "response_model",
    "input_tokens",
    "output_tokens",
    "usage_state",
    "dialect",
    "scope_name",
    "service_name",
    "start_time",
    "duration_us",
)
_IDENTITY: Final = ("service.instance.id", "host.name", "process.pid")
"""What of a resource tells its process."""
MOMENTS: Final = "logfire"
LENGTH: Final = "duration"
"""Logfire's span of a stream is the moment at which it was dropped, with the seconds since its begin beside."""
_UNKNOWN: Final = "unknown_service"
_BEST: Final = tuple(dialect.name for dialect in DIALECTS if dialect.rank <= 1)
"""Whose span may stand for another: ours, and that of the SDK itself."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """What one witness says of a call."""

    row: int
    trace_id: str
    span_id: str
    parent: tuple[str, str | None]
    """As `own`, of the span above."""
    provider: str | None
    models: frozenset[str]
    tokens: tuple[int | None, int | None]
    estimated: bool
    rank: int
    scope: str | None
    service: str | None
    process: tuple[str | None, ...]
    beside: tuple[str, ...]
    """Beginnings of the scopes that this one's process has, too."""
    start_us: int
    end_us: int
    moment: bool

    @property
    def own(self) -> tuple[str, str]:
        """Identify the span."""
        return self.trace_id, self.span_id


def nameless_losers(rows: pa.Table, losers: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yield (row, row of the winner) for inferences without an id that a better witness saw; not for `losers`."""
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
            mark = (winner.row, sight.scope, sight.moment)
            if mark not in taken and winner.rank < sight.rank and _same(sight, winner):
                taken.add(mark)
                yield sight.row, winner.row
                break


def _candidates(sight: _Sight, better: list[_Sight]) -> list[_Sight]:
    """Return the better sights that are near in time: the first that is free is taken, as calls come in turn."""
    place = bisect(better, sight.start_us, key=_start)
    return better[max(place - _EARLIER, 0) : place + _LATER]


def _same(sight: _Sight, winner: _Sight) -> bool:
    return (
        sight.start_us <= winner.end_us + _SLACK_US
        and winner.start_us <= sight.end_us + _SLACK_US
        and (not sight.models or not winner.models or not sight.models.isdisjoint(winner.models))
        and (winner.estimated or all(map(_covers, winner.tokens, sight.tokens)))
        and _linked(sight, winner)
    )


def _covers(tokens: int | None, told: int | None) -> bool:
    """Whether the winner has what the other tells: a charge is not dropped for a span that has none."""
    return told is None or told == (tokens or 0)


def _linked(sight: _Sight, winner: _Sight) -> bool:
    if sight.parent == winner.own or winner.parent == sight.own:
        return True
    if sight.service != winner.service:
        return False
    told = [one == other for one, other in zip(sight.process, winner.process, strict=True) if one and other]
    if not all(told):
        return False
    if sight.trace_id == winner.trace_id:
        return True
    return (bool(told) or _is_beside(sight, winner)) and _one_provider(sight, winner)


def _is_beside(sight: _Sight, winner: _Sight) -> bool:
    return (sight.scope or "").replace("-", "_").startswith(winner.beside)


def _one_provider(one: _Sight, other: _Sight) -> bool:
    return one.provider is None or other.provider is None or one.provider == other.provider


def _service(name: str | None) -> str | None:
    """Return a service's name; one that nobody named is `unknown_service`, or has the program's name after that."""
    return _UNKNOWN if name is not None and name.startswith(f"{_UNKNOWN}:") else name


def _start(sight: _Sight) -> int:
    return sight.start_us


def _sights(rows: pa.Table, which: Flags) -> list[_Sight]:
    places = pa.array(np.flatnonzero(which))
    picked = rows.select(LOOKED_AT).take(places)
    resources, attributes = rows["resource"].take(places), rows["attributes"].take(places)
    return [
        _sight(place, row, start_us, process, beside, length)
        for place, row, start_us, process, beside, length in zip(
            places.to_pylist(),
            picked.to_pylist(),
            picked["start_time"].cast(pa.int64()).to_pylist(),
            zip(*(_texts(resources, key) for key in _IDENTITY), strict=True),
            _texts(resources, names.BESIDE),
            _texts(attributes, LENGTH),
            strict=True,
        )
    ]


def _texts(column: pa.ChunkedArray, key: str) -> list[str | None]:
    found: list[str | None] = pc.map_lookup(column, key, "first").to_pylist()
    return found


def _sight(
    place: int,
    row: dict[str, Any],
    start_us: int,
    process: tuple[str | None, ...],
    beside: str | None,
    length: str | None,
) -> _Sight:
    duration_us = row["duration_us"] or 0
    lasted_us = length_us(length) if duration_us == 0 and row["dialect"] == MOMENTS else 0
    return _Sight(
        row=place,
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent=(row["trace_id"], row["parent_span_id"]),
        provider=row["provider"],
        models=frozenset(filter(None, (row["request_model"], row["response_model"]))),
        tokens=(row["input_tokens"], row["output_tokens"]),
        estimated=row["usage_state"] == "estimated",
        rank=BY_NAME[row["dialect"] or OTEL.name].rank,
        scope=row["scope_name"],
        service=_service(row["service_name"]),
        process=process,
        beside=tuple(filter(None, (beside or "").strip('"').split(","))),
        start_us=start_us - lasted_us,
        end_us=start_us + duration_us,
        moment=duration_us == 0,
    )


def length_us(seconds: str | None) -> int:
    """Return how long the stream lasted of which a moment tells."""
    try:
        return max(int(float(seconds or 0) * 1_000_000), 0)
    except (OverflowError, ValueError):
        return 0

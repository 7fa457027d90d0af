"""Windows of the price book as people read them: when each is charged, and dollars a million tokens and a unit.

The first window that holds is charged, so what an earlier one takes from a later one is cut off before it is shown:
a list of prices has no line that nobody pays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from spanledger.instants import DAY_NS, END_OF_TIME, EVERY_DAY
from spanledger.rates import TOKEN_METERS, Window

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIDNIGHT: Final = "T00:00:00Z"
"""End of an instant that is written as a date where that is shorter."""
WHEN: Final = ("from", "to", "days", "hours", "input")


def charged(windows: Sequence[Window]) -> Iterator[Window]:
    """Yield what is charged of each window: its periods less those in which an earlier one holds whenever it does."""
    for number, window in enumerate(windows):
        periods = [(window.from_ns, window.to_ns)]
        for earlier in windows[:number]:
            if _covers(earlier, window):
                periods = [rest for period in periods for rest in _less(period, (earlier.from_ns, earlier.to_ns))]
        yield from (replace(window, from_ns=start, to_ns=end) for start, end in periods)


def charged_at(windows: Sequence[Window], at_ns: int) -> list[Window]:
    """Return what is charged on the day of an instant: one window, or one for each hour, weekday and tier."""
    return [window for window in charged(windows) if window.from_ns <= at_ns < window.to_ns]


def _covers(one: Window, other: Window) -> bool:
    """Tell whether a call that the other takes by hour, day and tier is taken by the one, too."""
    return (
        one.daily_from_ns <= other.daily_from_ns
        and other.daily_to_ns <= one.daily_to_ns
        and one.weekdays & other.weekdays == other.weekdays
        and one.above <= other.above
        and other.up_to <= one.up_to
    )


def _less(whole: tuple[int, int], cut: tuple[int, int]) -> list[tuple[int, int]]:
    parts = [(whole[0], min(whole[1], cut[0])), (max(whole[0], cut[1]), whole[1])]
    return [(start, end) for start, end in parts if start < end]


def when(window: Window) -> dict[str, str]:
    """Return when a window holds, by WHEN; empty texts where it always does."""
    return period(window.from_ns, window.to_ns) | condition(window)


def period(from_ns: int, to_ns: int) -> dict[str, str]:
    """Return a period; an open end is empty."""
    return {
        "from": "" if from_ns <= -END_OF_TIME else moment(from_ns),
        "to": "" if to_ns >= END_OF_TIME else moment(to_ns),
    }


def condition(window: Window) -> dict[str, str]:
    """Return what besides the period decides whether a window holds."""
    days = [day for number, day in enumerate(_DAYS) if window.weekdays >> number & 1]
    whole = (window.daily_from_ns, window.daily_to_ns) == (0, DAY_NS)
    return {
        "days": "" if window.weekdays == EVERY_DAY else ",".join(days),
        "hours": "" if whole else f"{_clock(window.daily_from_ns)}-{_clock(window.daily_to_ns)}",
        "input": (f">{window.above}" if window.above >= 0 else "")
        + (f"<={window.up_to}" if window.up_to < END_OF_TIME else ""),
    }


def in_words(told: dict[str, str]) -> str:
    """Join what `when` tells, midnight as a date."""
    return " ".join(f"{key} {told[key].removesuffix(MIDNIGHT)}" for key in WHEN if told.get(key))


def prices(window: Window) -> dict[str, str]:
    """Return dollars a million tokens and a unit, without meters that cost what an earlier one of their kind does."""
    shown: dict[str, str] = {}
    kinds: dict[str, set[int]] = {"input": set(), "output": set()}
    for meter, rate in zip(TOKEN_METERS, window.token_rates, strict=True):
        kind = kinds[kind_of(meter)]
        if rate is not None and rate not in kind:
            kind.add(rate)
            shown[meter] = dollars(rate * 10**6)
    return shown | fees(window)


def fees(window: Window) -> dict[str, str]:
    """Return dollars a unit, a request among them."""
    found = {unit: rate for unit, rate in window.unit_rates.items() if not unit.endswith("_tokens")}
    if window.request_rate:
        found["requests"] = window.request_rate
    return {unit: f"${dollars(rate)}" for unit, rate in found.items()}


def kind_of(meter: str) -> str:
    """Return the side of a call that a token meter is on."""
    return "output" if meter.startswith(("output", "reasoning")) else "input"


def dollars(atto: int) -> str:
    """Write atto-dollars as dollars, in full."""
    whole, rest = divmod(atto, 10**18)
    return f"{whole}.{rest:018}".rstrip("0").rstrip(".")


def moment(at_ns: int) -> str:
    """Write an instant (UTC)."""
    return (_EPOCH + timedelta(microseconds=at_ns // 1000)).isoformat().replace("+00:00", "Z")


def instant_of(at: datetime) -> int:
    """Return nanoseconds since 1970 of a time in UTC."""
    return (at.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1) * 1000


def _clock(day_ns: int) -> str:
    minutes = day_ns // (60 * 10**9)
    return f"{minutes // 60:02}:{minutes % 60:02}"

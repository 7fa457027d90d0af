"""Windows of budgets: the hour, day, week or month that a moment belongs to, in a time zone.

A window's name is part of the account's key, so that a new one begins at nothing without anybody resetting it. Hours
carry their offset: of the hour that a change to winter time repeats, each is a window of its own.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

Per: TypeAlias = Literal["request", "session", "hour", "day", "week", "month", "total"]

_SESSION_DAYS: Final = 31
"""So many days after its first call a session's account ends."""
_TRACE_MS: Final = 86_400_000
"""So long after its first call that of a trace does, of which there is one for each request that names no session."""
_HOUR_MS: Final = 3_600_000
_UTC: Final = ZoneInfo("UTC")
_NEVER_MS: Final = 32_503_680_000_000
"""The year 3000."""


class Window(NamedTuple):
    """A stretch of time: from its start up to, without, its end; Unix milliseconds."""

    name: str
    from_ms: int
    until_ms: int

    def holds(self, at_ms: int) -> bool:
        """Tell whether a moment is in it."""
        return self.from_ms <= at_ms < self.until_ms


class Trace(str):
    """The id of a trace, where it stands for a session, as a call names none."""

    __slots__ = ()


def session_until(session: str, at_ms: int) -> int:
    """Return when the account of a session, or of a `Trace`, ends whose first call is made now."""
    return at_ms + _TRACE_MS if isinstance(session, Trace) else window("session", at_ms, _UTC).until_ms


def window(per: Per, at_ms: int, zone: ZoneInfo, billing_day: int = 1) -> Window:
    """Return the window that a moment belongs to; months begin on `billing_day`."""
    if per in ("total", "request"):
        return Window(per, 0, _NEVER_MS)
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    if per == "session":
        start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        return Window(per, _ms(start), _ms(start + timedelta(days=_SESSION_DAYS)))
    if per == "hour":
        return _hour(at_ms, zone)
    first, after = _days(per, moment.astimezone(zone).date(), billing_day)
    return Window(_name(per, first), _midnight(first, zone), _midnight(after, zone))


def _hour(at_ms: int, zone: ZoneInfo) -> Window:
    """Return the hour on the clock of the zone; shorter where the clock is changed within it, by half an hour say."""
    offset_ms = _offset_ms(at_ms, zone)
    begin = at_ms - (at_ms + offset_ms) % _HOUR_MS
    start = datetime.fromtimestamp(begin // 1000, timezone(timedelta(milliseconds=offset_ms)))
    last = begin + _HOUR_MS - 1
    from_ms = begin if _offset_ms(begin, zone) == offset_ms else _change(begin, at_ms, zone)
    until_ms = last + 1 if _offset_ms(last, zone) == offset_ms else _change(at_ms, last, zone)
    return Window(start.strftime("%Y-%m-%dT%H%z"), from_ms, until_ms)


def _offset_ms(at_ms: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(at_ms // 1000, zone).utcoffset()
    return 0 if offset is None else offset // timedelta(milliseconds=1)


def _change(before: int, after: int, zone: ZoneInfo) -> int:
    """Return the first millisecond of the offset that holds at the end of a stretch, and didn't at its beginning."""
    changed = _offset_ms(after, zone)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset_ms(middle, zone) == changed:
            after = middle
        else:
            before = middle
    return after


def _days(per: Per, today: date, billing_day: int) -> tuple[date, date]:
    """Return the first day of a window, and the first of the next one."""
    if per == "day":
        return today, today + timedelta(days=1)
    if per == "week":
        first = today - timedelta(days=today.weekday())
        return first, first + timedelta(days=7)
    first = today.replace(day=billing_day)
    if first > today:
        first = (first.replace(day=1) - timedelta(days=1)).replace(day=billing_day)
    return first, (first.replace(day=1) + timedelta(days=32)).replace(day=billing_day)


def _name(per: Per, first: date) -> str:
    if per == "week":
        year, week, _ = first.isocalendar()
        return f"{year}-W{week:02}"
    if per == "month" and first.day == 1:
        return f"{first:%Y-%m}"
    return first.isoformat() if per == "day" else f"{per} from {first.isoformat()}"


def _midnight(day: date, zone: ZoneInfo) -> int:
    """Return when a day begins; where the clock skips midnight, that is right after."""
    return _ms(datetime.combine(day, time(), zone).astimezone(UTC))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

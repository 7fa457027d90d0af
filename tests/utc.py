"""Days and instants, written short."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta


def day(text: str) -> date:
    """Read a date."""
    return date.fromisoformat(text)


def instant_ns(text: str) -> int:
    """Read a date or a time, UTC; nanoseconds since 1970."""
    since = datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1) * 1000

"""How alerts are told to people: small pieces of sentences, and a whole notification as text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from .reading import NOT_SAID

_HUNDRED: Final = 100


def who(by: str | None, value: str | None) -> str:
    """Return whom a sentence is about, with a colon behind it; nothing where it is about all calls."""
    return "" if by is None else f"{by} {value or NOT_SAID}: "


def percent_of(part: Decimal, whole: Decimal) -> str:
    """Return `312 % of`, or `against` where the whole is nothing."""
    return f"{rounded(part * _HUNDRED / whole)} % of" if whole else "against"


def rounded(number: Decimal, places: int = 0) -> str:
    """Return a number with so many places, without zeros that say nothing."""
    shown = number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return f"{shown:,f}"


def minutes_of(length: timedelta) -> str:
    """Return a length of time in minutes."""
    minutes = length // timedelta(minutes=1)
    return f"{minutes:,} minute{'' if minutes == 1 else 's'}"


def title(payload: Mapping[str, Any]) -> str:
    """Return the first line of a notification."""
    count = len(payload["alerts"])
    more = f" ({count} alerts)" if count > 1 else ""
    return f"[{payload['status']}] {payload['groupLabels']['alertname']}{more}"


def text(payload: Mapping[str, Any]) -> str:
    """Return the lines of a notification after its title, one an alert."""
    lines = [
        f"{alert['status']} since {alert['startsAt']}: {alert['annotations']['summary']}"
        + (f" (over at {alert['endsAt']})" if alert["status"] == "resolved" else "")
        for alert in payload["alerts"]
    ]
    return "\n".join([*lines, *([payload["externalURL"]] if payload["externalURL"] else [])])

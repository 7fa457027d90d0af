"""What the reader looks at, and its form in the address bar.

The URL is the only state: a pasted link, Back and a reload all restore the view. It is written whole by `go` and
nothing else. (Streamlit can bind filter widgets to the URL, but a bound widget drops a value that it does not
offer: a link to a team that has no calls this month would silently show everybody's money.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

import streamlit as st

from spanledger_analytics.spend import ALL, DIMENSIONS, Filters

PERIODS: Final = (7, 14, 30, 90)
"""Days that the first level can show."""
_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_SPAN: Final = re.compile(r"[0-9a-f]{16}")


class BadLinkError(ValueError):
    """A URL that does not name a view; the message is for the reader."""


@dataclass(frozen=True, slots=True)
class View:
    """One place in the drill-down: all days, a day, an hour, a user, or a trace."""

    days: int = 30
    """Length of the first level."""
    day: date | None = None
    """UTC."""
    hour: int | None = None
    """UTC; None under a day is the whole day."""
    user: str | None = None
    """The empty text is calls without a user."""
    trace: str | None = None
    span: str | None = None
    """Picked within the trace."""
    filters: Filters = ALL

    def parameters(self) -> dict[str, str]:
        """Return the view as query parameters, defaults left out."""
        named = {
            "days": str(self.days) if self.days != View().days else None,
            "d": self.day.isoformat() if self.day else None,
            "h": None if self.hour is None else str(self.hour),
            "u": self.user,
            "t": self.trace,
            "s": self.span,
        } | dict(self.filters.parameters())
        return {name: value for name, value in named.items() if value is not None}

    def top(self) -> View:
        """Return the first level with the same filters."""
        return View(days=self.days, filters=self.filters)

    def at_day(self, day: date) -> View:
        """Go down to a day."""
        return replace(self.top(), day=day)

    def at_hour(self, hour: int) -> View:
        """Go down to an hour of the day."""
        return replace(self.top(), day=self.day, hour=hour)

    def at_user(self, user: str) -> View:
        """Go down to a user of the hour or day."""
        return replace(self.top(), day=self.day, hour=self.hour, user=user)

    def at_trace(self, trace: str) -> View:
        """Go down to a trace."""
        return replace(self, trace=trace, span=None)

    def at_span(self, span: str | None) -> View:
        """Pick a span within the trace."""
        return replace(self, span=span)

    def filtered(self, dimension: str, value: str | None) -> View:
        """Change one filter and stay at the same level."""
        return replace(self, filters=replace(self.filters, **{dimension: value}))


def parse(parameters: Mapping[str, str]) -> View:
    """Read a view from query parameters.

    Raises:
        BadLinkError: a value that can't be read, or a level without the one above it.
    """
    view = View(
        days=_days(parameters.get("days")),
        day=_day(parameters.get("d")),
        hour=_hour(parameters.get("h")),
        user=parameters.get("u"),
        trace=_hex(parameters.get("t"), _TRACE, "trace", 32),
        span=_hex(parameters.get("s"), _SPAN, "span", 16),
        filters=Filters(**{name: parameters.get(name) for name in DIMENSIONS}),
    )
    if view.day is None and (view.hour, view.user, view.trace) != (None, None, None):
        raise BadLinkError("This link names an hour, a user or a trace, but no day.")
    return view


def go(view: View) -> None:
    """Show another view: write the URL once, and nothing else."""
    st.query_params.from_dict(view.parameters())


def _days(text: str | None) -> int:
    if text is None:
        return View().days
    if text not in {str(period) for period in PERIODS}:
        raise BadLinkError(f"This link asks for {text!r} days; there are {', '.join(map(str, PERIODS))}.")
    return int(text)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise BadLinkError(f"This link names the day {text!r}, which is no date like 2026-11-03.") from None


def _hour(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and int(text) < 24):
        raise BadLinkError(f"This link names the hour {text!r}; hours go from 0 to 23.")
    return int(text)


def _hex(text: str | None, pattern: re.Pattern[str], noun: str, digits: int) -> str | None:
    if text is not None and not pattern.fullmatch(text):
        raise BadLinkError(f"This link names the {noun} {text!r}; an id has {digits} hexadecimal digits.")
    return text

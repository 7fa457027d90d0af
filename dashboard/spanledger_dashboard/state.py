"""What the reader looks at, and its form in the address bar.

`View` is a place in Explore's drill-down, `Window` what any other page looks at. The URL is the only state: a pasted
link, Back and a reload all restore the view. It is written whole by `go` and nothing else. (Streamlit can bind filter
widgets to the URL, but a bound widget drops a value that it does not offer: a link to a team that has no calls this
month would silently show everybody's money.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final, ParamSpec

import streamlit as st

from spanledger_analytics.reports.calendar import FIRST_DAY, LAST_DAY, Calendar, Period
from spanledger_analytics.reports.question import TAG, Question, Where
from spanledger_analytics.spend import ALL, DIMENSIONS, Filters

PERIODS: Final = (7, 14, 30, 90)
"""Days that the first level can show."""
_OF_DAYS: Final = ("days", "from", "to")
_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_SPAN: Final = re.compile(r"[0-9a-f]{16}")
_LEVEL: Final = ("d", "h", "u", "t")
"""The parameters that tell Explore's levels apart."""
_LONGEST: Final = timedelta(days=400)
"""The lake holds nothing older."""
Own = Mapping[str, Sequence[str]]
"""A page's own parameters: name to what they can be, the first unless another is named; nothing: any text."""
NONE: Final[Own] = MappingProxyType({})
_Args = ParamSpec("_Args")


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
    """May stand without a day, which the lake is then asked for."""
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

    def lasting(self, days: int) -> View:
        """Return the first level over as many days, with the same filters."""
        return View(days=days, filters=self.filters)

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
        """Change one filter (`tag.KEY` is that of a tag) and stay at the same level."""
        return replace(self, filters=self.filters.narrowed(dimension, value))


@dataclass(frozen=True, slots=True)
class Window:
    """What a page other than Explore looks at: some days, filters, and what the page itself can be told."""

    period: Period
    """Days of the reader's calendar."""
    days: int | None = 30
    """How long the period is where it ends today; None where its days were named."""
    filters: Filters = ALL
    own: Mapping[str, str] = field(default_factory=dict)
    """Values of the page's own parameters; '' is one of any text that isn't named."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """What `own` is where the address says nothing."""
    usual: int = View().days
    """What `days` is where the address says nothing."""

    def parameters(self) -> dict[str, str]:
        """Return the window as query parameters, defaults left out."""
        if self.days is None:
            named = {"from": f"{self.period.first}", "to": f"{self.period.last}"}
        else:
            named = {} if self.days == self.usual else {"days": f"{self.days}"}
        named |= {name: value for name, value in self.filters.parameters().items() if value is not None}
        return named | {name: value for name, value in self.own.items() if value != self.defaults.get(name, "")}

    def lasting(self, days: int) -> Window:
        """Look at as many days, the last of them today."""
        today = self.period.calendar.today()
        return replace(self, days=days, period=_lasting(days, today, self.period.calendar))

    def spanning(self, first: date, last: date) -> Window:
        """Look at these days, both inclusive."""
        return replace(self, days=None, period=Period(first, last, self.period.calendar))

    def filtered(self, dimension: str, value: str | None) -> Window:
        """Change one filter."""
        return replace(self, filters=self.filters.narrowed(dimension, value))

    def told(self, **own: str) -> Window:
        """Change some of the page's own parameters."""
        return replace(self, own={**self.own, **own})

    def question(self, by: Sequence[str] = (), where: Where = Where()) -> Question:  # noqa: B008 - frozen
        """Return what a report is asked: these days, what the filters leave, and what more `where` says."""
        picked = {name: (value,) for name, value in self.filters.parameters().items() if value is not None}
        return Question(self.period, tuple(by), Where({**where.only, **picked}, where.but))

    def view(self) -> View:
        """Return the first level of Explore with the same filters, over about as many days."""
        wanted = self.days or self.period.days
        return View(days=next((days for days in PERIODS if days >= wanted), PERIODS[-1]), filters=self.filters)


def window(
    parameters: Mapping[str, str],
    own: Own = NONE,
    calendar: Calendar = Calendar(),  # noqa: B008 - frozen
    usual: int = View().days,
) -> Window:
    """Read a window from query parameters; `usual` is for how many days, where they don't say.

    Raises:
        BadLinkError: a value that can't be read.
    """
    defaults = {name: values[0] if values else "" for name, values in own.items()}
    told = {name: _own(name, parameters.get(name, defaults[name]), values) for name, values in own.items()}
    filters = Filters.of(parameters)
    today = calendar.today()
    if "from" in parameters or "to" in parameters:
        return Window(_named(parameters, calendar, today), None, filters, told, defaults, usual)
    days = _days(parameters.get("days", f"{usual}"))
    return Window(_lasting(days, today, calendar), days, filters, told, defaults, usual)


def carried(parameters: Mapping[str, str], *, days: bool, filters: bool) -> dict[str, str]:
    """Return the query parameters that another page takes over: those of days, and of filters where it shows them."""
    named = {*(_OF_DAYS if days else ()), *(DIMENSIONS if filters else ())}
    return {name: value for name, value in parameters.items() if name in named or (filters and name.startswith(TAG))}


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
        filters=Filters.of(parameters),
    )
    if view.day is None and (view.hour, view.user) != (None, None):
        raise BadLinkError("This link names an hour or a user, but no day.")
    return view


def is_trace(text: str) -> bool:
    """Tell whether a text can be the id of a trace."""
    return _TRACE.fullmatch(text) is not None


def go(place: View | Window) -> None:
    """Show another view or window, from a callback: write the URL once and, of a window, draw all of its page.

    The cards of a page have what is asked from it: one that is drawn by itself answers what was asked before.
    """
    st.query_params.from_dict(place.parameters())
    if isinstance(place, Window):
        st.rerun()


def go_from(place: View | Window) -> None:
    """Do what `go` does, and draw all of the page in any case: its navigation takes days and filters along."""
    st.query_params.from_dict(place.parameters())
    st.rerun()


def while_here(act: Callable[_Args, None]) -> Callable[_Args, None]:
    """Return the callback of a widget that keeps its value: it does nothing once Explore shows another level.

    A browser sends the values of all its widgets with every event, those of the level before as long as it hasn't heard
    that they are gone. Streamlit has forgotten them by then, and takes them for picked just now.
    """
    drawn = _level()

    def acted(*args: _Args.args, **kwargs: _Args.kwargs) -> None:
        if _level() == drawn:
            act(*args, **kwargs)

    return acted


def _level() -> tuple[str | None, ...]:
    return tuple(st.query_params.get(name) for name in _LEVEL)


def _lasting(days: int, today: date, calendar: Calendar) -> Period:
    return Period(today - timedelta(days=days - 1), today, calendar)


def _named(parameters: Mapping[str, str], calendar: Calendar, today: date) -> Period:
    last = _day(parameters.get("to")) or today
    first = _day(parameters.get("from")) or last
    if first > last:
        raise BadLinkError(f"This link asks for the days from {first} to {last}, which are none.")
    if last - first >= _LONGEST:
        raise BadLinkError(f"This link asks for {(last - first).days + 1} days; at most {_LONGEST.days} can be shown.")
    return Period(first, last, calendar)


def _own(name: str, value: str, values: Sequence[str]) -> str:
    if values and value not in values:
        raise BadLinkError(f"This link asks for {name} {value!r}; there are {', '.join(values)}.")
    return value


def _days(text: str | None) -> int:
    if text is None:
        return View().days
    if text not in {str(period) for period in PERIODS}:
        raise BadLinkError(f"This link asks for {text!r} days; there are {', '.join(map(str, PERIODS))}.")
    return int(text)


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise BadLinkError(f"This link names the day {text!r}, which is no date like 2026-11-03.") from None
    if not FIRST_DAY <= day <= LAST_DAY:
        raise BadLinkError(f"This link names the day {day}; days go from {FIRST_DAY} to {LAST_DAY}.")
    return day


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

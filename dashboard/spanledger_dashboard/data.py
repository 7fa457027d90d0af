"""Answers of the lake, kept as long as the files of the days they are about do not change.

While calls come in, only today's files change. So a question over many days is asked in two halves, the days that
are over and today, and only the second is asked again. A report that takes long is not asked again at once: it may be
as old as a few times what it took. The cached functions take the question or the report by name, so that all of them
share a few bounded caches.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import polars as pl
import streamlit as st
from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx

from spanledger import settings
from spanledger.lake_path import LakePath, lake_path
from spanledger_analytics import drill, live, spend
from spanledger_analytics.connection import Ledger, noting
from spanledger_analytics.controls.turned_away import turned_away
from spanledger_analytics.controls_seen import controls_seen
from spanledger_analytics.corrections import corrections
from spanledger_analytics.reports import spend as spend_report
from spanledger_analytics.reports.answer import Answer, Report, Value
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.reports.totals import add_up, totals
from spanledger_analytics.scope import Scope
from spanledger_analytics.snapshot import LakeFiles, files_now
from spanledger_analytics.spend import Filters
from spanledger_analytics.unpriced import unpriced_models
from spanledger_collector.tables import CORRECTIONS, SETTLEMENTS

from .charts.colours import palette
from .viewer import NoAccessError, shown_scope

_QUESTIONS: Final[Mapping[str, Callable[..., pl.DataFrame]]] = MappingProxyType(
    {
        "days": spend.days,
        "days_by_model": spend.days_by_model,
        "hours": spend.hours,
        "hours_by_model": spend.hours_by_model,
        "filter_values": spend.filter_values,
        "tag_values": spend.tag_values,
        "unpriced": spend.unpriced,
        "unpriced_models": unpriced_models,
        "corrections": corrections,
        "controls_seen": controls_seen,
        "turned_away": turned_away,
        "users": drill.users,
        "requests": drill.requests,
        "trace": drill.trace,
        "span": drill.span,
        "live_minutes": live.minutes,
    }
)
Argument = date | datetime | int | str | tuple[str, ...] | Filters | None
Stamp = tuple[int | datetime | None, ...]
"""Changes when an answer may."""
_DAY: Final = timedelta(days=1)
_QUARTER_MINUTES: Final = 15
"""Reports count open days to the last full quarter of an hour."""
_LEDGERS: Final = 64
"""Lakes and scopes that are open at a time; each has two connections to DuckDB."""
_LIMIT_S: Final = 60
"""What takes longer is stopped, and said."""
_REPORTS: Final = 512
"""Answers of reports that are kept."""
_LONG_S: Final = 0.5
_REST: Final = 20
"""A report that takes longer than that is asked again after so many times as long."""
_TAGGED: Final = timedelta(days=7)
"""How far back tags are looked for that can be picked; others can be typed."""
_KNOWN: Final = timedelta(days=89)
"""How far back filters and colours look."""
_AT_ONCE: Final = 4
"""Questions that are asked at the same time: more are no quicker on two cores."""
_KNOWN_S: Final = 20
"""How old what they offer may be; it is looked up again behind the page."""

_EXACT: Final[dict[str | type[Any], Callable[[Any], Any]]] = dict.fromkeys((Scope, Question, Filters, tuple), repr)
"""How keys of caches are told apart. By Streamlit's own way `("a", "b")` and `("astr:b",)` are the same, so a team of
such a name would be shown what is kept for two others."""


@st.cache_resource(max_entries=_LEDGERS, show_spinner=False, hash_funcs=_EXACT)
def _open(lake: str, scope: Scope) -> Ledger:
    return Ledger(lake_path(lake), scope, limit_s=_LIMIT_S)


@st.cache_data(max_entries=1024, show_spinner=False, hash_funcs=_EXACT)
def _ask(lake: str, scope: Scope, stamp: int, question: str, arguments: tuple[Argument, ...]) -> pl.DataFrame:
    return _QUESTIONS[question](_open(lake, scope), *arguments)


@dataclass(frozen=True, slots=True)
class _Reported:
    """A report as it was once answered."""

    answer: Answer
    queries: list[str]
    until: float
    """So long it does, by the monotonic clock, whatever comes meanwhile."""


@st.cache_data(max_entries=_REPORTS, show_spinner=False, hash_funcs=_EXACT)
def _report(
    lake: str, scope: Scope, stamp: Stamp, name: str, asked: Question, options: tuple[tuple[str, Value], ...]
) -> _Reported:
    start = time.monotonic()
    with noting() as queries:
        answer = REPORTS[name].answer(_open(lake, scope), asked, **dict(options))
    end = time.monotonic()
    return _Reported(answer, queries, end + (_REST * (end - start) if end - start >= _LONG_S else 0))


@st.cache_resource(show_spinner=False)
def _stamps() -> dict[Hashable, Stamp]:
    """Return by which stamp each report was answered last."""
    return {}


@st.cache_data(max_entries=512, show_spinner=False, hash_funcs=_EXACT)
def _totals(lake: str, scope: Scope, stamp: Stamp, asked: Question) -> pl.DataFrame:
    return totals(_open(lake, scope), asked)


@st.cache_data(ttl=_KNOWN_S, max_entries=_LEDGERS, show_spinner=False, refresh_mode="background", hash_funcs=_EXACT)
def _known(lake: str, scope: Scope, today: date, has_calls: bool) -> dict[str, list[str]]:
    found = spend.filter_values(_open(lake, scope), today - _KNOWN, today)
    ordered = found.sort("cost_usd", "value", descending=[True, False], nulls_last=True)
    return {name: ordered.filter(pl.col("dimension") == name)["value"].to_list() for name in spend.DIMENSIONS}


class Lake:
    """The lake that this dashboard shows, as far as a scope; its methods are the questions of spanledger_analytics.

    `allow` is called before each: it raises where whoever looks may not see it any more. A page hands a lake to parts
    that are drawn again by themselves, for as long as it is open.
    """

    def __init__(self, path: LakePath, scope: Scope, allow: Callable[[], object] = lambda: None) -> None:
        # Everything that is kept is kept under this, and the ledger is opened by it.
        self._place = str(path), scope
        self._opened = _open(*self._place)
        self._allow = allow

    @property
    def _key(self) -> tuple[str, Scope]:
        self._allow()
        return self._place

    @property
    def _ledger(self) -> Ledger:
        self._allow()
        return self._opened

    @property
    def scope(self) -> Scope:
        """As far as what is seen of the lake."""
        return self._key[1]

    @property
    def is_whole(self) -> bool:
        """Whether all calls may be seen."""
        return self.scope.is_everything

    def is_empty(self) -> bool:
        """Tell whether nothing was ever collected here."""
        return self._ledger.version() < 1

    def files(self) -> LakeFiles:
        """Return what is live now, for SQL over the views."""
        return files_now(self._ledger.lake)

    def days(self, first: date, last: date, filters: Filters) -> pl.DataFrame:
        """See `spend.days`."""
        return self._by_halves("days", first, last, filters)

    def day(self, day: date, filters: Filters, days: int) -> pl.DataFrame:
        """Return the totals of a day; where it is one of so many up to today, of what is kept of them all."""
        today = now().date()
        first = today - (days - 1) * _DAY
        # With tags, all spans of those days would have to be read.
        if filters.tags or not first <= day <= today:
            return self.days(day, day, filters)
        return self.days(first, today, filters).filter(pl.col("dt") == day)

    def days_by_model(self, first: date, last: date, filters: Filters) -> pl.DataFrame:
        """See `spend.days_by_model`."""
        return self._by_halves("days_by_model", first, last, filters)

    def unpriced(self, first: date, last: date, filters: Filters) -> pl.DataFrame:
        """See `spend.unpriced`."""
        reasons = self._by_halves("unpriced", first, last, filters)
        summed = reasons.group_by("reason", "model").agg(pl.col("calls").sum())
        return summed.sort("calls", "reason", "model", descending=[True, False, False])

    def unpriced_models(self, first: date, last: date) -> pl.DataFrame:
        """See `unpriced.unpriced_models`."""
        return self._asked("unpriced_models", first, last, first, last)

    def controls_seen(self, first: date, last: date) -> Mapping[str, Any]:
        """See `controls_seen.controls_seen`; its one row."""
        return self._asked("controls_seen", first, last, first, last).row(0, named=True)

    def turned_away(self, first: date, last: date, by_session: tuple[str, ...]) -> pl.DataFrame:
        """See `controls.turned_away.turned_away`."""
        return self._asked("turned_away", first, last, first, last, by_session)

    def corrections(self) -> pl.DataFrame:
        """See `corrections.corrections`."""
        stamp = hash(tuple(file for table in (CORRECTIONS, SETTLEMENTS) for file in self._ledger.files_of(table)))
        return _ask(*self._key, stamp, "corrections", ())

    def filter_values(self, first: date, last: date) -> pl.DataFrame:
        """See `spend.filter_values`; the days must be over."""
        return self._asked("filter_values", first, last, first, last)

    def tag_values(self) -> pl.DataFrame:
        """See `spend.tag_values`: those of the last UTC days that are over and today."""
        today = now().date()
        return self._asked("tag_values", today - _TAGGED, today, today - _TAGGED, today)

    def hours(self, day: date, filters: Filters) -> pl.DataFrame:
        """See `spend.hours`."""
        return self._asked("hours", day, day, day, filters)

    def hours_by_model(self, day: date, filters: Filters) -> pl.DataFrame:
        """See `spend.hours_by_model`."""
        return self._asked("hours_by_model", day, day, day, filters)

    def users(self, day: date, hour: int | None, filters: Filters) -> pl.DataFrame:
        """See `drill.users`."""
        return self._asked("users", day, day, day, hour, filters)

    def requests(self, day: date, hour: int | None, user: str, filters: Filters) -> pl.DataFrame:
        """See `drill.requests`."""
        return self._asked("requests", day - _DAY, day, day, hour, user, filters)

    def trace(self, day: date, trace_id: str) -> pl.DataFrame:
        """See `drill.trace`."""
        return self._asked("trace", day - _DAY, day + _DAY, day, trace_id)

    def day_of_trace(self, trace_id: str) -> date | None:
        """Return the UTC day on which a trace began, by a look at all days; None where it isn't in the lake."""
        began = self._asked("trace", None, None, None, trace_id)["start_time"].to_list()
        return min(began).date() if began else None

    def span(self, day: date, trace_id: str, span_id: str) -> pl.DataFrame:
        """See `drill.span`."""
        return self._asked("span", day - _DAY, day + _DAY, day, trace_id, span_id)

    def outcomes(self, day: date, trace_id: str, sessions: Sequence[str]) -> pl.DataFrame:
        """See `drill.outcomes`; never cached, because it is told of spans long after they came."""
        return drill.outcomes(self._ledger, day, trace_id, sessions)

    def report(self, name: str, asked: Question, **options: Value) -> Answer:
        """Ask a report of `spanledger report` by its name; options that aren't named have their defaults.

        Raises:
            QuestionError: it can't be asked that; the message is for the reader.
        """
        if name == spend_report.SPEND.name:
            return spend_report.of_totals(self.totals(asked), asked)
        return self._reported(name, asked, options).answer

    def queries(self, name: str, asked: Question, **options: Value) -> list[str]:
        """Return the names of the SQL files that a report is made of; asked right after it, it costs nothing."""
        if name == spend_report.SPEND.name:
            return ["totals"]
        return self._reported(name, asked, options).queries

    def totals(self, asked: Question) -> pl.DataFrame:
        """See `reports.totals.totals`; only the days that aren't over are asked again while calls come in."""
        halves = [replace(asked, period=period) for period in _halves(asked.period)]
        frames = [_totals(*self._key, self._stamp(half, half.period.utc_days()[0]), half) for half in halves]
        return frames[0] if len(frames) == 1 else add_up(pl.concat(frames), asked.by)

    def rate(self, moment: datetime) -> live.Rate:
        """See `live.rate`; never cached, because time alone changes it."""
        return live.rate(self._ledger, moment)

    def minutes(self, moment: datetime) -> pl.DataFrame:
        """See `live.minutes`."""
        return self._asked("live_minutes", moment.date() - _DAY, moment.date(), moment.replace(second=0, microsecond=0))

    def known(self) -> dict[str, list[str]]:
        """Return the values of each filter, dearest first, up to this UTC day, which some readers are a day behind."""
        return _known(*self._key, now().date(), not self.is_empty())

    def colours(self) -> Mapping[str, str]:
        """Return every model's colour."""
        return palette(self.known()["model"])

    def _reported(self, name: str, asked: Question, options: Mapping[str, Value]) -> _Reported:
        report = REPORTS[name]
        if not report.of_lake:
            return _Reported(report.answer(self._ledger, asked, **options), [], 0)
        # The weeks before tell what is usual, and days to compare with may lie anywhere.
        whole = ".." in str(options.get("against"))
        stamp = self._stamp(asked, None, report, whole=whole)
        told = tuple(sorted(options.items()))
        last, key = _stamps(), (*self._key, name, repr(asked), told)  # conditions can't be hashed
        if key in last and (latest := _report(*self._key, last[key], name, asked, told)).until > time.monotonic():
            return latest
        last.pop(key, None)
        last[key] = stamp
        while len(last) > _REPORTS:
            last.pop(next(iter(last)), None)
        return _report(*self._key, stamp, name, asked, told)

    def _stamp(
        self, asked: Question, first: date | None, report: Report | None = None, *, whole: bool = False
    ) -> Stamp:
        """Return the stamp of the days from `first` on to the last asked about, or all, and of what else is read."""
        files = self._ledger.stamp(first, None if whole else asked.period.utc_days()[1])
        if report is None:
            return (files,)
        moment = now()
        clock = moment.replace(minute=moment.minute // _QUARTER_MINUTES * _QUARTER_MINUTES, second=0, microsecond=0)
        is_open = asked.period.end > moment or bool(report.beside)
        beside = (hash(tuple(self._ledger.files_of(table))) for table in report.beside)
        return files, clock if is_open else None, *beside

    def _asked(self, question: str, first: date | None, last: date | None, *arguments: Argument) -> pl.DataFrame:
        """Answer from the cache while the files of `first` to `last` stay as they are."""
        return _ask(*self._key, self._ledger.stamp(first, last), question, arguments)

    def _by_halves(self, question: str, first: date, last: date, filters: Filters) -> pl.DataFrame:
        halves = _split(first, last, now().date())
        return pl.concat([self._asked(question, *half, *half, filters) for half in halves])


def at_once(*asks: Callable[[], pl.DataFrame]) -> list[pl.DataFrame]:
    """Ask several questions at the same time, and return their answers in that order.

    A level asks up to seven, most of a hundredth of a second and none of which keeps a core busy by itself. Those that
    are asked again by themselves are answered from the cache.
    """
    session = get_script_run_ctx()

    def asked(ask: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        # Who looks, and what they may see, belongs to the session.
        add_script_run_ctx(ctx=session)
        return ask()

    return list(_askers().map(asked, asks))


@st.cache_resource(show_spinner=False)
def _askers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_AT_ONCE, "ask")


def _split(first: date, last: date, today: date) -> Iterator[tuple[date, date]]:
    """Yield the days that are over and those that are not, as (first, last)."""
    if first < today:
        yield first, min(last, today - _DAY)
    if last >= today:
        yield max(first, today), last


def _halves(period: Period) -> Iterator[Period]:
    """Yield the days of a period that are over and those that aren't."""
    today = period.calendar.today(now())
    if period.until is not None or period.last < today or period.first >= today:
        yield period
        return
    yield replace(period, last=today - _DAY)
    yield replace(period, first=today)


def now() -> datetime:
    """Return this moment, UTC; the one clock of the pages."""
    return datetime.now(UTC)


def shown_lake() -> Lake:
    """Return the configured lake, as far as whoever looks at the page may see it.

    Where that is nothing any more, because a login is over, the page begins anew and says so.
    """
    return Lake(configured_lake(), _still_shown(), _still_shown)


def _still_shown() -> Scope:
    try:
        return shown_scope()
    except NoAccessError:
        st.rerun()
        raise


def configured_calendar() -> Calendar:
    """Return whose days reports tell: the zone and the billing day of the settings."""
    read = settings.load()
    return Calendar(read.zone, read.billing_day)


def configured_lake() -> LakePath:
    """Return the lake named after `--lake` on the command line, else the one of the settings."""
    arguments = sys.argv[1:]
    named = arguments[arguments.index("--lake") + 1] if "--lake" in arguments[:-1] else None
    return settings.load(lake=named).lake

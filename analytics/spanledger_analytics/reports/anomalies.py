"""What is out of the ordinary: hours that cost more than they should have, new things, requests far outside their kind.

Each dimension of `by` is looked at by itself, and so is the total: an hour of a user is judged by that user's hours.
A series begins with its first call. From then on an hour without calls cost nothing, and that is known; the ledger
can't tell it from an hour in which nothing reached the collector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.detector import DEFAULT, Episode, Scores, episodes, score

from .against import NOW, moment, told_apart
from .answer import Answer, Option, Report, said_of_totals, usd
from .excess import parts, sentence, spending
from .far_requests import KIND_DAYS, FarRequest, far_requests
from .hours_apart import spent_apart
from .question import Question
from .totals import SPENT, busy_hours, sums, totals, whole_hours

HISTORY_DAYS: Final = 70
"""Before the period: four weeks for what is usual, four for scores that others are held against, and two to begin."""
MOST: Final = 200
"""So many values of a dimension are looked at, the dearest."""
TOTAL: Final = "total"
COLUMNS: Final = {
    "of": "Which of --by the row is about, or total.",
    "kind": "hours: cost more than expected; new: no call before; request: far outside its feature's.",
    "since": "When that began.",
    "until": "End of the last hour that is out of the ordinary; NULL where kind isn't hours.",
    "cost_usd": "US dollars from since to until; of new things and requests all they cost in these days.",
    "expected_usd": "What that should have been: an estimate; 0 of new things, the feature's median of requests.",
    "excess_usd": "cost_usd - expected_usd.",
    "score": "How far out the hour is that is furthest out, from 1.5 on; NULL where kind isn't hours.",
    "made_by": "Who makes most of the excess, as a share of it; of a request what it is held against.",
    "trace_id": "Of a request.",
}
_MONEY: Final = pl.Decimal(38, 12)
_TYPES: Final = {
    **dict.fromkeys(("of", "kind", "made_by", "trace_id"), pl.String()),
    **dict.fromkeys(("since", "until"), pl.Datetime("us", "UTC")),
    **dict.fromkeys(("cost_usd", "expected_usd", "excess_usd"), _MONEY),
    "score": pl.Float64(),
}
_WITHOUT_SERIES: Final = ("feature",)
"""What requests are told of, also where `by` hasn't it."""
_HOUR: Final = timedelta(hours=1)
_PLACES: Final = 6
"""Of a dollar, in what is expected: it is an estimate."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something out of the ordinary; US dollars, moments in UTC."""

    of: str
    name: str | None
    kind: str
    since: datetime
    until: datetime | None
    cost_usd: Decimal
    expected_usd: Decimal
    score: float | None = None
    made_by: str | None = None
    trace_id: str | None = None

    @property
    def excess_usd(self) -> Decimal:
        """What it cost beyond expectation."""
        return self.cost_usd - self.expected_usd


@dataclass(frozen=True, slots=True)
class Series:
    """What each hour cost, of the total or of each value of a dimension; all of one length."""

    of: str
    names: tuple[str | None, ...]
    hours: Sequence[datetime]
    spent: pl.DataFrame
    """`place` of the series, `hour` by its place, cost_usd: of the hours that have calls."""
    values: npt.NDArray[np.float64]
    """Costs as the detector takes them: NaN before the first call."""

    def first(self, place: int) -> int:
        """Return the hour of the first call of a series, the number of hours if there is none."""
        known = np.flatnonzero(~np.isnan(self.values[place]))
        return int(known[0]) if len(known) else len(self.hours)

    def cost_usd(self, place: int, first: int, last: int) -> Decimal:
        """Return what the hours of a series from one to another cost; calls without a price cost nothing."""
        own = self.spent.filter(pl.col("place") == place, pl.col("hour").is_between(first, last))
        return Decimal(own["cost_usd"].sum())


def anomalies(ledger: Ledger, asked: Question, *, floor: Decimal, top: int, now: str | None = None) -> Answer:
    """Return what is out of the ordinary in a period and at least `floor` beyond expectation, the most first.

    Raises:
        QuestionError: `by` has a unit of time, or `now` can't be read.
    """
    by = list(told_apart(asked.by))
    until = moment(now, asked.period.calendar)
    spent = spent_apart(ledger, _reaching(asked), by)
    every = [series(ledger, asked, of, floor, until, spent) for of in (None, *by)]
    found = [
        *(one for some, scores in _scored(every) for one in _hours(some, scores, asked, floor)),
        *(one for some in every[1:] for one in _new(some, every[0], asked, floor)),
        *(_request(one) for one in far_requests(ledger, asked, floor, until)),
    ]
    broadest = [TOTAL, *by, *_WITHOUT_SERIES]
    found.sort(key=lambda one: (-one.excess_usd, one.since, broadest.index(one.of), one.name or "", one.kind))
    shown = _explained(ledger, asked, found[:top] if top else found, until)
    notes = (*_biggest(shown), *_left_out(found, shown), *_too_short(every))
    return Answer(_frame(shown, by, asked), (*notes, *said_of_totals(totals(ledger, asked, ()))))


def series(
    ledger: Ledger,
    asked: Question,
    of: str | None,
    floor: Decimal,
    until: datetime,
    spent: Mapping[str | None, pl.DataFrame] | None = None,
) -> Series:
    """Return the total by the hour (None), or the values of a dimension that cost `floor` in the period, the dearest.

    Hours are those of the period that are over at `until`, and of HISTORY_DAYS before it. What they cost is taken from
    `spent`, of `spent_apart`, where it is there.
    """
    hours = whole_hours(_reaching(asked), until)
    busy = _busy(ledger, asked, of, floor, (spent or {}).get(of))
    names = sorted(busy[of].unique(), key=lambda name: (name is None, name)) if of else [None]
    places = pl.DataFrame(
        {of or TOTAL: names, "place": range(len(names))}, {of or TOTAL: pl.String(), "place": pl.Int64()}
    )
    named = busy.join(places, on=of, nulls_equal=True) if of else busy.with_columns(pl.lit(0).alias("place"))
    since = (pl.col("hour") - pl.lit(hours[0] if hours else until)).dt.total_hours()
    told = named.select("place", since.alias("hour"), *SPENT).filter(pl.col("hour") < len(hours))
    at = told["place"].to_numpy(), told["hour"].to_numpy()
    calls, values = np.zeros((len(names), len(hours)), np.int64), np.zeros((len(names), len(hours)))
    calls[at] = told["calls"].to_numpy()
    values[at] = told["cost_usd"].cast(pl.Float64).fill_null(0).to_numpy()
    values[np.maximum.accumulate(calls, axis=1) == 0] = np.nan
    return Series(of or TOTAL, tuple(names), hours, told, values)


def _busy(ledger: Ledger, asked: Question, of: str | None, floor: Decimal, known: pl.DataFrame | None) -> pl.DataFrame:
    """Return SPENT of the hours that have calls, of the values of a dimension that cost the floor in the period."""
    if of is None:
        return busy_hours(ledger, _reaching(asked), (), SPENT) if known is None else known
    if known is None:
        whole = totals(ledger, asked, (of,), SPENT)
    else:
        whole = sums(known.filter(pl.col("hour") >= asked.period.begin), (of,))
    dear = whole.filter(pl.col("cost_usd") >= floor).sort("cost_usd", of, descending=[True, False])
    names = tuple(name or "" for name in dear[of].head(MOST))
    if known is not None:
        return known.filter(pl.col(of).fill_null("").is_in(names))
    if not names:
        return dear.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("hour"))
    where = replace(asked.where, only={**asked.where.only, of: names})
    return busy_hours(ledger, replace(_reaching(asked), where=where), (of,), SPENT)


def _reaching(asked: Question) -> Question:
    """Return the question with the history before its period."""
    return replace(asked, period=replace(asked.period, first=asked.period.first - timedelta(days=HISTORY_DAYS)), by=())


def _scored(every: Sequence[Series]) -> Iterator[tuple[Series, Scores]]:
    """Score all series in one go, which is quicker; they don't know of each other."""
    there = [some for some in every if some.names]
    scores = score(np.concatenate([some.values for some in there]), upwards=True)
    ends = np.cumsum([len(some.names) for some in there])
    for some, end in zip(there, ends, strict=True):
        rows = slice(end - len(some.names), end)
        yield some, Scores(scores.score[rows], scores.expected[rows], scores.usual[rows], scores.limit[rows])


def _hours(some: Series, scores: Scores, asked: Question, floor: Decimal) -> Iterator[Finding]:
    """Yield the episodes that reach into the period."""
    begin = asked.period.begin
    for place, name in enumerate(some.names):
        for episode in episodes(scores.score[place]):
            if some.hours[episode.last] >= begin:
                one = _episode(some, scores, place, name, episode)
                yield from [one] if one.excess_usd >= floor else []


def _episode(some: Series, scores: Scores, place: int, name: str | None, episode: Episode) -> Finding:
    expected = np.maximum(scores.undisturbed(place, episode), 0).sum()
    return Finding(
        some.of,
        name,
        "hours",
        some.hours[episode.first],
        some.hours[episode.last] + _HOUR,
        some.cost_usd(place, episode.first, episode.last),
        Decimal(str(round(float(expected), _PLACES))),
        round(episode.score, 2),
    )


def _new(some: Series, total: Series, asked: Question, floor: Decimal) -> Iterator[Finding]:
    """Yield what made its first call in the period; nothing where the ledger itself had hardly begun."""
    begun, begin = total.first(0) + DEFAULT.history_h, asked.period.begin
    for place, name in enumerate(some.names):
        first = some.first(place)
        if name is None or not begun <= first < len(some.hours) or some.hours[first] < begin:
            continue
        cost = some.cost_usd(place, first, len(some.hours))
        if cost >= floor:
            yield Finding(some.of, name, "new", some.hours[first], None, cost, Decimal(0))


def _request(one: FarRequest) -> Finding:
    times = (one.cost_usd / one.median_usd).quantize(Decimal("0.1"))
    kind = f"{times} times the median of {one.requests:,} requests in the {KIND_DAYS} days before"
    said = f"{kind}; user {one.user or '(none)'}"
    return Finding(
        "feature",
        one.feature,
        "request",
        one.started,
        None,
        one.cost_usd,
        one.median_usd,
        made_by=said,
        trace_id=one.trace_id,
    )


def _explained(ledger: Ledger, asked: Question, found: Sequence[Finding], now: datetime) -> list[Finding]:
    """Say who makes them up; two queries for all of one dimension."""
    end = min(asked.period.end, now).replace(minute=0, second=0, microsecond=0)
    spent: dict[str, dict[str, pl.DataFrame]] = {}
    for of in dict.fromkeys(one.of for one in found if one.made_by is None):
        some = [one for one in found if one.of == of and one.made_by is None]
        since, until = min(one.since for one in some), max(one.until or end for one in some)
        names = [one.name for one in some]
        spent[of] = spending(ledger, asked, None if of == TOTAL else of, names, since, until)
    return [
        replace(one, made_by=_made_by(one, spent[one.of], one.until or end)) if one.made_by is None else one
        for one in found
    ]


def _made_by(one: Finding, spent: Mapping[str, pl.DataFrame], until: datetime) -> str:
    own = pl.lit(True) if one.of == TOTAL else pl.col(one.of).eq_missing(pl.lit(one.name))
    words = [
        sentence(parts(frame.filter(own), one.since, until, one.expected_usd, dimension), dimension)
        for dimension, frame in spent.items()
    ]
    return "; ".join(said for said in words if said)


def _frame(shown: Sequence[Finding], by: Sequence[str], asked: Question) -> pl.DataFrame:
    rows = [
        {dimension: one.name if dimension == one.of else None for dimension in by}
        | {name: getattr(one, name) for name in COLUMNS}
        for one in shown
    ]
    frame = pl.DataFrame(rows, schema={**dict.fromkeys(by, pl.String()), **_TYPES}).select(*by, *COLUMNS)
    return frame.with_columns(pl.col("since", "until").dt.convert_time_zone(asked.period.calendar.zone))


def _biggest(shown: Sequence[Finding]) -> list[str]:
    if not shown:
        return ["nothing is out of the ordinary"]
    one = shown[0]
    what = "the total" if one.of == TOTAL else f"{one.of} {one.name or '(none)'}"
    if one.kind == "new":
        return [f"{what} is new, and cost {usd(one.cost_usd)}"]
    if one.kind == "request":
        return [f"a request of {what} cost {usd(one.cost_usd)}: {one.made_by}"]
    return [f"{what} cost {usd(one.cost_usd)} instead of {usd(one.expected_usd)}: {one.made_by}"]


def _left_out(found: Sequence[Finding], shown: Sequence[Finding]) -> list[str]:
    rest = len(found) - len(shown)
    return [f"{rest:,} smaller ones are left out; --top 0 shows all"] if rest else []


def _too_short(every: Sequence[Series]) -> list[str]:
    """Return what can't be judged yet, and what wasn't looked at."""
    need = DEFAULT.history_h
    short = sum(np.count_nonzero(~np.isnan(row)) <= need for some in every for row in some.values)
    said = [f"{short:,} series of less than {need} hours, of which nothing can be said yet"] if short else []
    full = [some.of for some in every if len(some.names) == MOST]
    return said + [f"only the {MOST} dearest of each {of} were looked at" for of in full]


ANOMALIES: Final = Report(
    "anomalies",
    "Hours that cost more than they should have, new expensive things, and requests far outside their kind.",
    anomalies,
    COLUMNS,
    by=("model", "feature", "team", "user"),
    options=(
        Option("floor", Decimal, Decimal(1), "US dollars beyond expectation; what is less isn't told."),
        Option("top", int, 20, "How many rows, the largest excess first; 0: all."),
        NOW,
    ),
    details="""\
    spanledger report anomalies
    spanledger report anomalies --by user --where team=search --floor 20
    spanledger report anomalies --by feature,tag.experiment --format json

Each of --by is looked at by itself, and so is the total. How an hour is judged: docs/anomalies.md. Nothing is said
of a series before it has 48 hours. New is what had no call in the 70 days before. A request is far outside if it
cost twice the upper quartile of its feature's in the 7 days before (20 at least), and is further above it than
three times the distance of the quartiles, on a scale of factors. The hour that isn't over isn't judged.
Of each of --by the 200 dearest values are looked at that cost the floor in these days.""",
)

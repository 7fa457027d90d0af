"""What each hour cost, what it should have cost, and from what on it is out of the ordinary: hour by hour.

It judges the calls that the conditions leave as one series. With `--where team=search` that is the series of the team
that `anomalies` looks at, so an episode here is a row of kind `hours` there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

import numpy as np
import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.detector import Episode, Floats, Scores, episodes, score

from .against import NOW, moment
from .anomalies import series
from .answer import Answer, Report, counted, said_of_totals
from .question import Question
from .totals import totals

COLUMNS: Final = {
    "hour": "Start of the hour, in the zone.",
    "cost_usd": "US dollars, exact; calls without a price are not in it.",
    "expected_usd": "What it should have been: an estimate; in an episode, what the series would have gone on with.",
    "limit_usd": "From this on the hour is out of the ordinary; NULL before the series has 48 hours.",
    "score": "How far out it is, from 1.5 on out of the ordinary; NULL before the series has 48 hours.",
    "episode": "Number of the episode that the hour is in, from 1 on; NULL outside of them.",
}
_MONEY: Final = pl.Decimal(38, 12)
_TYPES: Final = {
    "hour": pl.Datetime("us", "UTC"),
    **dict.fromkeys(("cost_usd", "expected_usd", "limit_usd"), _MONEY),
    "score": pl.Float64(),
    "episode": pl.Int64(),
}
_PLACES: Final = 6
"""Of a dollar, in estimates."""
_Hour = tuple[datetime, Decimal, Decimal | None, Decimal | None, float | None, int | None]


def expected(ledger: Ledger, asked: Question, *, now: str | None = None) -> Answer:
    """Return a row for each hour of the period that is over, in order.

    Raises:
        QuestionError: `now` can't be read.
    """
    some = series(ledger, asked, None, Decimal(0), moment(now, asked.period.calendar))
    scores = score(some.values, upwards=True)
    begin = asked.period.begin
    first = next((place for place, hour in enumerate(some.hours) if hour >= begin), len(some.hours))
    found = [episode for episode in episodes(scores.score[0]) if episode.last >= first]
    told = dict(some.spent.select("hour", "cost_usd").drop_nulls().iter_rows())
    costs = [told.get(place, Decimal(0)) for place in range(len(some.hours))]
    rows = list(_rows(some.hours, costs, scores, found))[first:]
    frame = pl.DataFrame(rows, schema=_TYPES, orient="row")
    frame = frame.with_columns(pl.col("hour").dt.convert_time_zone(asked.period.calendar.zone))
    said = f"{counted(len(found), 'episode')} of hours out of the ordinary"
    return Answer(frame, (said, *said_of_totals(totals(ledger, asked, ()))))


def _rows(
    hours: Sequence[datetime], costs: Sequence[Decimal], scores: Scores, found: Sequence[Episode]
) -> Iterator[_Hour]:
    usual: Floats = scores.expected[0].copy()
    numbers: dict[int, int] = {}
    for number, episode in enumerate(found, 1):
        places = range(episode.first, episode.last + 1)
        usual[episode.first : episode.last + 1] = np.maximum(scores.undisturbed(0, episode), 0)
        numbers |= dict.fromkeys(places, number)
    for place, (hour, cost) in enumerate(zip(hours, costs, strict=True)):
        told = float(scores.score[0, place])
        judged = None if np.isnan(told) else round(told, 2)
        limit = None if judged is None else _usd(scores.limit[0, place])
        yield hour, cost, _usd(usual[place]), limit, judged, numbers.get(place)


def _usd(estimate: float) -> Decimal | None:
    return None if np.isnan(estimate) else Decimal(str(round(max(0.0, float(estimate)), _PLACES)))


EXPECTED: Final = Report(
    "expected",
    "What each hour cost, what it should have cost, and from what on it is out of the ordinary.",
    expected,
    COLUMNS,
    options=(NOW,),
    takes_by=False,
    details="""\
    spanledger report expected --where team=search
    spanledger report expected --from 2026-11-01 --format csv

    The calls that --where leaves are one series; how an hour is judged: docs/anomalies.md.""",
)

"""What is asked: questions with parameters that are drawn from the lake itself.

Half of the draws of a person, an hour or a trace fall on a random call, so that heavy users come often; the other half
on a random user of a day, so that light ones come as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from made.files import LAST, about
from spanledger_analytics.connection import connect
from spanledger_analytics.snapshot import Snapshots

SEED: Final = 20_261_128
A_DAY: Final = 5
"""Draws from each day that is looked at."""

Asked = dict[str, Any]
"""A question for a worker: its name, arguments, and files."""
DAYS_BACK: Final = {
    "days": 89,
    "user's 30 days": 29,
    "week over week by feature": 13,
    "top movers": 13,
    "group-by of 30 days": 29,
    "distinct users of 30 days": 29,
}
"""How many days before the day drawn a question looks at."""
STEPS: Final = ("days", "hours", "users", "requests", "trace")
"""From a dear day to the guilty request."""
QUESTIONS: Final = (*STEPS, "trace without date", *(name for name in DAYS_BACK if name != "days"))


def draw(lake: Path, days: list[date], count: int) -> list[Asked]:
    """Return so many draws: day, hour, user and trace of a call."""
    chance = np.random.default_rng(SEED)
    earliest = min(90, len(days) // 2)
    chosen = chance.choice(np.arange(earliest, len(days)), -(-count // A_DAY), replace=len(days) - earliest < count)
    with closing(connect(lake)) as connection:
        found = [one for place in chosen for one in _draw_day(connection, days[place], chance)]
    return found[:count]


def _draw_day(connection: Any, day: date, chance: np.random.Generator) -> Iterator[Asked]:
    query = "select hour(start_time) as hour, user_id, trace_id from llm_calls where dt = $day and user_id is not null"
    calls: pl.DataFrame = connection.sql(f"{query} order by trace_id, span_id", params={"day": day}).pl()
    users = calls.unique("user_id", keep="first", maintain_order=True)
    for number in range(A_DAY):
        among = calls if number % 2 == 0 else users
        hour, user, trace = among.row(int(chance.integers(among.height)))
        yield {"day": day.isoformat(), "hour": hour, "user": user, "trace": trace}


def questions(lake: Path, name: str, draws: list[Asked]) -> Iterator[Asked]:
    """Yield a question with each draw and the files of its days."""
    snapshot = Snapshots(lake).now()
    maintained = about(lake)["made"]["maintained"]
    for drawn in draws:
        first, last = _days(name, date.fromisoformat(drawn["day"]))
        files = snapshot.files(first, last)
        asked = {"question": name, **drawn}
        if first and last:
            asked |= {"first": first.isoformat(), "last": last.isoformat()}
        unfolded = [file for file in files.beside["settlements"][1:] if not maintained or f"/dt={LAST}/" in file]
        yield asked | {"spans": files.spans[1:] + files.touched[1:], "settlements": unfolded}


def _days(name: str, day: date) -> tuple[date | None, date | None]:
    """Return the first and the last day whose files a question needs."""
    if name == "trace without date":
        return None, None
    if name == "trace":
        return day - timedelta(days=1), day + timedelta(days=1)
    before = 1 if name == "requests" else DAYS_BACK.get(name, 0)
    return day - timedelta(days=before), day

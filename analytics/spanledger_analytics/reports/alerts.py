"""What fires, and what has fired in these days.

Alerts are no part of the lake: whoever evaluates rules keeps them in its home, and this reads that of the settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from spanledger.settings import load
from spanledger_analytics.alerts.episodes import EPISODES, episodes
from spanledger_analytics.alerts.store import Store, store_path
from spanledger_analytics.connection import Ledger
from spanledger_analytics.errors import QuestionError

from .answer import Answer, Option, Report
from .question import Question

COLUMNS: Final = {
    "state": "firing, pending (tripped, but not often enough in a row yet), or resolved.",
    "rule": "Name of the rule.",
    "scope": "What it is about, as `team=search`; nothing where a rule looks at all calls together.",
    "severity": "info, warning or critical.",
    "fired_at": "When it fired, UTC; NULL while it is pending.",
    "resolved_at": "When it was over, UTC; NULL while it isn't.",
    "value": "What the rule sees, or saw at the end.",
    "trip_level": "Where it trips.",
    "unit": "Of both: USD, %, points, minutes, score.",
    "summary": "What was the case, in a sentence.",
}


def alerts(ledger: Ledger, asked: Question, *, home: str) -> Answer:
    """Return a row each time that an alert fired, those that fire now first, then the latest.

    Raises:
        QuestionError: a condition is asked for, which alerts can't fulfil.
    """
    if asked.where.dimensions():
        raise QuestionError("alerts aren't calls: leave --where out, and choose from the rows by their scope")
    folder = Path(home).expanduser() if home else load().home
    if not store_path(folder).exists():
        nothing = pl.DataFrame(schema=EPISODES)
        return Answer(nothing, ("nothing was ever evaluated in this home; spanledger alerts init begins",))
    store = Store(folder)
    found = episodes(store, ledger.scope, asked.period.begin)
    store.close()
    found = found.filter(pl.col("fired_at").is_null() | (pl.col("fired_at") < asked.period.end))
    return Answer(found, (_said(found),))


def _said(found: pl.DataFrame) -> str:
    firing = found.filter(pl.col("state") == "firing").height
    over = found.filter(pl.col("state") == "resolved").height
    return f"{firing} firing, {over} over in these days"


ALERTS: Final = Report(
    "alerts",
    "What fires, and what has fired: rule, scope, since when, and how it ended.",
    alerts,
    COLUMNS,
    options=(Option("home", str, "", "Home that alerts are evaluated in (SPANLEDGER_HOME)."),),
    details="""\
    spanledger report alerts
    spanledger report alerts --from 2026-11-01 --format csv""",
    takes_by=False,
    of_lake=False,
)

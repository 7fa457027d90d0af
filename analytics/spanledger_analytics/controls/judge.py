"""Rules of the router, judged by the lake: it knows how work ended whoever said so, in any process and later.

The application knows outcomes of work that it routed itself. What the lake has replaces what it had before and adds to
nothing, so a round that is done twice does no harm; of the two, the one that knows of more work is compared.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from spanledger.guard.decisions import moment
from spanledger.guard.route import Route
from spanledger.guard.router import PREFIX
from spanledger.guard.store import Store
from spanledger.guard.success import Counts, Success
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.efficiency import LOWEST_SUCCESS
from spanledger_collector.tables import OUTCOMES

LOG: Final = logging.getLogger("spanledger.routes")
LONGEST: Final = timedelta(days=28)
"""Work that began longer ago is not looked at."""


def judge(store: Store, ledger: Ledger, rules: Sequence[Route], now: datetime) -> list[str]:
    """Tell the store how work of rules ended, and return those that stop because of it.

    Raises:
        StoreAwayError: the store can't be reached.
        duckdb.Error: a file of the lake can't be read.
    """
    kept = store.states(PREFIX)
    return [
        rule.name
        for rule in rules
        if not rule.shadow and (text := kept.get(rule.key)) and _judge(store, ledger, rule, text, now)
    ]


def _judge(store: Store, ledger: Ledger, rule: Route, text: str, now: datetime) -> bool:
    before = Success.from_json(text)
    begin = max(moment(before.since_ms), now - LONGEST)
    found = ledger.ask_between(
        "controls/routed",
        begin,
        now,
        begin=begin,
        outcomes=ledger.files_of(OUTCOMES, begin.date()),
        at_least=f"{LOWEST_SUCCESS:f}",
    )
    sides: dict[bool, Counts] = {row[1]: (row[2], row[3]) for row in found.iter_rows() if row[0] == rule.name}
    after = before.by_lake(sides.get(True, (0, 0)), sides.get(False, (0, 0))).looked_at(rule.alpha, rule.least)
    if not store.put_state(rule.key, after.to_json(), text):
        return False  # an application was faster; the next round is soon enough
    if after.stopped and not before.stopped:
        LOG.warning("the route %r routes no longer: %s", rule.name, after.stopped)
        return True
    return False

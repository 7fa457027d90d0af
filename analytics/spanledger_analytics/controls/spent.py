"""What calls of the lake spent, by the windows and scopes of a budget.

The rules that hold calls up match the lake's rows with the same code; SQL only adds up what that tells apart, so a
budget of a team is a few rows however many calls there were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from spanledger import names
from spanledger.guard.decisions import moment
from spanledger.guard.keys import session_window
from spanledger.guard.policy import WIRE_NAMES, Budget, Match
from spanledger.guard.windows import Window
from spanledger_analytics.connection import Ledger

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS: Final = 4_102_444_800_000
"""The year 2100: no call began after it."""


class Spent(NamedTuple):
    """What one scope spent in one window."""

    window: Window
    """Of a budget of sessions: the session, and the time that was looked at."""
    scope: str
    calls: int
    unpriced_calls: int
    """Those of `calls` whose cost isn't known, and is in no sum."""
    cost_usd: Decimal
    nano_usd: int
    """Nano-dollars, rounded up for each call, as accounts have them."""
    tokens: int

    def amount(self, budget: Budget) -> int:
        """Return what the budget counts: nano-dollars, or tokens."""
        return self.nano_usd if budget.unit == "usd" else self.tokens


class _Sum(NamedTuple):
    calls: int
    unpriced_calls: int
    cost_usd: Decimal
    nano_usd: int
    tokens: int


def spent(ledger: Ledger, budget: Budget, windows: Sequence[Window]) -> list[Spent]:
    """Return what calls that a budget is about spent in windows that follow each other, by window and scope."""
    begins = [moment(window.from_ms) for window in windows]
    end = moment(min(windows[-1].until_ms, _LATEST_MS))
    sums: dict[tuple[Window, str], _Sum] = {}
    places = dict(zip(begins, windows, strict=True))
    for scope, row in matching(ledger, budget.match, begins, end, by_session=budget.per == "session"):
        window = places[row["window_begin"].astimezone(UTC)]
        if budget.per == "session":
            window = window._replace(name=session_window(row["run"]))
        _add(sums, (window, scope), row)
    return [Spent(window, scope, *total) for (window, scope), total in sums.items()]


def matching(
    ledger: Ledger,
    match: Match,
    begins: Sequence[datetime],
    end: datetime,
    by: Sequence[str] = (),
    *,
    by_session: bool = False,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of `sql/controls/spent.sql` that a match takes, each with whom they count for.

    Args:
        ledger: The lake.
        match: Which calls.
        begins: When windows begin, each of which ends where the next one begins.
        end: When the last one ends.
        by: Keys of `match`, or `finish_reason`, by which rows are told apart besides.
        by_session: Tell sessions apart, and traces that are in none.
    """
    keys = [key for key, *_ in match.keys]
    known, own = [key for key in keys if key in WIRE_NAMES], [key for key in keys if key not in WIRE_NAMES]
    found = ledger.ask_between(
        "controls/spent",
        begins[0],
        end,
        begin=begins[0],
        end=end,
        begins=begins,
        keys=[*known, *by],
        tags=own,
        by_session=by_session,
    )
    for row in found.iter_rows(named=True):
        scope = match.scope(_values(row, known, own))
        if scope is not None:
            yield scope, row


def millis(at: datetime) -> int:
    """Return a time as Unix milliseconds."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _values(row: Mapping[str, Any], known: Sequence[str], own: Sequence[str]) -> dict[str, str]:
    values = {WIRE_NAMES[key]: row[key] for key in known}
    values |= {names.TAG_PREFIX + key: value for key, value in zip(own, row["own"], strict=True)}
    return {name: value for name, value in values.items() if value is not None}


def _add(sums: dict[tuple[Window, str], _Sum], key: tuple[Window, str], row: Mapping[str, Any]) -> None:
    before = sums.get(key, _Sum(0, 0, Decimal(0), 0, 0))
    sums[key] = _Sum(
        before.calls + row["calls"],
        before.unpriced_calls + row["unpriced_calls"],
        before.cost_usd + row["cost_usd"],
        before.nano_usd + int(row["nano_usd"]),
        before.tokens + row["tokens"],
    )

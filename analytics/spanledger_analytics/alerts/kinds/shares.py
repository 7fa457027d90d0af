"""Shares: of calls without a price, of what retries may have cost, and of input that was read from the prompt cache."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from spanledger.entries import Entry
from spanledger_analytics.alerts.durations import length, whole
from spanledger_analytics.alerts.lookout import HOUR, Hours, Lookout, rows
from spanledger_analytics.alerts.reading import Reading, scope_of
from spanledger_analytics.alerts.rules import Kind, Rule
from spanledger_analytics.alerts.words import minutes_of, rounded, who
from spanledger_analytics.reports.answer import usd

_HUNDRED: Final = 100
_WEEK: Final = 7 * 24
_PLACES: Final = Decimal("0.001")
"""Of a percent."""


@dataclass(frozen=True, slots=True)
class Share:
    """Terms of a share."""

    percent: Decimal
    """Above this share it trips; of `cache`: so many points below the usual share."""
    within: timedelta
    least: Decimal
    """Below so many calls, dollars or tokens a share says nothing."""


def read_unpriced(entry: Entry) -> Share:
    """Read the terms of `unpriced`."""
    return Share(entry.number("percent", "5", most=_HUNDRED), _within(entry), Decimal(whole(entry, "least_calls", 20)))


def read_retry(entry: Entry) -> Share:
    """Read the terms of `retry`."""
    floor_usd = entry.exact_money("floor_usd", entry.given.get("floor_usd", 1))
    return Share(entry.number("percent", "5"), _within(entry), floor_usd)


def read_cache(entry: Entry) -> Share:
    """Read the terms of `cache`."""
    points = entry.number("points", "20", above=0, most=_HUNDRED)
    return Share(points, _within(entry), Decimal(whole(entry, "least_tokens", 100_000)))


def _within(entry: Entry) -> timedelta:
    within = length(entry, "within", HOUR)
    if not timedelta(minutes=1) <= within <= 24 * HOUR:
        raise entry.refuse("within", "expected from 1m to 24h")
    return within


def unpriced(terms: Share, rule: Rule, lookout: Lookout) -> list[Reading]:
    """Look at how many calls have no price and need one."""
    when = f"in the last {minutes_of(terms.within)}"
    return [
        Reading(
            _percent(row["unpriced_calls"], row["calls"]),
            terms.percent,
            f"{who(rule.by, value)}{row['unpriced_calls']:,} of {row['calls']:,} calls {when} have no price,"
            " so they are in no sum; see spanledger unpriced",
            scope_of(rule.by, value),
            unit="%",
        )
        for value, row in rows(lookout.recent(terms.within, rule.by, rule.where), rule.by)
        if row["calls"] >= terms.least
    ]


def retry(terms: Share, rule: Rule, lookout: Lookout) -> list[Reading]:
    """Look at what failed attempts may have cost, beside what was charged."""
    found = []
    when = f"in the last {minutes_of(terms.within)}"
    for value, row in rows(lookout.recent(terms.within, rule.by, rule.where), rule.by):
        lost, cost = row["retry_cost_usd"] or Decimal(0), row["cost_usd"] or Decimal(0)
        if lost < terms.least or not cost:
            continue
        words = f"{usd(lost)} may have been charged for failed attempts {when}, beside {usd(cost)}"
        scope = scope_of(rule.by, value)
        found.append(Reading(_percent(lost, cost), terms.percent, f"{who(rule.by, value)}{words}", scope, unit="%"))
    return found


def cache(terms: Share, rule: Rule, lookout: Lookout) -> list[Reading]:
    """Hold the share of input that was read from the prompt cache against that of the week before."""
    recent = {
        value: row
        for value, row in rows(lookout.recent(terms.within, rule.by, rule.where), rule.by)
        if (row["input_tokens"] or 0) >= terms.least
    }
    past = lookout.past(rule.by, rule.where, sorted(recent, key=lambda value: -recent[value]["input_tokens"]))
    found = []
    when = f"in the last {minutes_of(terms.within)}"
    for value, hours in past.items():
        usual = _usual_share(hours, lookout, terms)
        if usual is None:
            continue
        now = _percent(recent[value]["cache_read_tokens"], recent[value]["input_tokens"])
        asked = ": has the beginning of a prompt changed?" if usual - now > terms.percent else ""
        found.append(
            Reading(
                max(usual - now, Decimal(0)),
                terms.percent,
                f"{who(rule.by, value)}{rounded(now)} % of the input was read from the prompt cache {when},"
                f" {rounded(usual)} % in the week before{asked}",
                scope_of(rule.by, value),
                unit="points",
            )
        )
    return found


def _usual_share(hours: Hours, lookout: Lookout, terms: Share) -> Decimal | None:
    """Return the share of the 7 days before the window; None where they had less than it needs to say something."""
    end = (lookout.now - terms.within - hours.begin) // HOUR
    week = slice(max(0, end - _WEEK), end)
    tokens = sum(hours.input_tokens[week])
    return _percent(sum(hours.cache_read_tokens[week]), tokens) if tokens >= terms.least else None


def _percent(part: Any, whole: Any) -> Decimal:
    return (Decimal(part) * _HUNDRED / Decimal(whole)).quantize(_PLACES)


UNPRICED: Final = Kind(
    "unpriced", ("percent", "within", "least_calls"), read_unpriced, unpriced, "share of calls without a price"
)
RETRY: Final = Kind(
    "retry", ("percent", "within", "floor_usd"), read_retry, retry, "what failed attempts cost beside what was charged"
)
CACHE: Final = Kind(
    "cache", ("points", "within", "least_tokens"), read_cache, cache, "share of input read from the prompt cache"
)

"""Rows of calls that controls had to do with, as the collector makes them, with sums that can be done by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from ledger_rows import Row, call, outcome, span
from spanledger import names
from spanledger_collector.row import MONEY_PARTS

DAY: Final = datetime(2026, 11, 3, 9, tzinfo=UTC)
_NO_TOKENS: Final = dict.fromkeys(
    (
        *("input_tokens", "output_tokens", "input_uncached_tokens", "output_text_tokens", "cache_read_tokens"),
        *("cache_write_5m_tokens", "reasoning_tokens", "usage_state", "price_id", "matched_model", "response_model"),
    )
)
_NOTHING: Final = {**dict.fromkeys(("cost_usd", *MONEY_PARTS), Decimal(0)), "cost_source": "none"}
_TRACES: Final = 8_000_000
"""Before the number of a trace, so that other rows may be beside it."""
MONTH: Final = "support, a month"
FLOOD: Final = "no user floods us"


def decision(rule: str, action: str, kind: str = "budget", **more: Any) -> Row:
    """Build a decision as a span carries it."""
    return {"rule": rule, "kind": kind, "scope": "team_id=support", "action": action, "shadow": False} | more


def told(*decisions: Row, **attributes: str) -> list[tuple[str, str]]:
    """Return the attributes that say decisions, and others by the last word of their names."""
    said: Mapping[str, str] = {"rule": names.ROUTE_RULE, "arm": names.ROUTE_ARM, "model": names.ROUTE_MODEL}
    pairs = [(said[name], json.dumps(value)) for name, value in attributes.items()]
    if decisions:
        pairs.append((names.GUARD_DECISIONS, json.dumps(json.dumps(list(decisions)))))
    return pairs


def refused(trace: int, number: int, start: datetime, *decisions: Row, action: str = "block", **columns: Any) -> Row:
    """Build a call that was refused by the first of some decisions; without one, by a rule that says nothing more."""
    rule = decisions[0]["rule"] if decisions else MONTH
    made = call(trace, number, start, duration_us=100, status="error", error_type="BudgetExceeded")
    control = {"guard_action": action, "guard_policy": rule, "attributes": told(*decisions)}
    return made | _NO_TOKENS | _NOTHING | control | columns


def cached(trace: int, number: int, start: datetime, avoided: str | None, **columns: Any) -> Row:
    """Build a call that the response cache answered."""
    hit = {
        "guard_action": "allow",
        "guard_policy": "faq",
        "cache_hit": True,
        "billing_basis": "cached",
        "price_id": None,
    }
    hit["avoided_usd"] = None if avoided is None else Decimal(avoided)
    hit["attributes"] = told(decision("faq", "allow", "cache"))
    return call(trace, number, start) | _NOTHING | hit | columns


def dollars(estimate: str, **more: Any) -> Row:
    """Return the amounts of a budget of $500, all but spent."""
    return {"unit": "usd", "limit": "500", "spent": "499.5", "held": "0.25", "estimate": estimate} | more


def controlled_ledger(day: datetime = DAY) -> Sequence[Row]:
    """Build two days of two teams: each way in which controls have to do with a call, and calls with none.

    The first begins at `day`, the second a day later.
    """
    support: Row = {"team_id": "support", "feature": "answers", "user_id": "ann", "session_id": "s-1"}
    search: Row = {"team_id": "search", "feature": "research", "user_id": "bob", "session_id": "s-2"}
    next_day = day + timedelta(days=1)

    def at(minutes: int) -> datetime:
        return day + timedelta(minutes=minutes)

    block = decision(MONTH, "block", sentence="The month's $500 are spent.", resets_at="2026-12-01T00:00:00Z")
    shadow = decision("search, a day", "block", shadow=True, **dollars("0.5"))
    rows = [
        call(_TRACES + 1, 1, at(0), **support),
        refused(_TRACES + 1, 2, at(1), block | dollars("0.25"), **support),
        refused(_TRACES + 1, 3, at(2), block | dollars("0.75"), decision("all", "warn", **dollars("0.5")), **support),
        refused(_TRACES + 2, 1, at(70), decision(FLOOD, "block", "limit", unit="calls", estimate="1"), **search),
        refused(_TRACES + 2, 2, next_day, action="defer", **search),
        call(
            _TRACES + 3, 1, at(5), guard_action="allow", guard_policy="search, a day", attributes=told(shadow), **search
        ),
        call(
            _TRACES + 3,
            2,
            at(6),
            guard_action="warn",
            guard_policy="all",
            attributes=told(decision("all", "warn")),
            **search,
        ),
        cached(_TRACES + 4, 1, at(7), "0.3", **support),
        cached(_TRACES + 4, 2, next_day, "0.2", **support),
        cached(_TRACES + 4, 3, next_day, None, **support),
        span(
            _TRACES + 5,
            1,
            at(8),
            guard_action="allow",
            guard_policy="cache",
            cache_hit=True,
            avoided_usd=Decimal("0.1"),
            **search,
        ),
        call(
            _TRACES + 5,
            2,
            at(9),
            "gpt-5-mini",
            guard_action="degrade",
            guard_policy=MONTH,
            routed_from="gpt-5",
            avoided_usd=Decimal("0.05"),
            attributes=told(decision(MONTH, "degrade", **dollars("0.1"))),
            **support,
        ),
        span(
            _TRACES + 6,
            1,
            at(10),
            name="spanledger.breaker",
            guard_action="allow",
            guard_policy="runaway",
            attributes=told(decision("runaway", "block", "breaker", sentence="opened: $3 a minute")),
        ),
    ]
    return [*rows, *_routed(at(20))]


def _routed(start: datetime) -> list[Row]:
    """Build three sessions in an arm each: 1,000 tokens in, 100 out; gpt-5 costs $0.00225, gpt-5-mini $0.00045."""
    rows = []
    for number, (arm, model) in enumerate([("routed", "gpt-5-mini"), ("holdout", "gpt-5"), ("shadow", "gpt-5")]):
        more: Row = {"session_id": f"r-{number}", "guard_action": "allow", "guard_policy": "easy", "team_id": "search"}
        more["attributes"] = told(rule="easy", arm=arm, model="gpt-5-mini")
        if arm == "routed":
            more |= {"routed_from": "gpt-5", "avoided_usd": Decimal("0.0018")}
        rows += [call(_TRACES + 10 + number, turn, start, model, **more) for turn in (1, 2)]
        if arm != "shadow":
            ended = start + timedelta(hours=1)
            rows.append(outcome(_TRACES + 10 + number, 9, ended, success=arm == "routed", session_id=f"r-{number}"))
    return rows

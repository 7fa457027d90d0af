"""What rules of a policy did to some of the calls of a generated day: refused, at a cheaper model, cached, routed.

Chance of its own draws them, so that a lake without them is what it would be if this did not exist.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from made.population import SEED, Ints
from made.traces import INFERENCE, Bools, Spans
from spanledger import names
from spanledger_collector.row import MONEY, MONEY_PARTS, TEXT

REFUSED, DEGRADED, CACHED, ROUTED, IN_SHADOW = 1, 2, 3, 4, 5
_SAVING: Final = (DEGRADED, CACHED, ROUTED)
_SHARES: Final = (0.35, 0.25, 0.2, 0.1, 0.1)
"""Of the calls that rules had to do with, in the order above."""
_ESTIMATES: Final = 20
_ACTIONS: Final = (None, "block", "degrade", "allow", "allow", "allow")
_POLICIES: Final = (None, "a user's day", "a team's month", "the same again", "short questions", "short questions")
_CHEAPER: Final = "gpt-5.4"
Pair = tuple[str, pa.Array, Bools]
"""Key, value as JSON, and which spans have it."""


def drawn(spans: Spans, day: date, share: float) -> Ints:
    """Return what was done to each span: 0 for nothing."""
    chance = np.random.default_rng((SEED, 5, day.toordinal()))
    done = chance.choice(np.arange(1, 6), spans.rows, p=_SHARES)
    about = (spans.kind == INFERENCE) & ~spans.failed & (chance.random(spans.rows) < share)
    return np.where(about, done, 0)


def control_columns(done: Ints, trace: Ints, columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """Return the columns that say so; what was refused has no tokens and no answer."""
    refused, routed = pa.array(done == REFUSED), pa.array((done == DEGRADED) | (done == ROUTED))
    counts = [name for name in columns if name.endswith("_tokens") and name != "max_tokens"]
    bare = (*counts, "response_id", "response_model", "finish_reason", "first_token_us", "usage_state", "token_basis")
    found = {name: pc.if_else(refused, pa.scalar(None, columns[name].type), columns[name]) for name in bare}
    cents = pa.array([Decimal(number).scaleb(-4) for number in range(1, 101)], MONEY)
    return found | {
        **_nothing(np.isin(done, (REFUSED, CACHED))),
        "guard_action": pa.array(_ACTIONS, TEXT).take(pa.array(done)),
        "guard_policy": pa.array(_POLICIES, TEXT).take(pa.array(done)),
        "cache_hit": pc.if_else(pa.array(done == CACHED), pa.scalar(True), pa.scalar(None, pa.bool_())),
        "routed_from": pc.if_else(routed, pa.scalar(_CHEAPER), pa.scalar(None, TEXT)),
        "avoided_usd": cents.take(pa.array(trace % len(cents), mask=~np.isin(done, _SAVING))),
    }


def _nothing(free: Bools) -> dict[str, pa.Array]:
    """Return the money of calls that cost nothing, as the collector books it; the rest is priced."""
    zero, unknown = pa.scalar(Decimal(0), MONEY), pa.scalar(None, MONEY)
    money = pc.if_else(pa.array(free), zero, unknown)
    source = pc.if_else(pa.array(free), pa.scalar("none", TEXT), pa.scalar(None, TEXT))
    return {**dict.fromkeys((*MONEY_PARTS, "cost_usd"), money), "cost_source": source}


def control_attributes(done: Ints, spans: Spans) -> list[Pair]:
    """Return the attributes that say so: decisions, and arms of the router."""
    texts = pa.array([_decisions(number, what) for what in range(1, 6) for number in range(_ESTIMATES)])
    place = np.where(done > 0, (done - 1) * _ESTIMATES + spans.trace % _ESTIMATES, 0)
    by_route = done >= ROUTED
    arms = pa.array(['"routed"', '"shadow"']).take(pa.array((done == IN_SHADOW).astype(np.int64)))
    rule = pa.repeat(pa.scalar('"short questions"'), spans.rows)
    model = pa.repeat(pa.scalar('"gpt-5.4-mini"'), spans.rows)
    return [
        (names.GUARD_DECISIONS, texts.take(pa.array(place)), done > 0),
        (names.ROUTE_RULE, rule, by_route),
        (names.ROUTE_ARM, arms, by_route),
        (names.ROUTE_MODEL, model, by_route),
    ]


def _decisions(number: int, what: int) -> str:
    """Return a list of one decision, as the attribute of a span has it: JSON in JSON."""
    kind = {REFUSED: "budget", DEGRADED: "budget", CACHED: "cache"}.get(what, "route")
    said: dict[str, object] = {
        "rule": _POLICIES[what],
        "kind": kind,
        "scope": f"user_id=u-{number}",
        "action": _ACTIONS[what],
        "shadow": what == IN_SHADOW,
        "sentence": "what was spent and held, and what this call may cost; it starts anew at midnight",
    }
    if kind == "budget":
        said |= {"unit": "usd", "limit": "5", "spent": "4.9", "held": "0.05", "estimate": f"0.{number + 10}"}
    return json.dumps(json.dumps([said]))

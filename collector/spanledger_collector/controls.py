"""What the controls did to a call, as columns; and the calls that cost nothing because nothing was sent for them.

A refused call and one that was answered from a cache of ours are not unpriced: it is known, to the pico-dollar, what
they cost. So their cost is 0, with `none` for its source, and no reason is missing. What was refused used nothing, and
says so by a `usage_state` of NULL; what a cache answered keeps its tokens, and is `billing_basis` cached.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from spanledger import names

from .rawspans import Flags, RawSpans, flags, is_word, known, translate

REFUSING: Final = ("block", "defer")
"""Values of guard_action with which nothing is sent."""
NO_SOURCE: Final = "none"
"""Value of cost_source where no price was asked for."""
CACHED: Final = "cached"
"""Value of billing_basis where a cache of ours answered."""
_NO_TEXT: Final = pa.scalar(None, pa.string())


def control_columns(raw: RawSpans, columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """Return guard_action and guard_policy, which name an action and a rule wherever controls have something to tell.

    So one column tells which spans these are, and no other has to be read of all the rest.
    """
    routed, hit = columns["routed_from"], flags(pc.fill_null(columns["cache_hit"], False))
    rule = pc.coalesce(
        columns["guard_policy"],
        raw.pick((names.ROUTE_RULE,), pa.string()),
        translate(raw.pick((names.GUARD_DECISIONS,), pa.string()), _first_rule),
        pc.if_else(pa.array(hit), "cache", _NO_TEXT),
        pc.if_else(pc.is_valid(routed), "route", _NO_TEXT),
        pc.if_else(pc.is_in(columns["guard_action"], pa.array(REFUSING)), "policy", _NO_TEXT),
    )
    action = pc.coalesce(columns["guard_action"], pc.if_else(pc.is_valid(rule), "allow", _NO_TEXT))
    return {"guard_action": action, "guard_policy": rule}


def _first_rule(decisions: str) -> str | None:
    """Return the rule of the first decision; None where the text is none of ours."""
    try:
        rule = json.loads(decisions)[0]["rule"]
    except (ValueError, LookupError, TypeError):
        return None
    return rule if isinstance(rule, str) and rule else None


def is_cached(columns: Mapping[str, pa.Array]) -> Flags:
    """Say which calls a cache of ours answered."""
    return is_word(columns["role"], "inference") & flags(pc.fill_null(columns["cache_hit"], False))


def is_refused(columns: Mapping[str, pa.Array]) -> Flags:
    """Say which calls were refused before they were sent; what tells of usage was sent, whatever else it says."""
    refusing = flags(pc.is_in(columns["guard_action"], pa.array(REFUSING)))
    unused = ~known(columns["usage_state"]) | is_word(columns["usage_state"], "missing")
    return is_word(columns["role"], "inference") & refusing & unused


def without_usage(columns: Mapping[str, pa.Array]) -> pa.Array:
    """Return usage_state, NULL where a call was refused: nothing is missing of what was never used."""
    return pc.if_else(pa.array(is_refused(columns)), pa.scalar(None, pa.string()), columns["usage_state"])


def is_free(columns: Mapping[str, pa.Array]) -> Flags:
    """Say which calls cost nothing, because nothing was sent."""
    return is_cached(columns) | is_refused(columns)

"""What a breaker says: to the call that it stops or changes, on its span, and of its own changes of state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from spanledger import names
from spanledger.errors import BreakerOpen
from spanledger.record import Attributes, Record
from spanledger.spans import OpenSpan

from .breaker import APART_MS, Breaker, State, StateName
from .breaker_evidence import sentence
from .decisions import Decision, as_json, exact, moment, shown
from .policy import WIRE_NAMES, Action
from .words import Refused

EVENT: Final = "spanledger.breaker"
"""Name of the span that a change of state is."""
_ACTIONS: Final[Mapping[StateName, Action]] = {
    "closed": "allow",
    "degraded": "degrade",
    "open": "block",
    "half_open": "warn",
}
_NOT_OF_EVENTS: Final = frozenset({names.PROVIDER, names.REQUEST_MODEL})
"""What would make a call of a step."""


def stopped(rule: Breaker, state: State, now_ms: int) -> Refused:
    """Say that a breaker is open."""
    resets = moment(state.until_ms) if state.until_ms else None
    again_ms = state.until_ms
    if not again_ms and not _stays(state, rule):
        again_ms = max(state.since_ms + rule.hold_ms, now_ms + APART_MS)
    message = f"{_title(state)}: {reason(state)}{_end(state, rule)}."
    trip = state.trip
    return Refused(
        BreakerOpen(
            message,
            policy=rule.name,
            scope=state.scope,
            unit=trip.unit if trip is not None else "usd",
            limit=exact(trip.limit, trip.unit) if trip is not None else None,
            spent=exact(trip.value, trip.unit) if trip is not None else None,
            resets_at=resets,
            retry_after_s=(again_ms - now_ms) / 1000 if again_ms else None,
        ),
        decision(rule, state, message),
    )


def used_up(rule: Breaker, state: State, let_through: int, now_ms: int) -> Refused:
    """Say that a half-open breaker has let its allowance through, and waits for what comes of it."""
    message = (
        f"{_title(state)}: it lets {shown(rule.allowance, 'usd')} through to see whether spend is calm, and that is"
        " spent or held."
    )
    refusal = BreakerOpen(
        message,
        policy=rule.name,
        scope=state.scope,
        limit=exact(rule.allowance, "usd"),
        spent=exact(let_through, "usd"),
        retry_after_s=APART_MS / 1000,
    )
    told = decision(rule, state, message)
    return Refused(refusal, told._replace(action="block", unit="usd", limit=rule.allowance, spent=let_through))


def decision(rule: Breaker, state: State, words: str = "") -> Decision:
    """Say on a call's span what a breaker does to it by its state."""
    return _decision(state, words or f"{_title(state)}: {reason(state)}", shadow=rule.shadow)


def change_words(before: State, after: State) -> str:
    """Say what a breaker was, is, and why."""
    why = "its time is over" if 0 < before.until_ms <= after.since_ms and after.name == "closed" else reason(after)
    return f"{after.name.replace('_', '-')}, was {before.name.replace('_', '-')}: {why}"


def change(before: State, after: State, tags: Mapping[str, str], *, shadow: bool) -> Record:
    """Make the span that a change of state is, with the evidence, and the tags that the scope is about."""
    attributes: Attributes = {name: value for name, value in tags.items() if name not in _NOT_OF_EVENTS}
    attributes[names.GUARD_ACTION] = "allow"  # of the span, which is no call that anything was done to
    attributes[names.GUARD_POLICY] = after.breaker
    attributes[names.GUARD_DECISIONS] = as_json([_decision(after, change_words(before, after), shadow=shadow)])
    return OpenSpan(EVENT, attributes).record(None)


def tags_of(rule: Breaker, values: Mapping[str, str]) -> dict[str, str]:
    """Return those tags of a call that a breaker's scope is about, by wire name."""
    keys = [*rule.match.keys, *(rule.budget.match.keys if rule.budget is not None else ())]
    found = {wire: values[wire] for _, wire, *_ in keys if wire in values}
    if rule.is_of_sessions and names.SESSION_ID in values:
        found[names.SESSION_ID] = values[names.SESSION_ID]
    return found


def tags_in(scope: str) -> dict[str, str]:
    """Return the tags that a scope's name tells, by wire name."""
    pairs = (part.partition("=") for part in scope.split(",") if "=" in part)
    return {WIRE_NAMES.get(key) or names.TAG_PREFIX + key: value for key, _, value in pairs}


def reason(state: State) -> str:
    """Say what put a breaker into its state."""
    if state.by_hand or state.forgive:
        return "by hand"
    return sentence(state.trip) if state.trip is not None else "spend is calm"


def _stays(state: State, rule: Breaker) -> bool:
    """Tell whether nothing but a person ends a state: what one session has spent never becomes less."""
    return state.by_hand or rule.is_of_sessions


def _decision(state: State, words: str, *, shadow: bool) -> Decision:
    trip = state.trip
    return Decision(
        state.breaker,
        "breaker",
        state.scope,
        _ACTIONS[state.name],
        words,
        shadow,
        trip.unit if trip is not None else None,
        trip.limit if trip is not None else None,
        trip.value if trip is not None else None,
        resets_at_ms=state.until_ms or None,
    )


def _title(state: State) -> str:
    since = f" since {moment(state.since_ms):%H:%M:%S} UTC" if state.since_ms else ""
    return f"The breaker '{state.breaker}' ({state.scope}) is {state.name.replace('_', '-')}{since}"


def _end(state: State, rule: Breaker) -> str:
    if state.until_ms:
        return f"; it closes at {moment(state.until_ms):%Y-%m-%d %H:%M} UTC"
    if _stays(state, rule):
        return "; `spanledger breaker reset` lets it go on"
    first = moment(state.since_ms + rule.hold_ms)
    return f"; it tries again from {first:%H:%M:%S} UTC on, if spend has calmed down"

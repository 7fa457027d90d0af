"""What the demo's policy did to calls of its history: the code that holds calls up decides, with accounts of that day.

Each run is played by itself, so that an hour comes out the same whenever it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from spanledger import names
from spanledger.guard.decisions import Decision, as_json, hardest
from spanledger.guard.policy import Policy
from spanledger.guard.policy_file import read_policy
from spanledger.guard.rehearsal import Outcome, PastCall, Rehearsal
from spanledger.lake_path import lake_path
from spanledger.pricing import price
from spanledger.record import Attributes
from spanledger.settings import SETTINGS, Settings
from spanledger.usage import Usage

from .people import (
    DIGEST_MODEL,
    FAQ,
    FLIGHT_SCOUT,
    NEWSLETTER,
    PEOPLE,
    PLANNING_MODEL,
    RUNAWAY_MODEL,
    RUNAWAY_USER,
    Feature,
    Person,
)
from .steps import Chance, Request, Step, wire_tags

_SCOUT_EVERY_DAYS: Final = 2
_SCOUT_HOUR, _NEWSLETTER_HOUR, _FAQ_HOURS = 15, 9, (10, 16)
_STEPS, _DRAFTS, _ASKED = 12, 8, 4
_BYTES_A_TOKEN: Final = 4


class _Call(NamedTuple):
    """A call as the application means it."""

    model: str
    usage: Usage
    most: int | None = None


def controlled_steps(seed: int, hour: datetime, open_request: Callable[[str, Person, Feature], Request]) -> list[Step]:
    """Return the spans of runs that the policy is about and that began in a UTC hour."""
    day = hour.toordinal()
    steps: list[Step] = []
    if hour.hour == _SCOUT_HOUR and day % _SCOUT_EVERY_DAYS == 0:
        request = open_request("scout", RUNAWAY_USER, FLIGHT_SCOUT)
        request.begin("flight scout")
        steps += _held(request, list(_scouted(request.chance)))
    if hour.hour == _NEWSLETTER_HOUR:
        request = open_request(
            "newsletter", Chance(f"{seed}/{day}").pick(PEOPLE, lambda one: one.eagerness), NEWSLETTER
        )
        request.begin("newsletter")
        steps += _held(request, list(_drafted(request.chance)))
    if hour.hour in _FAQ_HOURS:
        request = open_request("faq", Chance(f"{seed}/{hour}").pick(PEOPLE, lambda one: one.eagerness), FAQ)
        request.begin("faq")
        steps += _answered(request)
    return steps


def _scouted(chance: Chance) -> Iterator[_Call]:
    size = 4200
    for _ in range(_STEPS):
        output = chance.between(120, 260)
        yield _Call(RUNAWAY_MODEL, Usage.from_totals(size, output), 400)
        size += output + chance.between(1500, 2100)


def _drafted(chance: Chance) -> Iterator[_Call]:
    for _ in range(_DRAFTS):
        yield _Call(PLANNING_MODEL, Usage.from_totals(1000, chance.between(220, 300)))


def _held(request: Request, calls: list[_Call]) -> list[Step]:
    """Have the policy hold calls up, one after the other, and keep what became of them."""
    rehearsal = Rehearsal(_policy(), _settings())
    for number, call in enumerate(calls):
        for outcome in rehearsal.play([_past(request, number, call)]):
            spent = None if outcome.refused else call.usage
            request.call(outcome.model, spent, controls=_told(outcome))
    return request.finish()


def _past(request: Request, number: int, call: _Call) -> PastCall:
    provider = "anthropic" if call.model.startswith("claude") else "openai"
    return PastCall(
        id=f"{number:016x}",
        start_ns=request.clock_ns,
        duration_ns=1_000_000,
        operation="chat",
        provider=provider,
        model=call.model,
        values=wire_tags(request.tags),
        session=request.tags["session_id"],
        size=call.usage.input_tokens * _BYTES_A_TOKEN,
        most=call.most,
        usage=call.usage,
        cost_pico=_pico(call.model, call.usage, request.clock_ns),
    )


def _told(outcome: Outcome) -> Attributes:
    done = hardest(outcome.decisions)
    found: Attributes = {names.GUARD_ACTION: done.action if done is not None else "allow"}
    if done is not None:
        found[names.GUARD_POLICY] = done.rule
    if outcome.decisions:
        found[names.GUARD_DECISIONS] = as_json(outcome.decisions)
    if outcome.refused:
        found[names.ERROR_TYPE] = "spanledger.errors.BudgetExceeded"
    if outcome.model != outcome.call.model:
        found[names.ROUTED_FROM] = outcome.call.model
        if outcome.call.cost_pico is not None and outcome.cost_pico is not None:
            found[names.AVOIDED_PICO_USD] = outcome.call.cost_pico - outcome.cost_pico
    return found


def _answered(request: Request) -> list[Step]:
    """Ask one question several times: the first is answered by the model, the others by the cache."""
    (rule,) = _policy().more["cache"]
    usage = Usage.from_totals(600, request.chance.between(80, 100))
    request.call(DIGEST_MODEL, usage)
    for _ in range(_ASKED - 1):
        scope = f"feature={FAQ.name}"
        given = Decision(rule.name, "cache", scope, "allow", f"{rule.name} has an answer")
        hit: Attributes = {
            names.CACHE_HIT: True,
            names.GUARD_ACTION: "allow",
            names.GUARD_POLICY: rule.name,
            names.GUARD_DECISIONS: as_json([given]),
        }
        avoided = _pico(DIGEST_MODEL, usage, request.clock_ns)
        request.call(DIGEST_MODEL, usage, controls=hit if avoided is None else hit | {names.AVOIDED_PICO_USD: avoided})
    return request.finish()


def _pico(model: str, usage: Usage, at_ns: int) -> int | None:
    provider = "anthropic" if model.startswith("claude") else "openai"
    return price(provider, model, usage, at_ns, itemised=False).cost_pico


@cache
def _policy() -> Policy:
    return read_policy(Path(__file__).with_name("policy.toml"), _settings())


@cache
def _settings() -> Settings:
    """Return settings that nobody has changed: an hour is the same on every machine."""
    given: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
    return Settings(**given | {"home": Path(), "lake": lake_path("lake")})

"""What is likely wrong with a policy that can be read: rules that never match, or never do what they say.

Each finding is of a fact that a person can look up: the policy itself, the price book, the environment, and calls of
the last week, where the lake has some. Without calls, what hangs on them is left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

from spanledger.guard.breaker import Breaker
from spanledger.guard.cache.lookup import GOOD_ENDS
from spanledger.guard.capabilities import PROVIDERS, known
from spanledger.guard.decisions import shown
from spanledger.guard.policy import Budget, Limit, Policy, Threshold
from spanledger.pricing import price
from spanledger.usage import Usage

from .seen import Seen

Level: TypeAlias = Literal["error", "warning", "note"]
_TRIED: Final = Usage(input_uncached_tokens=1_000_000, output_text_tokens=1_000_000)


class Finding(NamedTuple):
    """Something about a rule."""

    level: Level
    rule: str
    """Empty for the policy as a whole."""
    sentence: str


def lint(
    policy: Policy, workers: int, seen: Mapping[str, Seen] | None, ends: Mapping[str, Mapping[str, int]], at_ns: int
) -> list[Finding]:
    """Return what is likely wrong, in the policy's order.

    Args:
        policy: The rules.
        workers: Processes that the application seems to have.
        seen: Name of a budget or limit to calls of the last week that it is about; None where the lake has none at all.
        ends: Name of a cache to how many answers of the last week ended by what.
        at_ns: When prices are looked up.
    """
    found = [*_store(policy, workers), *_names(policy)]
    for budget in policy.budgets:
        found += _budget(policy, budget, None if seen is None else seen[budget.name])
    for limit in policy.limits:
        found += _limit(limit, None if seen is None else seen[limit.name])
    return [*found, *_degrades(policy, seen, at_ns), *_routes(policy, seen, at_ns), *_caches(policy, ends)]


def _store(policy: Policy, workers: int) -> Iterator[Finding]:
    if policy.store == "memory" and workers > 1:
        yield Finding(
            "warning",
            "",
            f'store = "memory" counts in each process by itself, and there seem to be {workers} workers: together they'
            f' may spend {workers} times as much; take store = "sqlite"',
        )
    if policy.store not in ("memory", "sqlite") and importlib.util.find_spec("redis") is None:
        yield Finding("error", "", "a store in Redis needs the extra: pip install 'spanledger[redis]'")
    if not policy.rules and not any(policy.more.values()):
        yield Finding("warning", "", "there is no rule in it, so nothing is held up")


def _names(policy: Policy) -> Iterator[Finding]:
    named = [(kind, rule.name) for kind, rules in _named(policy) for rule in rules]
    seen: dict[str, str] = {}
    for kind, name in named:
        if name in seen and seen[name] != kind:
            words = f"a [[{seen[name]}]] and a [[{kind}]] have this name, which is all that people are told"
            yield Finding("warning", name, words)
        seen.setdefault(name, kind)


def _named(policy: Policy) -> Iterator[tuple[str, Sequence[Budget | Limit]]]:
    yield "budget", policy.budgets
    yield "limit", policy.limits
    yield from policy.more.items()


def _budget(policy: Policy, budget: Budget, seen: Seen | None) -> Iterator[Finding]:
    yield from _never_matches(budget, seen)
    yield from _never_reached(budget)
    if not any(one.action != "allow" for one in budget.at):
        yield Finding("note", budget.name, "does nothing at any share: it only counts")
    if budget.fail_closed and policy.store == "memory":
        yield Finding(
            "note", budget.name, 'store_away = "closed" says nothing of a store in memory, which is never away'
        )
    for used in () if seen is None else seen.models:
        usual = used.nano_usd if budget.unit == "usd" else used.tokens
        if usual is not None and usual > budget.cap:
            cap, takes = shown(budget.cap, budget.unit), shown(usual, budget.unit)
            yield _warning(budget, f"{cap} is less than a call of {used.model} takes on average, {takes}")
        if used.unpriced_calls and budget.unit == "usd" and budget.unknown_price == "allow":
            yield _warning(
                budget,
                f"{used.unpriced_calls:,} of the calls of {used.model} had no price, and counted nothing: set"
                " unknown_price, or a price in the contract",
            )


def _limit(limit: Limit, seen: Seen | None) -> Iterator[Finding]:
    yield from _never_matches(limit, seen)
    most = limit.tokens_per_minute
    for used in () if seen is None or most is None else seen.models:
        if most is not None and used.tokens > most:
            yield _warning(
                limit,
                f"{most:,} tokens a minute are less than a call of {used.model} takes on average, {used.tokens:,}:"
                " it would never be let through",
            )


def _never_matches(rule: Budget | Limit, seen: Seen | None) -> Iterator[Finding]:
    given = {key: value for key, _, value, _ in rule.match.keys if value is not None}
    provider, model = given.get("provider"), given.get("model")
    if provider is not None and model is not None:
        reason = price(provider, model, _TRIED, 0, itemised=False).unpriced_reason
        if reason in ("unknown_provider", "unknown_model"):
            yield _warning(rule, f"the price book knows no {model} of {provider}: it may never match")
    if seen is not None and not seen.calls:
        yield _warning(rule, f"no call of the last week has {rule.match.told}: it may never match")


def _never_reached(budget: Budget) -> Iterator[Finding]:
    """Tell of milder actions that stand at or above a share at which calls are stopped already."""
    stops = next((one for one in budget.at if one.action in ("block", "defer")), None)
    for place, one in enumerate(budget.at):
        if stops is not None and one.share > stops.share:
            yield _warning(budget, f"{_told(one)} is never reached: {_told(stops)} comes before it")
            continue
        harder = [before for before in budget.at[:place] if before.action == "degrade" and one.action == "warn"]
        if harder:
            yield _warning(budget, f"{_told(one)} takes the place of {_told(harder[-1])}, which is harder")


def _told(one: Threshold) -> str:
    return f"{one.action} at {one.percent}"


def _warning(rule: Budget | Limit | Breaker, sentence: str) -> Finding:
    return Finding("warning", rule.name, sentence)


def _degrades(policy: Policy, seen: Mapping[str, Seen] | None, at_ns: int) -> Iterator[Finding]:
    named = {rule.model for rule in policy.degrades}
    for breaker in policy.more.get("breaker", ()):
        if not named and any(one.action == "degrade" for one in breaker.at):
            yield _warning(breaker, "degrades, and no [[degrade]] names a model that stands in")
    for budget in policy.budgets:
        if not any(one.action == "degrade" for one in budget.at):
            continue
        if not named:
            yield _warning(budget, "degrades, and no [[degrade]] names a model that stands in")
        for used in () if seen is None or not named else seen[budget.name].models:
            if used.model not in named and used.model not in {rule.to for rule in policy.degrades}:
                yield _warning(budget, f"degrades, and no [[degrade]] names a model that stands in for {used.model}")
    for rule in policy.degrades:
        yield from _dearer(rule.name, rule.model, rule.to, _providers(seen, rule.model), at_ns)


def _routes(policy: Policy, seen: Mapping[str, Seen] | None, at_ns: int) -> Iterator[Finding]:
    budgets = {budget.name for budget in policy.budgets}
    pairs = [(rule.name, rule.model, rule.to, rule.supports) for rule in policy.degrades]
    for route in policy.more.get("route", ()):
        for name, _ in route.budget:
            if name not in budgets:
                yield Finding("warning", route.name, f"waits for a budget that isn't there: {name}")
        for model, _, to in route.to:
            pairs.append((route.name, model, to, route.supports))
            yield from _dearer(route.name, model, to, _providers(seen, model), at_ns)
    for rule, _, to, supports in pairs:
        if not supports and not any(known(provider, to) for provider in PROVIDERS):
            yield Finding(
                "warning", rule, f"nothing is known of what {to} takes, so no call goes there: say it, supports"
            )


def _caches(policy: Policy, ends: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    for rule in policy.more.get("cache", ()):
        ended = ends.get(rule.name, {})
        cut = {reason: count for reason, count in ended.items() if reason not in GOOD_ENDS}
        if cut and 2 * sum(cut.values()) >= sum(ended.values()):
            told = f"{sum(cut.values()):,} of the {sum(ended.values()):,} answers of the last week that it is about"
            yield Finding(
                "warning",
                rule.name,
                f"{told} ended by {', '.join(sorted(cut))}: such are not kept; with a larger max_tokens they may end by"
                " themselves",
            )


def _dearer(rule: str, model: str, to: str, providers: Collection[str], at_ns: int) -> Iterator[Finding]:
    for provider in providers or ("openai", "anthropic", *(("gcp.gemini",) if model.startswith("gemini") else ())):
        before, after = (price(provider, name, _TRIED, at_ns, itemised=False).cost_pico for name in (model, to))
        if before is not None and after is not None and after >= before:
            usd = [f"${Decimal(pico).scaleb(-12).normalize():f}" for pico in (before, after)]
            yield Finding("warning", rule, f"saves nothing: a million tokens in and out are {usd[0]} and {usd[1]}")
        elif before is not None and after is None:
            yield Finding("warning", rule, f"the price book knows no {to} of {provider}")


def _providers(seen: Mapping[str, Seen] | None, model: str) -> Collection[str]:
    found = (used for one in (seen or {}).values() for used in one.models)
    return {used.provider for used in found if used.model == model}

"""Reading a policy: TOML that a person writes, refused with the line and the key where it says what can't be.

Each kind of rule is a row of `KINDS`: its keys and what makes a rule of an entry.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple, cast, get_args
from zoneinfo import ZoneInfo

from spanledger.entries import Entry, EntryError, read_entries
from spanledger.settings import Settings

from .durations import EXPECTED, read_ms
from .policy import ACTIONS, Action, Budget, Degrade, Estimate, Limit, Match, Policy, Threshold, make_match
from .store import NANO
from .windows import Per

_STORES: Final = re.compile(r"memory|sqlite|rediss?://\S+|unix://\S+")
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_USD: Final = 9 * 10**6
"""Above it a Lua script's numbers are not exact any more."""


class PolicyError(EntryError):
    """A policy that can't be used; says the line and the key."""


class PolicyEntry(Entry):
    """An entry of a policy."""

    defaults: Settings
    """The settings in force, for time zones."""
    budgets: dict[str, Budget]
    """All of the policy, by name, for entries that name one: they are read first."""

    def match(self) -> Match:
        """Read which calls the rule is about; nothing given means all."""
        given = self.given.get("match", {})
        if not isinstance(given, dict):
            raise self.refuse("match", 'expected a table, as { team_id = "support" }')
        for key, value in given.items():
            if not _KEY.fullmatch(key):
                raise self.refuse("match", f"{key!r} can't be the key of a tag: letters, digits, _ . - only")
            if not isinstance(value, str) or not value:
                raise self.refuse("match", f"{key}: expected text in quotes; * stands for any")
        return make_match(given)

    def switch(self, key: str) -> bool:
        """Read true or false, false where nothing is given."""
        value = self.given.get(key, False)
        if not isinstance(value, bool):
            raise self.refuse(key, "expected true or false")
        return value

    def one_of(self, key: str, known: tuple[str, ...], default: str | None = None) -> str:
        """Read one word of several."""
        word = self.text(key, default)
        if word not in known:
            raise self.refuse(key, f"expected one of {', '.join(known)}, not {word!r}")
        return word

    def whole(self, key: str, least: int = 1) -> int | None:
        """Read a whole number; None where nothing is given."""
        value = self.given.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.refuse(key, f"expected a whole number of at least {least}, not {value!r}")
        return value

    def duration_ms(self, key: str, default_ms: int) -> int:
        """Read a length of time such as 500ms, 2s, 1h; milliseconds."""
        if key not in self.given:
            return default_ms
        found = read_ms(self.text(key))
        if found is None:
            raise self.refuse(key, EXPECTED)
        return found

    def nano(self, key: str, value: object) -> int:
        """Read an amount of US dollars as nano-dollars, rounded up."""
        if isinstance(value, float):
            value = str(value)  # as it was written: nobody means another number than the one that stands there
        usd = self.exact_money(key, value, above=0)
        if usd > _MOST_USD:
            raise self.refuse(key, f"expected at most {_MOST_USD:,} dollars")
        return int((usd * NANO).to_integral_value(ROUND_CEILING))


class Kind(NamedTuple):
    """A kind of rule."""

    keys: frozenset[str]
    read: Callable[[PolicyEntry], Any]
    named: bool = True


SHARED: Final = frozenset({"name", "match", "shadow"})


def _budget(entry: PolicyEntry) -> Budget:
    if ("usd" in entry.given) == ("tokens" in entry.given):
        raise entry.refuse("usd", "needed, or else tokens: one of the two")
    in_usd = "usd" in entry.given
    if not in_usd and "unknown_price" in entry.given:
        raise entry.refuse("unknown_price", "a budget of tokens needs no price")
    return Budget(
        name=entry.text("name"),
        match=entry.match(),
        per=cast(Per, entry.one_of("per", get_args(Per))),
        cap=entry.nano("usd", entry.given["usd"]) if in_usd else cast(int, entry.whole("tokens")),
        unit="usd" if in_usd else "tokens",
        at=thresholds(entry),
        estimate=cast(Estimate, entry.one_of("estimate", get_args(Estimate), "expected")),
        zone=_zone(entry),
        billing_day=entry.defaults.billing_day,
        unknown_price=_unknown_price(entry),
        fail_closed=entry.one_of("store_away", ("open", "closed"), "open") == "closed",
        throttled_per_minute=entry.whole("throttled_per_minute") or 6,
        shadow=entry.switch("shadow"),
    )


def thresholds(entry: PolicyEntry) -> tuple[Threshold, ...]:
    """Read what is done from which share on."""
    given = entry.given.get("at", {"100%": "block"})
    if not isinstance(given, dict) or not given:
        raise entry.refuse("at", 'expected a table, as { "70%" = "warn", "100%" = "block" }')
    found = []
    for share, action in given.items():
        number = re.fullmatch(r"(\d{1,3}(?:\.\d{1,2})?)\s*%", share)
        if number is None or not Decimal(number[1]):
            raise entry.refuse("at", f'{share!r}: expected a share, as "90%"')
        if action not in ACTIONS:
            raise entry.refuse("at", f"{share}: expected one of {', '.join(ACTIONS)}, not {action!r}")
        found.append(Threshold(Fraction(number[1]) / 100, cast(Action, action)))
    return tuple(sorted(found, key=lambda one: one.share))


def _zone(entry: PolicyEntry) -> ZoneInfo:
    name = entry.text("zone", entry.defaults.zone)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise entry.refuse("zone", f"unknown time zone {name!r}; write its IANA name, as Europe/Berlin") from error


def _unknown_price(entry: PolicyEntry) -> Any:
    value = entry.given.get("unknown_price", "allow")
    if value in ("allow", "deny"):
        return value
    return entry.nano("unknown_price", value)


def _limit(entry: PolicyEntry) -> Limit:
    limit = Limit(
        name=entry.text("name"),
        match=entry.match(),
        requests_per_minute=entry.whole("requests_per_minute"),
        tokens_per_minute=entry.whole("tokens_per_minute"),
        concurrent=entry.whole("concurrent"),
        max_wait_ms=entry.duration_ms("max_wait", 0),
        shadow=entry.switch("shadow"),
    )
    if limit.requests_per_minute is limit.tokens_per_minute is limit.concurrent is None:
        raise entry.refuse("name", "needs requests_per_minute, tokens_per_minute or concurrent")
    return limit


def _degrade(entry: PolicyEntry) -> Degrade:
    model, to = entry.text("model"), entry.text("to")
    if model == to:
        raise entry.refuse("to", "is the same model")
    return Degrade(f"{model} -> {to}", model, to, entry.texts("drop"), entry.texts("supports"))


KINDS: Final[dict[str, Kind]] = {
    "budget": Kind(
        SHARED
        | {"per", "usd", "tokens", "estimate", "at", "zone", "unknown_price", "store_away"}
        | {"throttled_per_minute"},
        _budget,
    ),
    "limit": Kind(SHARED | {"requests_per_minute", "tokens_per_minute", "concurrent", "max_wait"}, _limit),
    "degrade": Kind(frozenset({"model", "to", "drop", "supports"}), _degrade, named=False),
}
"""Kinds of rules that are read here; those of `MORE` are read where they are at home."""
MORE: Final[Mapping[str, str]] = {"breaker": "breaker_file", "cache": "cache.rule", "route": "route_file"}
"""Kind of rule to the module of this package whose `KIND` reads it."""


def read_policy(path: Path, settings: Settings) -> Policy:
    """Read a policy.

    Raises:
        PolicyError: it isn't one, or says something that can't be.
    """
    kinds = {**KINDS, **{kind: importlib.import_module(f".{home}", __package__).KIND for kind, home in MORE.items()}}

    budgets: dict[str, Budget] = {}

    def make(given: Mapping[str, Any], refuse: Any) -> PolicyEntry:
        entry = PolicyEntry(given, refuse)
        entry.defaults, entry.budgets = settings, budgets
        return entry

    top: dict[str, Any] = {"store": "memory"}
    read = read_entries(
        path,
        {kind: row.keys for kind, row in kinds.items()},
        variable="SPANLEDGER_POLICY",
        named=[kind for kind, row in kinds.items() if row.named],
        error=PolicyError,
        make=make,
        top=top,
    )
    store = top["store"]
    if not isinstance(store, str) or not _STORES.fullmatch(store):
        raise PolicyError(path, None, f'store: expected "memory", "sqlite" or "redis://host:6379/0", not {store!r}')
    found = tuple(KINDS["budget"].read(entry) for entry in read.pop("budget"))
    budgets.update((rule.name, rule) for rule in found)
    rules = {kind: tuple(kinds[kind].read(entry) for entry in entries) for kind, entries in read.items()}
    return Policy(
        store=store,
        budgets=found,
        limits=rules.pop("limit"),
        degrades=rules.pop("degrade"),
        more=rules,
        path=str(path),
    )

"""Reading a contract: TOML that a person writes, refused with the line and the key where it says what can't be."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from . import contract
from .contract import Commitment, Contract, Deployment, Discount, Fee, FxRate, Price, Scope
from .entries import Entry, EntryError, decimal, read_entries
from .rates import CONTEXT_KEYS, TOKEN_METERS, TOKEN_PRICE_NAMES
from .settings import Settings

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SCOPE: Final = frozenset({"provider", "models", "account", "from", "to"})
_KNOWN: Final = {
    "deployment": _SCOPE - {"models"} | {"name", "model"},
    "price": _SCOPE - {"models"}
    | {"model", "match", "context", "daily", "above", "up_to", "free", "usd_per_million", "usd_per_unit"},
    "discount": _SCOPE | {"name", "percent", "meters"},
    "self_hosted": _SCOPE - {"models"}
    | {"model", "match", "gpu_usd_per_hour", "gpus", "overhead", "utilisation"}
    | {"input_tokens_per_second", "output_tokens_per_second"},
    "fee": _SCOPE | {"name", "usd_per_month", "spread"},
    "commitment": _SCOPE | {"name", "usd"},
    "fx": frozenset({"currency", "from", "usd"}),
}
_NAMED: Final = frozenset({"discount", "fee", "commitment"})
"""Kinds whose entries are told apart by their names."""
_ATTO: Final = 10**18


class ContractError(EntryError):
    """A contract that can't be used; says the line and the key."""


def read_contract(path: Path) -> Contract:
    """Read a contract.

    Raises:
        ContractError: it isn't one, or says something that can't be.
    """
    read = read_entries(path, _KNOWN, variable="SPANLEDGER_CONTRACT", named=_NAMED, error=ContractError, make=_Entry)
    return Contract(
        deployments=tuple(_deployment(entry) for entry in read["deployment"]),
        prices=tuple(_price(entry) for entry in read["price"])
        + tuple(_self_hosted(entry) for entry in read["self_hosted"]),
        discounts=tuple(_discount(entry) for entry in read["discount"]),
        fees=tuple(_fee(entry) for entry in read["fee"]),
        commitments=tuple(_commitment(entry) for entry in read["commitment"]),
        fx=tuple(_fx(entry) for entry in read["fx"]),
        path=str(path),
    )


def use_named(settings: Settings) -> None:
    """Put the contract that the settings name in force, for the length of the process; none where they name none."""
    path = contract.named(settings)
    contract.use(read_contract(path) if path else contract.NONE)


class _Entry(Entry):
    """An entry of a contract."""

    def instant_ns(self, key: str, default: int) -> int:
        value = self.given.get(key)
        return default if value is None else _instant_ns(self, key, value)

    def scope(self, models: tuple[str, ...] = ()) -> Scope:
        whole = Scope("*")
        from_ns, to_ns = self.instant_ns("from", whole.from_ns), self.instant_ns("to", whole.to_ns)
        if from_ns >= to_ns:
            raise self.refuse("to", "must be later than `from`")
        account = self.text("account") if "account" in self.given else None
        patterns = tuple(pattern.lower() for pattern in models or self.texts("models") or ("*",))
        return Scope(self.text("provider", "*").lower(), patterns, account, from_ns, to_ns)

    def own_model(self) -> tuple[str, Scope]:
        """Read the model that a price of yours is for: its name, and what calls it."""
        if "provider" not in self.given:
            raise self.refuse("provider", "needed, as calls name it")
        model = self.text("model")
        return model, self.scope((model, *self.texts("match")))


def _deployment(entry: _Entry) -> Deployment:
    return Deployment(entry.scope((entry.text("name"),)), entry.text("model"))


def _price(entry: _Entry) -> Price:
    model, scope = entry.own_model()
    row: dict[str, Any] = {key: entry.given[key] for key in ("daily", "above", "up_to", "free") if key in entry.given}
    if "daily" in row and not _is_window(row["daily"]):
        raise entry.refuse("daily", 'expected two times of the day in UTC, as ["16:30:00", "24:00:00"]')
    for key in ("above", "up_to"):
        if key in row and (type(row[key]) is not int or row[key] < 0):
            raise entry.refuse(key, "expected a whole number of input tokens")
    row["prices"] = _amounts(entry, "usd_per_million", 10**6) | _amounts(entry, "usd_per_unit", 1)
    if not row["prices"] and not row.get("free"):
        raise entry.refuse("usd_per_million", "needed, or usd_per_unit, or free = true")
    context = entry.given.get("context", {})
    if not isinstance(context, dict) or not CONTEXT_KEYS.issuperset(context):
        raise entry.refuse("context", f"expected a table of {', '.join(sorted(CONTEXT_KEYS))}")
    return Price(model, scope, row, "&".join(f"{key}={str(context[key]).lower()}" for key in sorted(context)))


def _amounts(entry: _Entry, key: str, per: int) -> dict[str, int]:
    given = entry.given.get(key, {})
    if not isinstance(given, dict):
        raise entry.refuse(key, 'expected a table, as { input_tokens = "2.5" }')
    amounts = {}
    for name, value in given.items():
        if isinstance(value, float):
            raise entry.refuse(key, f'{name}: write the number in quotes, as "{value}", so that it stays exact')
        if per > 1 and name not in TOKEN_PRICE_NAMES:
            raise entry.refuse(key, f"{name} is no token price; known: {', '.join(sorted(TOKEN_PRICE_NAMES))}")
        amounts[name] = _atto(decimal(entry, key, value, None, None) / per)
    return amounts


def _self_hosted(entry: _Entry) -> Price:
    """Price a token by the time that it takes: USD/h x GPUs x (1 + overhead) / (tokens/s x 3600 x utilisation)."""
    model, scope = entry.own_model()
    hour = entry.number("gpu_usd_per_hour", above=0) * entry.number("gpus", "1", above=0)
    hour *= 1 + entry.number("overhead", "0")
    used = 3600 * entry.number("utilisation", "1", above=0, most=1)
    prices = {
        f"{side}_tokens": _atto(hour / (entry.number(f"{side}_tokens_per_second", above=0) * used))
        for side in ("input", "output")
    }
    return Price(model, scope, {"prices": prices}, "")


def _discount(entry: _Entry) -> Discount:
    meters = entry.texts("meters")
    for meter in meters:
        if meter in ("input_tokens", "output_tokens"):
            raise entry.refuse("meters", f"{meter} is a total; name its parts: {', '.join(TOKEN_METERS)}")
    percent = entry.number("percent", most=100)
    return Discount(entry.text("name"), entry.scope(), 1 - Fraction(percent) / 100, frozenset(meters))


def _fee(entry: _Entry) -> Fee:
    spread = entry.text("spread", "cost")
    if spread not in ("cost", "tokens", "calls"):
        raise entry.refuse("spread", "expected cost, tokens or calls")
    usd = entry.money("usd_per_month")
    for key in ("from", "to") if "to" in entry.given else ("from",):
        value = entry.given.get(key)
        if type(value) is not date or value.day != 1:
            raise entry.refuse(key, "needed, as the first day of a month: 2026-01-01")
    return Fee(entry.text("name"), entry.scope(), usd, spread)  # type: ignore[arg-type]


def _commitment(entry: _Entry) -> Commitment:
    for key in ("from", "to"):
        if key not in entry.given:
            raise entry.refuse(key, "needed, as a date: a promise has a beginning and an end")
    return Commitment(entry.text("name"), entry.scope(), entry.money("usd", above=0))


def _fx(entry: _Entry) -> FxRate:
    currency, first = entry.text("currency"), entry.given.get("from")
    if not re.fullmatch("[A-Z]{3}", currency) or currency == "USD":
        raise entry.refuse("currency", "expected a code of three capitals other than USD, as EUR")
    if type(first) is not date:
        raise entry.refuse("from", "needed, as a date: 2026-01-01")
    return FxRate(currency, first, entry.money("usd", above=0))


def _instant_ns(entry: _Entry, key: str, value: object) -> int:
    moment = value
    if type(value) is date:
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise entry.refuse(key, "expected a date (2026-01-01, UTC) or an instant (2026-01-01T12:00:00Z)")
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _is_window(value: object) -> bool:
    clock = re.compile(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d|24:00:00")
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(time, str) and clock.fullmatch(time) for time in value)
        and value[0] < value[1]
    )


def _atto(usd: Decimal) -> int:
    return int((usd * _ATTO).to_integral_value(ROUND_HALF_UP))

"""What you have agreed on with your providers: prices, discounts, deployments, hardware of your own, and fixed fees.

It comes from one TOML file of the user's (`contract_file` reads it) and goes before every list price. Which contract
is in force is one value for the process, so that the application, the collector and the command price alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal

from .settings import Settings

Spread = Literal["cost", "tokens", "calls"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which calls an entry is for."""

    provider: str
    """As calls have it, in lower case; `*` for all."""
    models: tuple[str, ...] = ("*",)
    """Patterns of the model's name, in lower case; `*` stands for any characters."""
    account: str | None = None
    """Account at the provider; None for all."""
    from_ns: int = -(2**63 - 1)
    to_ns: int = 2**63 - 1
    """Half-open [from_ns, to_ns), nanoseconds since 1970 UTC."""

    def covers(self, providers: tuple[str, ...], model: str, account: str | None) -> bool:
        """Whether calls of this model are meant, whenever they are made."""
        return (
            (self.provider == "*" or self.provider in providers)
            and (self.account is None or self.account == account)
            and any(fnmatchcase(model, pattern) for pattern in self.models)
        )


@dataclass(frozen=True, slots=True)
class Deployment:
    """A name of yours for a model of the book."""

    scope: Scope
    model: str


@dataclass(frozen=True, slots=True)
class Price:
    """A price agreed on, in the shape of a row of the book."""

    name: str
    """Of the model, as `matched_model` says it."""
    scope: Scope
    row: Mapping[str, Any]
    """`prices` in atto-dollars by unit, and `daily`, `above`, `up_to`, `free`."""
    context: str
    """`processing=batch` and the like; empty for the plain price."""


@dataclass(frozen=True, slots=True)
class Discount:
    """A part of the list price."""

    name: str
    scope: Scope
    factor: Fraction
    """0.875 for 12.5 percent off."""
    meters: frozenset[str]
    """Token parts and units that it is for; empty for all."""


@dataclass(frozen=True, slots=True)
class Fee:
    """A fixed amount a month, whatever is used: a provisioned deployment, a seat, a subscription."""

    name: str
    scope: Scope
    """The calls that share it; it runs from the first day of a month to that of another."""
    usd_per_month: Decimal
    spread: Spread
    """By what they share it."""


@dataclass(frozen=True, slots=True)
class Commitment:
    """An amount that you have promised to spend."""

    name: str
    scope: Scope
    usd: Decimal
    """From `scope.from_ns` to `scope.to_ns`."""


@dataclass(frozen=True, slots=True)
class FxRate:
    """What one unit of a currency is worth from a day on."""

    currency: str
    """ISO 4217."""
    first: date
    usd: Decimal
    """US dollars a unit."""


@dataclass(frozen=True, slots=True, eq=False)
class Contract:
    """One file; equal to itself only, so that what was found under it is forgotten with it."""

    deployments: tuple[Deployment, ...] = ()
    prices: tuple[Price, ...] = ()
    discounts: tuple[Discount, ...] = ()
    fees: tuple[Fee, ...] = ()
    commitments: tuple[Commitment, ...] = ()
    fx: tuple[FxRate, ...] = ()
    path: str = field(default="", kw_only=True)


NONE: Final = Contract()
_in_force: Contract = NONE


def in_force() -> Contract:
    """Return the contract that calls are priced under."""
    return _in_force


def use(contract: Contract) -> None:
    """Price under this contract from now on."""
    global _in_force
    _in_force = contract


def named(settings: Settings) -> Path | None:
    """Return the file that the settings name; None where there is none."""
    if settings.contract:
        return Path(settings.contract).expanduser()
    usual = settings.home / "contract.toml"
    return usual if usual.is_file() else None

"""Decisions: what a rule did to a call or, in shadow, would have done, as the call's span and an error tell it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

from spanledger import names
from spanledger.record import Attributes

from .policy import ACTIONS, Action
from .store import Unit

Kind: TypeAlias = Literal["budget", "limit", "breaker", "route", "cache"]
_WORDS: Final = {"usd": "", "tokens": " tokens", "calls": " calls"}


class Decision(NamedTuple):
    """What one rule did."""

    rule: str
    kind: Kind
    scope: str
    action: Action
    sentence: str
    shadow: bool = False
    unit: Unit | None = None
    limit: int | None = None
    """Nano-dollars, tokens or calls, as the three below."""
    spent: int | None = None
    held: int | None = None
    estimate: int | None = None
    resets_at_ms: int | None = None
    would_save_pico: int | None = None
    """Of a route that was not taken: what it would have saved, below 0 where it would have cost more."""


def as_json(decisions: Iterable[Decision]) -> str:
    """Return decisions as the span carries them: a JSON list."""
    return json.dumps([_fields(one) for one in decisions], ensure_ascii=False, separators=(",", ":"))


def _fields(one: Decision) -> dict[str, object]:
    fields: dict[str, object] = {
        "rule": one.rule,
        "kind": one.kind,
        "scope": one.scope,
        "action": one.action,
        "shadow": one.shadow,
        "sentence": one.sentence,
    }
    if one.unit is not None:
        fields["unit"] = one.unit
        for name in ("limit", "spent", "held", "estimate"):
            amount = getattr(one, name)
            if amount is not None:
                fields[name] = f"{exact(amount, one.unit):f}"
    if one.would_save_pico is not None:
        fields["would_save_usd"] = f"{Decimal(one.would_save_pico).scaleb(-12).normalize() + 0:f}"
    if one.resets_at_ms is not None:
        fields["resets_at"] = moment(one.resets_at_ms).isoformat().replace("+00:00", "Z")
    return fields


def add_decision(attributes: Attributes, decision: Decision) -> None:
    """Put one more decision on a span."""
    known = attributes.get(names.GUARD_DECISIONS)
    listed = json.loads(known) if isinstance(known, str) else []
    attributes[names.GUARD_DECISIONS] = json.dumps(
        [*listed, _fields(decision)], ensure_ascii=False, separators=(",", ":")
    )
    attributes.setdefault(names.GUARD_ACTION, "allow")


def hardest(decisions: Iterable[Decision]) -> Decision | None:
    """Return the decision that did most to the call; None where all are in shadow."""
    done = [one for one in decisions if not one.shadow]
    return max(done, key=lambda one: ACTIONS.index(one.action), default=None)


def exact(amount: int, unit: Unit) -> Decimal:
    """Return an amount in its unit: dollars of nano-dollars."""
    return Decimal(amount).scaleb(-9).normalize() + 0 if unit == "usd" else Decimal(amount)


def shown(amount: int, unit: Unit) -> str:
    """Return an amount as people read it: $1,234.50, 1,000 tokens."""
    if unit != "usd":
        return f"{amount:,}{_WORDS[unit]}"
    usd = Decimal(amount).scaleb(-9)
    if usd < Decimal("0.01"):
        return f"${usd.normalize() + 0:f}" if usd else "$0.00"
    whole, _, decimals = f"{usd:,.{6 if usd < 1 else 4 if usd < 10 else 2}f}".partition(".")
    return f"${whole}.{decimals.rstrip('0'):0<2}"


def moment(at_ms: int) -> datetime:
    """Return Unix milliseconds as a time in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)

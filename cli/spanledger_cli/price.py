"""`spanledger price`: price one call, or a call a line, and show the meters it was charged by.

With `-`, a line that can't be read is answered with an object of `line` and `error`, so that answers stay in step
with questions; it is also named on stderr, and the exit code is 1 once every other line is answered.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final, TypeAlias

import click

from spanledger.pricing import COMPONENTS, Charge, PriceContext, Priced, price
from spanledger.settings import load
from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS, Usage

from .in_force import price_as_set
from .price_table import explained

Json: TypeAlias = "str | int | Decimal | bool | list[Json] | dict[str, Json] | None"

EXIT_FAILED: Final = 1
EXIT_UNPRICED: Final = 3
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CONTEXT_KEYS: Final = PriceContext._fields
_LINE_KEYS: Final = frozenset({"provider", "model", "usage", "at", "context"})


_NOTES: Final = """\b
Usage keys are the token columns (input_tokens, cache_read_tokens, ...):
totals with the parts inside them, or parts alone. Any other key is a unit
(web_searches, characters, seconds, pages, ...).

\b
Exit codes: 0 priced; 3 unpriced, the answer says why; 2 unreadable input.
With -: 0, or 1 where a line was unreadable (its answer has line and error).
"""


@click.command(epilog=_NOTES)
@click.argument("provider")
@click.argument("model", required=False)
@click.option("--usage", help='As JSON: {"input_tokens": 5000, "output_tokens": 600}.')
@click.option("--at", help="When the call was made, RFC 3339; default: now.")
@click.option("--context", help='processing, service_tier, speed, region, account as JSON: {"processing": "batch"}.')
@click.option("--contract", metavar="FILE", help="Price under this contract; default: the one of the settings.")
@click.option("--format", "form", type=click.Choice(("json", "table")), default="json", show_default=True)
def command(
    provider: str,
    model: str | None,
    usage: str | None,
    at: str | None,
    context: str | None,
    contract: str | None,
    form: str,
) -> None:
    """Price one call and show why: PROVIDER MODEL --usage JSON, or - for a JSON object a line on stdin.

    \b
      spanledger price openai gpt-4o \\
          --usage '{"input_tokens": 5000, "cache_read_tokens": 4000}'
      spanledger price anthropic claude-opus-4-5 --usage '{"input_tokens": 90}' \\
          --at 2026-03-01T00:00:00Z --context '{"processing": "batch"}'
      spanledger price - < calls.jsonl
      spanledger price openai o3 --usage '{"input_tokens": 90}' --format table

    \b
    A line of calls.jsonl (at and context may be left out):
      {"provider": "openai", "model": "gpt-4o", "usage": {"input_tokens": 5000},
       "at": "2026-03-01T00:00:00Z", "context": {"service_tier": "flex"}}

    The answer has the cost in US dollars, its parts, a charge for each meter with the page that its price is from,
    and the row of the price book or of your contract. --format table shows it to people.
    """
    price_as_set(load(contract=contract))
    if provider == "-":
        if model or usage or at or context or form != "json":
            raise click.UsageError("with - everything comes from stdin: give no model and no options")
        _price_lines()
        return
    if model is None or usage is None:
        raise click.UsageError("give PROVIDER MODEL --usage JSON, or - to read calls from stdin")
    try:
        question: dict[str, Json] = {"provider": provider, "model": model, "usage": _parsed(usage, "--usage"), "at": at}
        question["context"] = _parsed(context, "--context") if context else None
        answer = _answer(question, time.time_ns())
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo("\n".join(explained(answer)) if form == "table" else json.dumps(answer, ensure_ascii=False))
    if answer["cost_usd"] is None:
        sys.exit(EXIT_UNPRICED)


def _price_lines() -> None:
    now_ns = time.time_ns()
    failed = False
    for number, line in enumerate(sys.stdin, start=1):
        if not line.strip():
            continue
        try:
            answer = _answer(_object(_parsed(line, "the line"), "the line"), now_ns)
        except ValueError as error:
            failed = True
            answer = {"line": number, "error": str(error)}
            click.echo(f"spanledger price: line {number}: {error}", err=True)
        click.echo(json.dumps(answer, ensure_ascii=False))
    if failed:
        sys.exit(EXIT_FAILED)


def _answer(question: Mapping[str, Json], now_ns: int) -> dict[str, object]:
    """Price one question.

    Raises:
        ValueError: it can't be read; the message says what to write instead.
    """
    unknown = sorted(question.keys() - _LINE_KEYS)
    if unknown:
        raise ValueError(f"unknown key {unknown[0]}; known: at, context, model, provider, usage")
    provider, model, at = question.get("provider"), question.get("model"), question.get("at")
    if not isinstance(provider, str) or not isinstance(model, str) or "usage" not in question:
        raise ValueError("provider and model (text) and usage (an object) are needed")
    at_ns = now_ns if at is None else _instant_ns(at)
    usage = _usage(_object(question["usage"], "usage"))
    found = price(provider, model, usage, at_ns, _context(question.get("context")))
    return {"provider": provider, "model": model, "at": _time_text(at_ns)} | _priced(found)


def _priced(found: Priced) -> dict[str, object]:
    answer: dict[str, object] = {
        name: None if pico is None else _decimal_text(pico, 12)
        for name, pico in zip(("cost_usd", *COMPONENTS), found[:6], strict=True)
    }
    answer["charges"] = [_charge(charge, found.source) for charge in found.charges]
    for name in ("price_id", "matched_model", "cost_source", "source", "unpriced_reason"):
        answer[name] = getattr(found, name)
    answer["multipliers"] = [
        {"name": factor.name, "factor": f"{factor.factor:f}", "source": factor.source} for factor in found.multipliers
    ]
    return answer


def _charge(charge: Charge, source: str | None) -> dict[str, object]:
    quantity = charge.quantity
    return {
        "meter": charge.meter,
        "quantity": quantity if isinstance(quantity, int) else _decimal_text(int(quantity.scaleb(6)), 6),
        "unit_price_usd": _decimal_text(charge.unit_price_atto, 18),
        "amount_usd": _decimal_text(charge.amount_pico, 12),
        "source": charge.source or source,
    }


def _decimal_text(number: int, places: int) -> str:
    """Write number / 10**places in plain digits, without trailing zeros."""
    whole, rest = divmod(number, 10**places)
    return f"{whole}.{rest:0{places}}".rstrip("0").rstrip(".")


# Reading


def _parsed(text: str, where: str) -> Json:
    def refuse(name: str) -> None:
        raise ValueError(f"{where}: {name} is not a number")

    try:
        value: Json = json.loads(text, parse_float=Decimal, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is not valid JSON: {error}") from error
    return value


def _object(value: Json, name: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a JSON object")
    return value


def _usage(given: Mapping[str, Json]) -> Usage:
    """Read totals with parts inside them, or parts alone; what is no token column is a unit."""
    counted = {key: value for key, value in given.items() if value is not None}
    units = dict(_object(counted.pop("units", {}), "units"))
    tokens = {}
    for key, value in counted.items():
        if key in ("input_tokens", "output_tokens", *INPUT_PARTS, *OUTPUT_PARTS):
            tokens[key] = _whole(key, value)
        else:
            units[key] = value
    quantities = {unit: _number(unit, value) for unit, value in units.items() if value is not None}
    if not tokens and not quantities:
        return Usage(state="missing")
    if any(count < 0 for count in tokens.values()) or any(quantity < 0 for quantity in quantities.values()):
        return Usage(state="inconsistent")
    totals = [_total(tokens, "input_tokens", INPUT_PARTS), _total(tokens, "output_tokens", OUTPUT_PARTS)]
    parts = {key: count for key, count in tokens.items() if key not in ("input_tokens", "output_tokens")}
    return Usage.from_totals(totals[0], totals[1], units=quantities, state="reported", **parts)


def _total(tokens: Mapping[str, int], name: str, parts: tuple[str, ...]) -> int:
    """Return a stated total or the sum of its parts; -1, which can't be priced, where a full set contradicts it."""
    added = sum(tokens.get(part, 0) for part in parts)
    total = tokens.get(name, added)
    return -1 if parts[0] in tokens and total != added else total


def _number(key: str, value: Json) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise ValueError(f"usage: {key} must be a number")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"usage: {key} must be a number, not {value!r}") from None
    if not number.is_finite():
        raise ValueError(f"usage: {key} must be a number, not {value!r}")
    return number


def _whole(key: str, value: Json) -> int:
    number = _number(key, value)
    if number.adjusted() > 18 or number != number.to_integral_value():
        raise ValueError(f"usage: {key} must be a whole number of tokens, not {value}")
    return int(number)


def _context(value: Json) -> PriceContext:
    given = _object(value, "context") if value is not None else {}
    for key, text in given.items():
        if key not in _CONTEXT_KEYS:
            raise ValueError(f"context: unknown key {key}; known: {', '.join(_CONTEXT_KEYS)}")
        if text is not None and not isinstance(text, str):
            raise ValueError(f"context: {key} must be text")
    known = [str(given[key]) if given.get(key) is not None else None for key in _CONTEXT_KEYS]
    return PriceContext(*known)


def _instant_ns(value: Json) -> int:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"at: {value!r} is not RFC 3339; write it like 2026-11-22T09:00:00Z")
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _time_text(at_ns: int) -> str:
    moment = _EPOCH + timedelta(microseconds=at_ns // 1000)
    return moment.isoformat().replace("+00:00", "Z")

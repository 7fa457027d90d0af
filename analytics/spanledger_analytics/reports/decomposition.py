"""Why a cost changed: how much of it is volume, price, mix of models, tokens of a call, cache.

A model's cost is a sum of products, such as calls x the model's share of them x input tokens of a call x the share of
those that was read from the cache x the price of a token. Each factor gets its Shapley value: what it changes when all
factors go from before to now one after the other, averaged over all orders. So no order is preferred, swapping the
periods negates every part, and what didn't change has none (L. S. Shapley, A value for n-person games, 1953). It is
reckoned with 60 digits; parts are rounded to the pico-dollar, and what that leaves is added to the largest, so that
they add up exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from math import factorial
from typing import Any, Final

PARTS: Final[tuple[str, ...]] = (
    "volume_usd",
    "price_usd",
    "mix_usd",
    "input_usd",
    "output_usd",
    "cache_usd",
    "other_usd",
)
"""In the order in which equal ones get what rounding leaves."""
_DIGITS: Final = 60
_PICO: Final = Decimal("0.000000000001")
_NONE: Final = Decimal(0)
_CACHE: Final = ("cache_read", "cache_write")

Cells = Sequence[Mapping[str, Any]]
"""What each model came to: model, priced_calls, and of `totals` tokens, cost_usd and its parts; all with a price."""
_Factor = tuple[str, Decimal, Decimal]
"""Part of PARTS that it makes, before, now."""


@dataclass(frozen=True, slots=True)
class _Side:
    """A model in one period: calls and tokens, and the dollars of each kind of them."""

    calls: Decimal
    tokens: Mapping[str, Decimal]
    usd: Mapping[str, Decimal]


def decompose(now: Cells, before: Cells) -> dict[str, Decimal]:
    """Return PARTS in US dollars; they add up to the cost now without that before, exactly.

    A model that has calls in one period only had the same tokens and prices in the other; so its coming shows as volume
    and mix. What it costs beside tokens, or without any, is a charge of each call (`other_usd`).
    """
    with localcontext(prec=_DIGITS):
        parts: dict[str, Decimal] = dict.fromkeys(PARTS, _NONE)
        for factors in _products(now, before):
            for (part, *_), value in zip(factors, shapley([(a, b) for _, a, b in factors]), strict=True):
                parts[part] += value
        rounded = {part: value.quantize(_PICO, ROUND_HALF_EVEN) for part, value in parts.items()}
        rest = _cost(now) - _cost(before) - sum(rounded.values())
        rounded[max(PARTS, key=lambda part: abs(rounded[part]))] += rest
    return rounded


def shapley(factors: Sequence[tuple[Decimal, Decimal]]) -> list[Decimal]:
    """Return what each factor (before, now) adds to their product, averaged over the orders in which they change."""
    count = len(factors)
    weights = [Decimal(factorial(done) * factorial(count - done - 1)) / factorial(count) for done in range(count)]
    values = []
    for place, (before, now) in enumerate(factors):
        others = _by_changed([*factors[:place], *factors[place + 1 :]])
        values.append((now - before) * sum(map(Decimal.__mul__, weights, others)))
    return values


def _by_changed(factors: Sequence[tuple[Decimal, Decimal]]) -> list[Decimal]:
    """Return the sums of the products in which 0, 1, 2 ... of the factors have changed."""
    sums = [Decimal(1)]
    for before, now in factors:
        kept = [value * before for value in sums] + [_NONE]
        changed = [_NONE] + [value * now for value in sums]
        sums = list(map(Decimal.__add__, kept, changed))
    return sums


def _products(now: Cells, before: Cells) -> Iterator[list[_Factor]]:
    """Yield the products whose sum the cost is, each factor as it was before and is now."""
    sides = [{cell["model"]: _side(cell) for cell in cells} for cells in (before, now)]
    volumes = [sum((side.calls for side in models.values()), _NONE) for models in sides]
    for model in {**sides[0], **sides[1]}:
        here = [models.get(model) for models in sides]
        calls = [side.calls if side else _NONE for side in here]
        shares = _ratios(calls, volumes)
        leading: list[_Factor] = [("volume_usd", *volumes), ("mix_usd", *shares)]  # type: ignore[list-item]
        yield from ([*leading, *rest] for rest in _of_a_call([side or _other(here) for side in here]))


def _other(sides: Sequence[_Side | None]) -> _Side:
    return next(side for side in sides if side is not None)


def _of_a_call(sides: Sequence[_Side]) -> Iterator[list[_Factor]]:
    """Yield the factors of what a call of a model costs."""
    calls = [side.calls for side in sides]
    inputs = [sum((side.tokens[kind] for kind in ("input", *_CACHE)), _NONE) for side in sides]
    others = [side.usd["other"] for side in sides]
    for kind in ("input", *_CACHE, "output"):
        tokens, usd = ([getattr(side, name)[kind] for side in sides] for name in ("tokens", "usd"))
        if any(cost and not count for cost, count in zip(usd, tokens, strict=True)):
            others = list(map(Decimal.__add__, others, usd))
            continue
        price = _factor("price_usd", usd, tokens)
        if kind == "output":
            yield [_factor("output_usd", tokens, calls), price]
        else:
            yield [_factor("input_usd", inputs, calls), _factor("cache_usd", tokens, inputs), price]
    yield [_factor("other_usd", others, calls)]


def _factor(part: str, wholes: Sequence[Decimal], units: Sequence[Decimal]) -> _Factor:
    before, now = _ratios(wholes, units)
    return part, before, now


def _ratios(wholes: Sequence[Decimal], units: Sequence[Decimal]) -> list[Decimal]:
    """Return how much of something comes with a unit, before and now; where there is no unit it is as in the other."""
    found = [whole / unit if unit else None for whole, unit in zip(wholes, units, strict=True)]
    known = [ratio for ratio in found if ratio is not None] or [_NONE]
    return [known[0] if ratio is None else ratio for ratio in found]


def _side(cell: Mapping[str, Any]) -> _Side:
    cached = {kind: Decimal(cell[f"{kind}_tokens"]) for kind in _CACHE}
    plain = max(_NONE, Decimal(cell["input_tokens"]) - sum(cached.values()))
    usd = {kind: cell[f"cost_{kind}"] or _NONE for kind in ("input", *_CACHE, "output")}
    return _Side(
        Decimal(cell["priced_calls"]),
        {"input": plain, **cached, "output": Decimal(cell["output_tokens"])},
        usd | {"other": cell["cost_usd"] - sum(usd.values())},
    )


def _cost(cells: Cells) -> Decimal:
    return sum((cell["cost_usd"] for cell in cells), _NONE)

"""What a provider says, in its answer, that it charges for the call.

Two do so, and bill exactly that: OpenRouter, whose prices depend on who served the call, and xAI, after all discounts
and with its tools. Where others have a field of that name, it is not what they bill, so it is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from .fields import get

_PICO_PER_USD: Final = 10**12
_PICO_PER_TICK: Final = 100
"""xAI counts in ticks: 10,000,000,000 are a dollar."""
_MOST_USD: Final = 10**6


def stated_pico(provider: str, told: Mapping[str, Any] | None) -> int | None:
    """Return the charge in pico-dollars from a usage object; None where the provider states none."""
    read = _READERS.get(provider)
    return read(told) if read is not None and told is not None else None


def _openrouter(told: object) -> int | None:
    """Read a charge in credits, which are dollars; with a key of one's own, the provider behind charges its part."""
    charged = _dollars(get(told, "cost"))
    if charged is None or get(told, "is_byok") is not True:
        return charged
    behind = _dollars(get(get(told, "cost_details"), "upstream_inference_cost"))
    return charged + behind if behind is not None else charged


def _xai(told: object) -> int | None:
    ticks = get(told, "cost_in_usd_ticks")
    if type(ticks) is not int or not 0 <= ticks < _MOST_USD * _PICO_PER_USD // _PICO_PER_TICK:
        return None
    return ticks * _PICO_PER_TICK


def _dollars(amount: object) -> int | None:
    """Return pico-dollars, half up: the shortest text of a float is the number that stood in the JSON."""
    if type(amount) is not int and type(amount) is not float:
        return None
    dollars = Decimal(str(amount))
    if not dollars.is_finite() or not 0 <= dollars < _MOST_USD:
        return None
    return int((dollars * _PICO_PER_USD).to_integral_value(ROUND_HALF_UP))


_READERS: Final[dict[str, Callable[[object], int | None]]] = {"openrouter": _openrouter, "x_ai": _xai}

"""Declared money: what a paid tool costs, said by the application because no provider reports it.

It sits on the tool's span and never on an inference, so that what models cost stays what models cost.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

import _spanledger_boot as switch

from . import faults, ledger, names, spans
from .spans import OpenSpan, current, span

_MAX_USD: Final = Decimal(10) ** 6
"""What a row can hold; a single charge above it is a mistake."""
_PICO: Final = Decimal("1e-12")


def charge(name: str, usd: Decimal | int | float | str) -> None:
    """Put money on the open tool span, in US dollars; where none is open, on a tool span of its own.

    Several charges of one tool add up. An amount that is no number, negative or a million or more is left out and
    counted as a fault; nothing is raised.
    """
    try:
        if not (switch.on and ledger.start()):
            return
        # By way of text, so that 0.1 means a tenth.
        amount = Decimal(str(usd))
        if not (amount.is_finite() and 0 <= amount < _MAX_USD):
            raise ValueError(f"{usd} is not an amount from 0 to a million US dollars")
        open_span = current.get()
        if open_span is None or names.TOOL_NAME not in open_span.attributes or not _add(open_span, name, amount):
            with span(name, kind="tool"):
                own = current.get()
                if own is not None:
                    _add(own, name, amount)
    except Exception as error:
        faults.report("charge not recorded", error)


def _add(tool: OpenSpan, name: str, amount: Decimal) -> bool:
    """Add money to a tool's span; False where it has ended."""
    with spans.changing:
        if tool.ended:
            return False
        known = tool.attributes
        before = known.get(names.COST_PICO_USD, 0)
        pico = int(amount.quantize(_PICO, ROUND_HALF_UP).scaleb(12)) + (before if isinstance(before, int) else 0)
        known[names.COST_PICO_USD] = pico
        known[names.COST_USD] = pico / 1e12
        known[names.COST_SOURCE] = "declared"
        known.setdefault(names.CHARGE_NAME, str(name))
        return True

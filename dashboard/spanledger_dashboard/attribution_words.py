"""The answers of the attribution page, a sentence each, as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from .charts.icicle import Slab
from .charts.pareto import Pareto
from .format import share, times, usd, visible

_FEW: Final = 10
"""Names below which the first is told of, instead of a percentage of them."""
_WORTH_TELLING: Final = 100
"""One part in so many."""


def concentration(told: Pareto) -> str:
    """Say how few make how much of the cost, and how much is nobody's."""
    count, by = told.ranked.height, told.by
    if not count:
        return f"No call with a price names a {by}"
    nobody = told.nobody["cost_usd"] if told.nobody else Decimal(0)
    whole = told.whole_usd + nobody
    made = share(told.needed_usd, told.whole_usd)
    of = "of what names one" if nobody else "of the cost"
    if count >= _FEW:
        said = f"{share(told.needed, count)} of {by}s make {made} {of}: {told.needed:,} of {count:,}"
    else:
        first = told.ranked.row(0, named=True)
        said = f"{visible(first[by], 40)} is {share(first['cost_usd'], whole)} of the cost"
        if count > 2 and told.needed > 1:
            said += f"; {told.needed} of {count} {by}s make {made} {of}"
    return f"{said}; {share(nobody, whole)} names none" if nobody * _WORTH_TELLING > whole else said


def inside(slabs: Sequence[Slab], whole: Decimal) -> str:
    """Say which part is the largest, and what is the largest in it."""
    if not slabs:
        return "Nothing here has a price"
    first = slabs[0]
    said = f"{visible(first.name, 40)} is {share(first.cost_usd, whole)} of {usd(whole)}"
    part = next((slab for slab in slabs if slab.level == 1), None)
    if part is None or part.path[:1] != first.path:
        return said
    return f"{said}, {share(part.cost_usd, first.cost_usd)} of that {visible(part.name, 40)}"


def unallocated(by: str, silent: Decimal, whole: Decimal | None, service: str | None) -> str:
    """Say how much names none of `by`, and whose service most of it comes from; `whole` is None without a price."""
    if whole is None:
        return "Nothing here has a price"
    if not silent:
        return f"Every dollar names a {by}"
    said = f"{usd(silent)} names no {by}, {share(silent, whole)} of the cost"
    return said if service is None else f"{said}; most of it comes from {visible(service, 40)}"


def margin(rows: Sequence[dict[str, Any]], by: str) -> str:
    """Say what is left of the revenue, and who costs more than they bring; every row names one and has revenue."""
    revenue = sum((row["revenue_usd"] for row in rows), Decimal(0))
    left = sum((row["margin_usd"] for row in rows if row["margin_usd"] is not None), Decimal(0))
    said = (
        f"{share(left, revenue)} of {usd(revenue)} revenue is left"
        if left >= 0
        else f"Cost is {usd(-left)} above revenue"
    )
    losing = [row for row in rows if row["margin_usd"] is not None and row["margin_usd"] < 0]
    if not losing:
        return said
    return f"{said}; {visible(losing[0][by], 40)} costs more than it brings" + (
        f", and {len(losing) - 1} more do" if len(losing) > 1 else ""
    )


def unit_cost(rows: Sequence[dict[str, Any]], by: str) -> str:
    """Say what a success costs where it is cheapest and dearest; a request, where no success is known."""
    for column, noun in (("success_usd", "success"), ("request_usd", "request")):
        known = sorted((row for row in rows if row[column]), key=lambda row: Decimal(row[column]))
        if known:
            return _cheapest(known, by, column, noun)
    return "Nothing here has a price"


def _cheapest(known: Sequence[dict[str, Any]], by: str, column: str, noun: str) -> str:
    low, high = known[0], known[-1]
    said = f"A {noun} costs {usd(low[column])} {_where(low, by)}"
    if len(known) == 1:
        return said
    return f"{said} and {usd(high[column])} {_where(high, by)}, {times(float(high[column] / low[column]))}"


def _where(row: dict[str, Any], by: str) -> str:
    return f"for {visible(row[by], 40)}" if row[by] else f"without a {by}"

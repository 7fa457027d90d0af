"""Two slices or periods in four numbers."""

from __future__ import annotations

from typing import Any, Final

from spanledger_analytics.spend import doubts
from spanledger_dashboard import compare_words as words
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.kpis import Kpi, show_kpis
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import change, count, usd, usd_exact
from spanledger_dashboard.state import Window

from .compared import PERIODS, kind_of, two_sides

_HEIGHT_PX: Final = 250


@card("sums", _HEIGHT_PX)
def show_sums(asked: Window) -> None:
    """Draw cost, requests and calls of the one, with the other below each."""
    lake = shown_lake()
    about, options = two_sides(asked)
    answer = lake.report("compare", about, **options)
    row = answer.frame.row(0, named=True) if answer.frame.height else None
    by_time = kind_of(asked) == PERIODS
    said = (
        words.periods(row) if by_time else words.slices(row, asked.own["a"] or "all calls", asked.own["b"] or "before")
    )
    show_heading(said, answer.notes[0], doubts(lake.totals(about)))
    if row is not None:
        show_kpis(_numbers(row, rise_is_bad=by_time))
    show_answer(lake, "sums", "compare", about, None, **options)


def _numbers(row: dict[str, Any], *, rise_is_bad: bool) -> list[Kpi]:
    money = (("Cost", "cost"), ("Cost per request", "per_request"))
    counts = (("Requests", "requests"), ("Calls", "calls"))
    return [
        *(
            Kpi(
                label,
                usd(row[f"{name}_usd"]),
                change(row[f"{name}_usd"], row[f"{name}_before_usd"]),
                f"vs {usd(row[f'{name}_before_usd'])}",
                f"{usd_exact(row[f'{name}_usd'])} against {usd_exact(row[f'{name}_before_usd'])}",
                rise_is_bad,
            )
            for label, name in money
        ),
        *(
            Kpi(
                label,
                count(row[name]),
                change(row[name], row[f"{name}_before"]),
                f"vs {count(row[f'{name}_before'])}",
                rise_is_bad=False,
            )
            for label, name in counts
        ),
    ]

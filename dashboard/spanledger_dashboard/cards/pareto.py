"""Who makes most of the cost."""

from __future__ import annotations

import json
from typing import Final

from spanledger_analytics.spend import doubts
from spanledger_dashboard import attribution_words as words
from spanledger_dashboard.charts.pareto import pareto, pareto_figure
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.state import Window

from .narrowing import pick, question

_HEIGHT_PX: Final = 580


@card("pareto", _HEIGHT_PX)
def show_pareto(asked: Window) -> None:
    """Draw cost by rank; a click narrows the page."""
    lake, by = shown_lake(), asked.own["by"]
    about = question(asked, (by,))
    told = pareto(lake.report("concentration", about).frame, by)
    answer = words.concentration(told)
    show_heading(
        answer,
        f"Cost by rank; the line is the running share, dark bars make 80 %. Pick a {by} to see its parts.",
        doubts(lake.totals(about)),
    )

    def picked(value: str) -> None:
        if value:
            pick(asked, by, json.loads(value)[0])

    if told.ranked.height:
        show_figure(
            pareto_figure(told), key="pareto", alt=f"Bars of cost by {by}, dearest first. {answer}.", pick=picked
        )
    show_answer(lake, "pareto", "concentration", about)

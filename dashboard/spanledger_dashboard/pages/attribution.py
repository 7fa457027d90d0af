"""Attribution: whose money it is, how much of it is nobody's, and what each gets for it."""

from __future__ import annotations

import streamlit as st

from spanledger_dashboard.cards.icicle import show_icicle
from spanledger_dashboard.cards.margin import show_margin
from spanledger_dashboard.cards.narrowing import BY, NARROWED, OWN, question
from spanledger_dashboard.cards.pareto import show_pareto
from spanledger_dashboard.cards.unallocated import show_unallocated
from spanledger_dashboard.cards.unit_cost import show_unit_cost
from spanledger_dashboard.components.bar import show_bar
from spanledger_dashboard.components.links import show_link
from spanledger_dashboard.components.showing import key_showing
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import markdown
from spanledger_dashboard.state import Window, go


def page() -> None:
    """Draw the page; picking anything narrows it, and the address says to what."""
    lake = shown_lake()
    asked = show_bar(lake, OWN)
    _show_choice(asked)
    if not lake.totals(question(asked))["calls"].sum():
        st.info("No calls in these days that fulfil this. Choose more days, or clear a filter.")
        return
    left, right = st.columns(2)
    with left:
        show_pareto(asked)
    with right:
        show_icicle(asked)
    show_unallocated(asked)
    show_margin(asked)
    show_unit_cost(asked)


def _show_choice(asked: Window) -> None:
    """Draw what the page is told by, what it is narrowed to beside the filters, and the way to Explore."""
    key = key_showing("attribution-by", asked.own["by"])

    def chosen() -> None:
        go(asked.told(by=st.session_state[key]))

    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="attribution-choice"):
        st.segmented_control(
            "Told by",
            BY,
            key=key,
            format_func=lambda by: f"By {by}",
            on_change=chosen,
            label_visibility="collapsed",
            required=True,
            width="content",
        )
        for name in NARROWED:
            if asked.own[name]:
                st.button(
                    markdown(f"{name} {asked.own[name]}", 60),
                    key=f"narrowed-{name}",
                    icon=":material/close:",
                    help=f"Show all {name}s again",
                    on_click=go,
                    args=(asked.told(**{name: ""}),),
                )
        show_link("explore", "Day by day in Explore", asked.view().parameters())

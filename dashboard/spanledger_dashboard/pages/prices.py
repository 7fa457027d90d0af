"""Prices: what models cost and have cost, what lacks a price, and what was put right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

from spanledger_dashboard.components.bar import show_bar
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import many, markdown
from spanledger_dashboard.prices.corrected import show_corrected
from spanledger_dashboard.prices.in_force import InForce, in_force
from spanledger_dashboard.prices.lookup import show_lookup
from spanledger_dashboard.prices.missing import show_missing
from spanledger_dashboard.prices.past import show_past

_OWN: Final[dict[str, Sequence[str]]] = {"find": (), "by_provider": (), "of_model": (), "context": ()}


def page() -> None:
    """Draw the page."""
    lake = shown_lake()
    asked = show_bar(lake, _OWN, filters=False)
    prices = in_force()
    if lake.scope.is_everything:
        for trouble in prices.troubles:
            st.warning(markdown(trouble, 600))
    st.caption(markdown(_book(prices, contract=lake.scope.is_everything), 600))
    show_lookup(lake, asked, prices)
    if asked.own["of_model"]:
        show_past(asked, prices)
    show_missing(lake, asked)
    show_corrected(lake, asked)


def _book(prices: InForce, *, contract: bool) -> str:
    """Say what is in force; of the contract only to those who see everything."""
    books = f"the base of {prices.base}, over it the overlay of this version"
    agreed = prices.contract
    if not contract:
        return f"In force: {books}."
    own = f"{agreed.path}, with {many(len(agreed.prices), 'price')} and {many(len(agreed.discounts), 'discount')}"
    return f"In force: {books}, over both your contract ({own if agreed.path else 'none'})."

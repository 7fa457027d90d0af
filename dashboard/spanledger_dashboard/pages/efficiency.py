"""Efficiency: what the money was spent on that brought little, and what could be had."""

from __future__ import annotations

from typing import Final

import streamlit as st

from spanledger_dashboard.cards import breaks, cache, chances, growth, loops, purposes, waste
from spanledger_dashboard.components.bar import show_bar
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.state import Own

OWN: Final[Own] = {"cache": cache.BY, "runs": purposes.BY}


def page() -> None:
    """Draw the page: all chances for money first, then where each is."""
    asked = show_bar(shown_lake(), OWN)
    chances.show_chances(asked)
    left, right = st.columns(2, gap="small")
    with left:
        cache.show_cache(asked)
    with right:
        breaks.show_breaks(asked)
    purposes.show_purposes(asked)
    left, right = st.columns(2, gap="small")
    with left:
        waste.show_waste(asked)
    with right:
        loops.show_loops(asked)
    growth.show_growth(asked)

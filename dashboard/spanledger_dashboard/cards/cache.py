"""How well the prompt cache works: what it saved, what it could save, and of whom."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import polars as pl
import streamlit as st

from spanledger_analytics.spend import Doubts
from spanledger_dashboard.charts.cache import cache_figure, health_of, hit_share
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.choice import show_choice
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import many, markdown, share, usd
from spanledger_dashboard.state import Window

BY: Final = ("feature", "model", "prefix")
_MOST: Final = 8
_HEIGHT_PX: Final = 380
_READING: Final = "Saved: against uncached prices, writes paid. Could be: by the best of four ways, call by call."


@card("cache", _HEIGHT_PX)
def show_cache(asked: Window) -> None:
    """Draw what was saved and could be, by what the address says."""
    lake = shown_lake()
    by = asked.own["cache"]
    question = asked.question(() if by == "prefix" else (by,))
    frame = lake.report("cache-health", question).frame
    answer = _answer(frame)
    show_heading(answer, _READING, Doubts())
    show_choice(asked, "cache", BY, "The prompt cache by")
    found = health_of(frame, by, _MOST)
    if found:
        words = [f"{one.name} saved {usd(one.saved_usd)}, could save {usd(one.could_save_usd)} more" for one in found]
        show_figure(cache_figure(found), key="cache", alt=f"{answer}. {'; '.join(words)}.")
    blind = int(frame.filter(pl.col("could_save_usd").is_null())["calls"].sum())
    if blind:
        st.caption(markdown(f"Nothing is known of {many(blind, 'call')} without fingerprints or a price.", 200))
    show_answer(lake, "cache", "cache-health", question)


def _answer(frame: pl.DataFrame) -> str:
    known = frame.filter(pl.col("could_save_usd").is_not_null())
    if not known.height:
        return "Nothing is known of the prompt cache"
    could, saved = (sum(known[name].drop_nulls(), Decimal(0)) for name in ("could_save_usd", "saved_usd"))
    read = hit_share(known)
    told = "" if read is None else f", {share(read, 1)} of what could be read is"
    verb = f"saved {usd(saved)}" if saved >= 0 else f"cost {usd(-saved)} more than it saved"
    if could > 0:
        return f"A better use of the prompt cache could save {usd(could)} more; it {verb}{told}"
    return f"The prompt cache {verb}, and could not do better{told}"

"""What is shown is what the address says: a page that was drawn for another one is drawn again.

A reader who clicks, and clicks once more before the browser has heard of the first, tells the server an address of the
past. Whoever reads the address leaves a mark of it on the page, and a script of ours holds that against the browser's.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import streamlit as st

_SCRIPT: Final = (Path(__file__).parents[1] / "assets" / "address.js").read_text("utf-8")


def watch_address(page: str, pages: Iterable[str]) -> None:
    """Have the browser's address watched; `page`, one of the `pages`, is the path of the one that is drawn."""
    others = " ".join(path for path in pages if path != page)
    _mark("page", page=page, others=others)
    st.html(f"<script>{_SCRIPT}</script>", unsafe_allow_javascript=True)


def mark_address(*beside: str) -> None:
    """Say which parameters this is drawn for; those `beside` change while only a part of it is drawn again."""
    _mark("query", query=urlencode(st.query_params.to_dict()), beside=" ".join(beside))


def _mark(drawn: str, **values: str) -> None:
    told = {"drawn": drawn, **values}
    written = " ".join(f'data-{name}="{escape(value)}"' for name, value in told.items())
    st.html(f"<span {written}></span>")

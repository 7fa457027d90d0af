"""What is shown is what the address says: a page that was drawn for another one is drawn again.

A reader who clicks, and clicks once more before the browser has heard of the first, tells the server an address of the
past. The last that a page was drawn for stands in it, and a script of ours holds it against the browser's.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import streamlit as st

_SCRIPT: Final = (Path(__file__).parents[1] / "assets" / "address.js").read_text("utf-8")


def keep_to_address(page: str, pages: Iterable[str], beside: Iterable[str]) -> None:
    """Say what the page is drawn for, and have that watched.

    `page` and `pages` are paths; the parameters `beside` change while only parts of the page are drawn again.
    """
    told = {
        "drawn-for": page,
        "query": urlencode(st.query_params.to_dict()),
        "others": " ".join(path for path in pages if path != page),
        "beside": " ".join(beside),
    }
    written = " ".join(f'data-{name}="{escape(value)}"' for name, value in told.items())
    st.html(f"<span {written}></span>")
    st.html(f"<script>{_SCRIPT}</script>", unsafe_allow_javascript=True)

"""The application: configures the page, offers the pages, draws the one that is asked for.

`main` runs anew for every visitor and every full rerun, so it stays small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import streamlit as st

from spanledger_dashboard.pages import explore, overview

_ICON: Final = Path(__file__).parent / "assets" / "icon.svg"


def main() -> None:
    """Draw the page that the address asks for."""
    st.set_page_config(page_title="spanledger", page_icon=str(_ICON), layout="wide")
    st.logo(str(_ICON), size="medium")
    explore_page = st.Page(explore.page, title="Explore", url_path="explore")

    def home() -> None:
        overview.page(explore_page)

    st.navigation([st.Page(home, title="Overview", default=True), explore_page], position="top").run()

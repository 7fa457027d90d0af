"""Ways from page to page by their path, because a page that imported another would import them all in a circle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import streamlit as st
from streamlit.navigation.page import Page

_PAGES: Final = "pages"


def offer(pages: Mapping[str, Page]) -> None:
    """Say which pages this session has, by path."""
    st.session_state[_PAGES] = pages


def has(path: str) -> bool:
    """Tell whether there is such a page."""
    return path in _pages()


def open_page(path: str, parameters: Mapping[str, str]) -> None:
    """Go to a page, from a callback or a click; nothing happens where there is none."""
    if has(path):
        st.switch_page(_pages()[path], query_params=dict(parameters))


def show_link(path: str, label: str, parameters: Mapping[str, str]) -> None:
    """Draw a link to a page (`label` is Markdown); nothing is drawn where there is none."""
    if has(path):
        st.page_link(_pages()[path], label=label, query_params=dict(parameters))


def _pages() -> Mapping[str, Page]:
    return cast("Mapping[str, Page]", st.session_state.get(_PAGES, {}))

"""The application: the pages by section, and what every page needs before it is drawn.

`main` runs anew for every visitor and every full rerun, so it stays small. A page is one line of `SECTIONS`; it is
drawn over a lake that can be read and holds something, everything else has been told already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import streamlit as st
from streamlit.navigation.page import Page

from spanledger_dashboard.components import links
from spanledger_dashboard.components.address import watch_address
from spanledger_dashboard.components.ahead import bring_ahead
from spanledger_dashboard.components.empty import show_empty
from spanledger_dashboard.components.trouble import told
from spanledger_dashboard.data import configured_lake, shown_lake
from spanledger_dashboard.pages import (
    alerts,
    attribution,
    budgets,
    compare,
    controls,
    efficiency,
    explore,
    overview,
    prices,
    sql,
)
from spanledger_dashboard.state import carried
from spanledger_dashboard.viewer import admit, show_viewer

_ASSETS: Final = Path(__file__).parent / "assets"
_ICON: Final = _ASSETS / "icon.svg"
_LOGO: Final = _ASSETS / "logo.svg"
_SIDEBAR_PX: Final = 208
_STYLE: Final = """<style>
[data-testid^="stBaseButton-primary"] { background-color: #0067a3; border-color: #0067a3; color: #fff; }
[data-testid="stMetric"] div:has(> [data-testid="stMetricDeltaDescription"]) { flex-wrap: wrap; row-gap: 0; }
[data-testid="stMetricDeltaDescription"], [data-testid="stMetricDeltaDescription"] * { white-space: normal; }
@media (max-width: 640px) { [data-testid="stLayoutWrapper"]:has(> .st-key-neighbours) { flex-basis: 100%; } }
.js-plotly-plot :is([class$="tick"] text, [class$="title"], .legendtext, .scatterlayer text, .bartext-outside,
  .annotation-text) {
  fill: color-mix(in srgb, currentColor 80%, transparent) !important; }
[data-testid=stElementContainer]:has([data-drawn]) { display: none; }
</style>"""
"""White on the pale blue of the dark theme can't be read; a comparison goes on in a second line where it is narrow, and
the way to the day or hour beside has a line of its own on a phone; words of a figure take the ink of the page around
them, so that a figure that is drawn already can be read when the theme is switched; marks take up no place."""


@dataclass(frozen=True, slots=True)
class Place:
    """A page: its title, its path in the address (the first has none), an icon of Streamlit's own, what draws it."""

    title: str
    path: str
    icon: str
    draw: Callable[[], None]
    days: bool = True
    """Whether it takes days over from the page before."""
    filters: bool = False
    """Whether it takes filters over; only where a reader sees them."""


SECTIONS: Final[Mapping[str, tuple[Place, ...]]] = MappingProxyType(
    {
        "Spend": (
            Place("Overview", "", "speed", overview.page),
            Place("Explore", "explore", "query_stats", explore.page, filters=True),
            Place("Attribution", "attribution", "account_tree", attribution.page, filters=True),
            Place("Compare", "compare", "compare_arrows", compare.page, filters=True),
        ),
        "Optimise": (Place("Efficiency", "efficiency", "savings", efficiency.page, filters=True),),
        "Control": (
            Place("Budgets", "budgets", "account_balance_wallet", budgets.page, days=False),
            Place("Alerts", "alerts", "notifications", alerts.page),
            Place("Controls", "controls", "shield", controls.page, filters=True),
        ),
        "Data": (
            Place("Prices", "prices", "sell", prices.page),
            Place("SQL", "sql", "terminal", sql.page, days=False),
        ),
    }
)
"""Every page that there is; navigation, tests of all pages and their pictures are made from it."""


def places() -> Iterator[Place]:
    """Yield every page."""
    for section in SECTIONS.values():
        yield from section


def main() -> None:
    """Draw the page that the address asks for."""
    # Before the navigation: a page's icon would be fetched from another host, to be that of the window.
    st.set_page_config(page_icon=str(_ICON), layout="wide", initial_sidebar_state=_SIDEBAR_PX)
    st.logo(str(_LOGO), size="medium", icon_image=str(_ICON))
    if not admit():
        st.set_page_config(page_title="spanledger")
        return
    pages = {place.path: _page(place) for place in places()}
    links.offer(pages)
    sections = {name: [pages[place.path] for place in section] for name, section in SECTIONS.items()}
    st.html(_STYLE)
    chosen = st.navigation(sections, position="hidden")
    st.set_page_config(page_title=f"{chosen.title} · spanledger")
    _show_sections(pages)
    show_viewer()
    with st.sidebar:
        watch_address(chosen.url_path, pages)
    chosen.run()


def _show_sections(pages: Mapping[str, Page]) -> None:
    """Draw the navigation; Streamlit's own, by sections, is a list that screen readers can't count.

    Days and filters go along from page to page.
    """
    here = st.query_params.to_dict()
    with st.sidebar:
        for name, section in SECTIONS.items():
            with st.container(gap="xxsmall", key=f"section-{name.lower()}"):
                st.caption(name)
                for place in section:
                    along = carried(here, days=place.days, filters=place.filters)
                    st.page_link(pages[place.path], width="stretch", query_params=along)
        bring_ahead()


def _page(place: Place) -> Page:
    def draw() -> None:
        with told(f"page {place.title}"):
            if shown_lake().is_empty():
                show_empty(configured_lake())
            else:
                place.draw()

    icon = f":material/{place.icon}:"
    return Page(draw, title=place.title, icon=icon, url_path=place.path, default=not place.path)

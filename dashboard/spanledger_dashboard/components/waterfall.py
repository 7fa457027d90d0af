"""The waterfall on a page: a tree of our own, because a chart of two thousand rows takes a browser ten seconds.

It opens and closes branches in the browser; only picking a step comes back here. Its texts are set as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import streamlit as st
from streamlit.components.v2 import component

from spanledger_analytics.tree import Node
from spanledger_dashboard.charts.waterfall import waterfall
from spanledger_dashboard.format import many
from spanledger_dashboard.state import while_here

_ASSETS: Final = Path(__file__).parents[1] / "assets"
_COMPONENT: Final = component(
    "spanledger_waterfall",
    css=(_ASSETS / "waterfall.css").read_text("utf-8"),
    js=(_ASSETS / "waterfall.js").read_text("utf-8"),
)
_TALLEST_PX: Final = 640
_WITH_STEP_PX: Final = 330
"""Lower while a step is picked, so that what was recorded on it is in sight."""


def show_waterfall(
    trace: str,
    nodes: Sequence[Node],
    colours: Mapping[str, str],
    picked: str | None,
    pick: Callable[[str | None], None],
    drawn: Callable[[], None] | None = None,
) -> None:
    """Draw a trace's tree; picking a step calls `pick` with its id, picking it again with None.

    When it stands on the screen `drawn` is called, once a trace: what needs the processor can wait until then.
    """

    def chosen() -> None:
        pick(st.session_state["waterfall"].picked or None)

    _COMPONENT(
        key="waterfall",
        data={
            "trace": trace,
            "picked": picked,
            "waited": drawn is not None,
            "tallest": _WITH_STEP_PX if picked else _TALLEST_PX,
            "label": f"Steps of the request: {many(len(nodes), 'step')} with time and cost",
            **waterfall(nodes, colours),
        },
        on_picked_change=chosen,
        on_drawn_change=while_here(drawn) if drawn else lambda: None,
    )

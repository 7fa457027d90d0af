"""Streamlit as we start it: with the libraries of the pages loaded before it listens.

Streamlit reads the pages when the first visitor comes, who would wait a second for duckdb, polars and plotly. Our own
modules are left to it: what they keep in caches needs it to run.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Final

from streamlit.web.cli import main

_AHEAD: Final = (
    "plotly.graph_objects",
    "plotly.io",
    "spanledger_analytics.reports.registry",
    "spanledger_analytics.snapshot",
    "spanledger_analytics.tree",
    "streamlit.components.v2",
)


def serve() -> None:
    """Run Streamlit with the arguments of the command line."""
    for name in _AHEAD:
        import_module(name)
    # What stays for ever is looked through no more: a full collection would hold a click up for a tenth of a second.
    gc.collect()
    gc.freeze()
    sys.exit(main(prog_name="streamlit"))


if __name__ == "__main__":
    serve()

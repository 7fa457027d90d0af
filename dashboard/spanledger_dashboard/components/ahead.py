"""What later steps are drawn with, brought to the browser while it has nothing to do.

Streamlit's page fetches and compiles the code of a kind of element when the first one of it is drawn: a table's takes a
quarter of a second, in which the first click of every visitor stands still. Its files have names of their own in every
version; one that isn't there is left out, and then comes when it is needed, as ever.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Final

import streamlit as st
from streamlit import file_util

_SCRIPT: Final = (Path(__file__).parents[1] / "assets" / "ahead.js").read_text("utf-8")
_KINDS: Final = ("Button", "remark-emoji", "DataFrame", "BidiComponent")
"""Buttons, headings with icons, tables, and components of our own: all that the way down a day needs beside charts."""


def bring_ahead() -> None:
    """Have the browser fetch code for later, once a visit, when all that a page draws stands."""
    st.html(f"<script>{_SCRIPT}\nbegin({json.dumps(_files())});</script>", unsafe_allow_javascript=True)


@cache
def _files() -> list[str]:
    """Return the addresses of the kinds' files, seen from the folder of Streamlit's scripts."""
    folder = Path(file_util.get_static_dir()) / "static"
    files = [file for kind in _KINDS for file in (*folder.glob(f"css/{kind}.*.css"), *folder.glob(f"js/{kind}.*.js"))]
    return [f"../{file.relative_to(folder).as_posix()}" for file in files]

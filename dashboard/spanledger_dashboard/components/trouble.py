"""What a reader is told when an answer can't be had: one sentence and what to do, never a traceback.

Faults that nobody foresaw are told by a reference, under which the traceback stands in the dashboard's log: it may
hold names and paths that the reader has no business with.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import duckdb
import streamlit as st
from deltalake.exceptions import DeltaError

from spanledger.errors import SpanledgerError
from spanledger_dashboard.format import markdown

_LOG: Final = logging.getLogger(__name__)
_LONGEST: Final = 600


@contextmanager
def told(what: str) -> Iterator[None]:
    """Tell the reader of what goes wrong inside; `what` names it in the log."""
    try:
        yield
    except Exception as error:
        show_trouble(error, what)


def show_trouble(error: Exception, what: str) -> None:
    """Say in a sentence what went wrong and what to do, and offer to try again."""
    reference = secrets.token_hex(3)
    _LOG.error("%s, reference %s", what, reference, exc_info=error)
    st.warning(markdown(sentence(error, reference), _LONGEST))
    st.button("Try again", key=f"again-{what}")


def sentence(error: Exception, reference: str) -> str:
    """Return what a reader is told of an error, in plain text."""
    if isinstance(error, SpanledgerError):
        told_already = str(error)
        return f"{told_already[:1].upper()}{told_already[1:]}."
    if isinstance(error, duckdb.OutOfMemoryException):
        return "There is not enough memory for this question. Ask about fewer days."
    if isinstance(error, PermissionError):
        return (
            "The lake can't be read by the user that this dashboard runs as. Run spanledger doctor as that user "
            f"(reference {reference} in the dashboard's log)."
        )
    if isinstance(error, duckdb.IOException | DeltaError | OSError):
        return (
            "The lake can't be read at this moment. Try again; if it stays so, run spanledger doctor "
            f"(reference {reference} in the dashboard's log)."
        )
    return f"This can't be shown. The dashboard's log says why, under the reference {reference}."

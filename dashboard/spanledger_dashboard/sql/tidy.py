"""Laying SQL out: sqlfmt's work, where it can be trusted with the text.

sqlfmt moves white space and lower-cases key words and nothing else, and looks itself whether the words are the same
afterwards; a parser that writes its tree out again (sqlglot) replaces functions by others. It isn't made for DuckDB
alone, so texts with what it would take apart are left as they are, with a sentence.
"""

from __future__ import annotations

import re
from typing import Final

from spanledger.errors import SpanledgerError

_LINE_CHARACTERS: Final = 120
_TAKEN_APART: Final = re.compile(r"(?<!['\w])[ebx]'|\$\w*\$|\{\{|\}\}|\{%|\{#", re.IGNORECASE)
"""Strings with a letter or dollars in front, and what it takes for a template."""
_LONELY_END: Final = re.compile(r"^(?!.*--)(.*)\n;$", re.MULTILINE)
"""A semicolon on a line of its own, below one that has no comment that it would fall into."""
_KEEPS_CASE: Final = "clickhouse"
"""Its dialect that leaves the case of names alone, which are those of the answer's columns."""


class FormatError(SpanledgerError):
    """The query can't be laid out; the message says why."""


def formatted(query: str) -> str:
    """Return a query laid out with four spaces and a clause a line.

    Raises:
        FormatError: sqlfmt can't read it, would take it apart, or isn't installed.
    """
    if found := _TAKEN_APART.search(query):
        raise FormatError(f"This query has {found[0]} in it, which the formatter would take apart; it stays as it is.")
    try:
        from sqlfmt.api import format_string
        from sqlfmt.exception import SqlfmtError
        from sqlfmt.mode import Mode
    except ImportError:
        raise FormatError("Formatting needs sqlfmt: pip install shandy-sqlfmt") from None
    try:
        laid = format_string(query, Mode(dialect_name=_KEEPS_CASE, line_length=_LINE_CHARACTERS))
    except SqlfmtError as error:
        raise FormatError(f"It stays as it is: {_reason(error)}") from None
    return _LONELY_END.sub(r"\1;", str(laid).rstrip())


def _reason(error: Exception) -> str:
    return str(error).removeprefix("sqlfmt encountered an error: ")

"""DuckDB's errors for people: what is wrong, the place marked in the line, and the name that was probably meant.

DuckDB tells all of it as JSON (`set errors_as_json`), with the place in bytes. Its own text isn't shown as it is: it
marks the wrong place behind letters of several bytes and in the second statement, and of tables it proposes those of
the catalogue before ours.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Collection
from typing import Final

from rich.cells import cell_len

_JSON: Final = re.compile(r"(?:(?P<kind>[\w ]+ Error): )?(?P<told>\{.*\})\s*", re.DOTALL)
_PLACED: Final = ("Parser Error", "Binder Error", "Catalog Error")
"""Of others the place is one in a text that DuckDB made of the query."""
_PROPOSAL: Final = re.compile(r"\s*^(?:Did you mean|Candidate (?:bindings|tables))\b.*$", re.MULTILINE)
_SHOWN_CELLS: Final = 100
"""Of a line; a longer one is cut on both sides of the place."""
_BEFORE_CELLS: Final = 60
_MOST_PROPOSALS: Final = 3
_LIKENESS: Final = 0.55
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))} | {9: " "}
"""What a terminal would obey; a message may quote a value of the data."""


def explained(error: str, query: str, views: Collection[str], columns: Collection[str] = ()) -> str:
    """Return what DuckDB says of `query`, with the place and with proposals; other text as it is.

    `views` and `columns` are the names to propose where DuckDB has none that are near.
    """
    found = _JSON.fullmatch(error)
    try:
        told = json.loads(found["told"], strict=False) if found else {}
    except ValueError:
        told = {}
    if not found or "exception_message" not in told:
        return _printable(error.strip())
    proposals = _proposals(told, views, columns)
    message = str(told["exception_message"]).strip()
    if proposals:
        message = f"{_PROPOSAL.sub('', message)}\nDid you mean {_listed(proposals)}?"
    kind = found["kind"] or told.get("exception_type", "Error")
    place = _marked(query, str(told.get("location", ""))) if kind in _PLACED else ""
    return _printable(f"{kind}: {message}") + (f"\n\n{place}" if place else "")


def _proposals(told: dict[str, str], views: Collection[str], columns: Collection[str]) -> list[str]:
    name = told.get("name", "")
    candidates = [word.strip() for word in told.get("candidates", "").split(",") if word.strip()]
    if told.get("type") in ("Table", "View"):
        return _near(name, views) or candidates[:_MOST_PROPOSALS]
    if told.get("error_subtype") == "COLUMN_NOT_FOUND":
        return (candidates or _near(name, columns))[:_MOST_PROPOSALS]
    return []


def _near(name: str, names: Collection[str]) -> list[str]:
    return difflib.get_close_matches(name.lower(), names, _MOST_PROPOSALS, _LIKENESS)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]


def _marked(query: str, location: str) -> str:
    """Return the line of the place with marks below it, "" where no place is told."""
    numbers = re.fullmatch(r"\[(\d+),(\d+)\]", location)
    if not numbers:
        return ""
    data = query.encode()
    start, length = int(numbers[1]), int(numbers[2])
    before = data[:start].decode("utf-8", "replace")
    line_start = before.rfind("\n") + 1
    head = _printable(before[line_start:])
    rest = data[start:].decode("utf-8", "replace").partition("\n")[0]
    marked = data[start : start + length].decode("utf-8", "replace").partition("\n")[0]
    head = _shortened(head[::-1], _BEFORE_CELLS)[::-1]
    tail = _shortened(_printable(rest), _SHOWN_CELLS - cell_len(head))
    width = min(max(1, cell_len(_printable(marked))), max(1, cell_len(tail)))
    label = f"LINE {before.count(chr(10)) + 1}: "
    return f"{label}{head}{tail}\n{' ' * (len(label) + cell_len(head))}{'^' * width}"


def _shortened(text: str, most: int) -> str:
    """Return the beginning of a text, in so many cells of a terminal."""
    if cell_len(text) <= most:
        return text
    ends = itertools.accumulate(map(cell_len, text))
    return text[: sum(end < most for end in ends)] + "…"


def _printable(text: str) -> str:
    return text.replace("\r\n", "\n").translate(_CONTROL)

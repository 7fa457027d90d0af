"""Making the user's own base: from a genai-prices, or from a base that was made elsewhere, and what speaks against it.

An update must not take away: a release of the library may be older than what is in force, and a file may lack models
or the dates from which they cost something else (https://github.com/pydantic/genai-prices/issues/703).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spanledger.base_file import FORMAT, Header, read_header, shipped_header
from spanledger.book import BASE, Entry, PriceBook, shipped_text
from spanledger.errors import SpanledgerError
from spanledger.rates import make_window

_LIBRARY: Final = "genai_prices"
_SHOWN: Final = 5


class UpdateError(SpanledgerError):
    """A base that can't be made, or should not be put in force."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A base that could be put in force."""

    header: Header
    lines: str
    """What stands below the header."""
    book: PriceBook
    """It alone, without the overlay."""


def make(source: Path | None) -> Draft:
    """Return the base made from a library's folder, wheel or environment, or read from a file; None: what is installed.

    Raises:
        UpdateError: there is no library, or what comes of it is no base.
    """
    if source is not None and source.is_file() and source.suffix != ".whl":
        return read_draft(source)
    return _draft(_flattened(source), str(source or "genai-prices"))


def read_draft(path: Path) -> Draft:
    """Return a base that was made elsewhere.

    Raises:
        UpdateError: it is none.
    """
    try:
        return _draft(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UpdateError(f"{path}: can't be read ({error}); name a base, or a genai-prices") from error


def _flattened(source: Path | None) -> str:
    """Ask the library in a process of its own: this one may have another release of it, or none."""
    environment = dict(os.environ)
    folders = [str(Path(entry).absolute()) for entry in sys.path if entry]
    if source is not None:
        folders.insert(0, str(_import_folder(source).absolute()))
    elif importlib.util.find_spec(_LIBRARY) is None:
        raise UpdateError(
            "genai-prices is not installed here; run: pip install -U genai-prices, or name one, or a base, by --from"
        )
    environment["PYTHONPATH"] = os.pathsep.join(folders)
    done = subprocess.run(
        [sys.executable, "-m", "spanledger_cli.flatten"], env=environment, capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UpdateError(
            f"{source or 'genai-prices'}: can't be read ({reason}); this spanledger reads genai-prices"
            f" {'.'.join(map(str, shipped_header().order[:2]))}.x: install one of these, or a newer spanledger"
        )
    return done.stdout


def _import_folder(source: Path) -> Path:
    """Return the folder or wheel to import the library from."""
    if source.is_file():
        return source
    if source.name == _LIBRARY and (source / "data.py").is_file():
        return source.parent
    for pattern in ("", "lib/python3*/site-packages", "Lib/site-packages"):
        for folder in sorted(source.glob(pattern)) if pattern else [source]:
            if (folder / _LIBRARY / "data.py").is_file():
                return folder
    raise UpdateError(
        f"{source}: holds no genai-prices; name a folder with {_LIBRARY} in it, its wheel, an environment that has it,"
        " or a base (.jsonl)"
    )


def _draft(text: str, name: str) -> Draft:
    try:
        header = read_header(text)
        if header.format != FORMAT:
            raise ValueError(f"it has format {header.format}, this spanledger reads {FORMAT}")
        lines = text.partition("\n")[2]
        for number, line in enumerate(lines.splitlines(), 2):
            _check_line(number, line)
        book = PriceBook(text, "")
        for entry in book.entries():
            _check_entry(entry)
    except ValueError as error:
        raise UpdateError(f"{name}: is no base of the price book: {error}") from error
    except (LookupError, TypeError, AttributeError) as error:
        raise UpdateError(f"{name}: is no base of the price book: {type(error).__name__}: {error}") from error
    return Draft(header, lines, book)


def _check_line(number: int, line: str) -> None:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number} is not JSON") from error
    known = isinstance(record, dict) and {"provider", "model"} & record.keys()
    if not known or (number == 2 and "provider" not in record):
        raise ValueError(f"line {number} is neither a provider nor a model")


def _check_entry(entry: Entry) -> None:
    try:
        rows = [row for table in entry.tables for row in table]
        amounts = [amount for row in rows for amount in row["prices"].values()]
        if not all(type(amount) is int and amount >= 0 for amount in amounts):
            raise ValueError("a price is no whole number of atto-dollars")
        for label, number in {"": 0, **entry.contexts}.items():
            for row in entry.tables[number]:
                make_window(entry, row, label)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{entry.provider}/{entry.model}: {type(error).__name__}: {error}") from error


def objections(draft: Draft, in_force: Header) -> Iterator[str]:
    """Yield what speaks against a base: older than what is in force, or less in it than in the shipped one."""
    if draft.header.order < in_force.order:
        yield f"it is of {draft.header.library}, older than {in_force.library}, which is in force"
    shipped = PriceBook(shipped_text(BASE), "")
    dates, shipped_dates = _dates(draft.book), _dates(shipped)
    if lost := sorted(shipped_dates.keys() - dates):
        yield f"it lacks {len(lost)} price lists of the shipped base: {_some(lost)}"
    forgot = {name.partition("+")[0] for name in shipped_dates.keys() & dates if shipped_dates[name] - dates[name]}
    if forgot:
        yield f"it lacks dates at which prices of {len(forgot)} models change: {_some(sorted(forgot))}"


def _dates(book: PriceBook) -> dict[str, set[str]]:
    """Return the dates at which prices change, by model and context."""
    found: dict[str, set[str]] = {}
    for entry in book.entries():
        for label, number in {"": 0, **entry.contexts}.items():
            dates = found.setdefault(f"{entry.provider}/{entry.model}{label and '+'}{label}", set())
            dates |= {row[key] for row in entry.tables[number] for key in ("from", "to") if key in row}
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

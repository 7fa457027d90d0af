"""Entries of a TOML file that a person writes, refused with the line and the key where one says what can't be.

`tomllib` tells lines of broken syntax only. For what is well-formed and wrong, the line is found again in the text:
entries of a kind come in the file's order, and a key of an entry stands below the entry's head.
"""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from .errors import SpanledgerError

E = TypeVar("E", bound="Entry")
Refuse = Callable[[str, str], SpanledgerError]
"""Makes the error of a key: its name, and what to write instead."""
_HEAD: Final = re.compile(r"\s*\[\[?\s*([\w-]+)\s*\]")


STILL_S: Final = 1.0
"""How long a file that changed has to be left alone before it is read: half of a file is half of the entries."""


class EntryError(SpanledgerError):
    """A file that can't be used; says the line and the key."""

    def __init__(self, path: Path, line: int | None, advice: str) -> None:
        self.path = path
        self.line = line
        self.advice = advice
        super().__init__(f"{path}{f', line {line}' if line else ''}: {advice}")


def read_entries(
    path: Path,
    known: Mapping[str, Collection[str]],
    *,
    variable: str,
    named: Collection[str] = (),
    single: Collection[str] = (),
    error: type[EntryError],
    make: Callable[[Mapping[str, Any], Refuse], E],
    top: dict[str, Any] | None = None,
) -> dict[str, list[E]]:
    """Read the entries of a file by kind, none where it has none of a kind.

    Args:
        path: The file.
        known: Kind of entry to its keys.
        variable: What names the file, for the advice where it can't be read.
        named: Kinds whose entries are told apart by their names.
        single: Kinds that stand once, as `[kind]`; the others are `[[kind]]`, once for each.
        error: What is raised.
        make: What an entry becomes.
        top: What may stand above all entries, with its defaults; what the file says is put there.

    Raises:
        EntryError: it can't be read, or has kinds or keys that nobody knows.
    """
    text, found = _read(path, variable, error)
    reader = _Reader(path, text, known, named, single, error, make)
    for key in found.keys() & (top or {}).keys():
        if top is not None:
            top[key] = found.pop(key)
    for kind, listed in found.items():
        if kind not in known:
            raise error(path, _line_of(text, kind), f"unknown entry {kind}; known: {', '.join(known)}")
        if kind in single and isinstance(listed, dict):
            found[kind] = [listed]
        elif kind in single:
            raise error(path, _line_of(text, kind), f"write [{kind}], once")
        elif not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            raise error(path, _line_of(text, kind), f"write [[{kind}]], once for each")
    return {
        kind: [reader.entry(kind, place, given) for place, given in enumerate(found.get(kind, []))] for kind in known
    }


def is_being_written(changed_ns: int) -> bool:
    """Say whether a file was changed just now, nanoseconds since 1970, so that it may not be whole."""
    return 0 <= time.time_ns() - changed_ns < STILL_S * 1e9


def _read(path: Path, variable: str, error: type[EntryError]) -> tuple[str, dict[str, Any]]:
    """Return the text of a file, and what it says in TOML; some editors put a mark of the byte order before it."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no file")  # a pipe would be waited for
        text = path.read_text("utf-8-sig")
        if not text:
            raise error(path, None, "is empty, as where a disk was full; write a comment if nothing is meant")
        return text, tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as wrong:
        raise error(path, None, f"can't be read ({wrong}); correct {variable} or unset it") from wrong
    except (ValueError, RecursionError) as wrong:  # beside errors of syntax: numbers and brackets without end
        raise error(path, None, f"not valid TOML: {wrong}") from wrong


class _Reader(Generic[E]):
    """Makes entries that know where they stand."""

    def __init__(
        self,
        path: Path,
        text: str,
        known: Mapping[str, Collection[str]],
        named: Collection[str],
        single: Collection[str],
        error: type[EntryError],
        make: Callable[[Mapping[str, Any], Refuse], E],
    ) -> None:
        self._path = path
        self._known = known
        self._named = named
        self._single = single
        self._error = error
        self._make = make
        self._lines = text.splitlines()
        self._heads: dict[str, list[int]] = {}
        self._names: dict[str, set[object]] = {}
        for number, line in enumerate(self._lines):
            if found := _HEAD.match(line):
                self._heads.setdefault(found[1], []).append(number)

    def entry(self, kind: str, place: int, given: Mapping[str, Any]) -> E:
        """Return the entry of a kind that stands at a place among those of its kind."""
        heads = self._heads.get(kind, [])
        first = heads[place] if place < len(heads) else None
        head = f"[{kind}]" if kind in self._single else f"[[{kind}]]"

        def refuse(key: str, advice: str) -> EntryError:
            return self._error(self._path, self._line(first, key), f"{head} {key}: {advice}")

        for key in given:
            if key not in self._known[kind]:
                raise refuse(key, f"unknown; known: {', '.join(sorted(self._known[kind]))}")
        name = given.get("name")
        if kind in self._named and name in self._names.setdefault(kind, set()):
            raise refuse("name", f"{name!r} stands twice; each needs a name of its own")
        self._names.setdefault(kind, set()).add(name)
        return self._make(given, refuse)

    def _line(self, first: int | None, key: str) -> int | None:
        if first is None:
            return None
        for number in range(first + 1, len(self._lines)):
            if _HEAD.match(self._lines[number]):
                break
            if re.match(rf"""\s*["']?{re.escape(key.partition(".")[0])}["']?\s*[.=]""", self._lines[number]):
                return number + 1
        return first + 1


class Entry:
    """One entry, read key by key; what is missing or wrong raises an error that names the line."""

    def __init__(self, given: Mapping[str, Any], refuse: Refuse) -> None:
        self.given = given
        self.refuse = refuse

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text, which is needed where there is no default."""
        value = self.given.get(key, default)
        if not isinstance(value, str) or not value.strip():
            raise self.refuse(key, "needed, as text in quotes")
        return value.strip()

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, or one as such; none where nothing is given."""
        value = self.given.get(key, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(item, str) and item for item in listed):
            raise self.refuse(key, 'expected a list of texts, as ["gpt-5*"]')
        return tuple(listed)

    def number(
        self, key: str, default: str | None = None, *, above: int | None = None, most: int | None = None
    ) -> Decimal:
        """Return an exact number of at least 0."""
        return self.exact(key, self.given.get(key, default), above=above, most=most)

    def exact(self, key: str, value: object, *, above: int | None = None, most: int | None = None) -> Decimal:
        """Return a value that stands somewhere below a key as an exact number of at least 0."""
        if isinstance(value, float):
            raise self.refuse(key, f'write the number in quotes, as "{value}", so that it stays exact')
        return decimal(self, key, value, above, most)

    def money(self, key: str, *, above: int | None = None) -> Decimal:
        """Return an amount in US dollars, to the pico-dollar."""
        return self.exact_money(key, self.given.get(key), above=above)

    def exact_money(self, key: str, value: object, *, above: int | None = None) -> Decimal:
        """Return a value that stands somewhere below a key as an amount in US dollars, to the pico-dollar."""
        usd = self.exact(key, value, above=above, most=10**12)
        exponent = usd.as_tuple().exponent
        if isinstance(exponent, int) and exponent < -12:
            raise self.refuse(key, "has more than 12 decimals")
        return usd


def decimal(entry: Entry, key: str, value: object, above: int | None, most: int | None) -> Decimal:
    """Return a value as a number of at least 0, and more than `above`, and at most `most`."""
    try:
        number = Decimal(value) if isinstance(value, str | int) and not isinstance(value, bool) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0 or (above is not None and number <= above):
        raise entry.refuse(key, f"expected a number {'above' if above is not None else 'of at least'} 0, not {value!r}")
    if most is not None and number > most:
        raise entry.refuse(key, f"expected at most {most}")
    return number


def _line_of(text: str, kind: str) -> int | None:
    pattern = re.compile(rf"\s*\[{{0,2}}\s*{re.escape(kind)}\b")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), None)

"""Tags as a W3C `baggage` header: written for the next service, read from the one before.

What comes from outside is bounded, read for our own keys only, and marked: whoever can send a header can claim to be
anybody, so a rule on money has to be able to tell what was said here from what was said elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import quote, unquote

import _spanledger_boot as switch

from . import faults, names, tagging

MAX_BYTES: Final = 8192
"""Of a whole header, as the W3C asks for."""
MAX_MEMBERS: Final = 64
_KNOWN_NAMES: Final = frozenset(tagging.KNOWN.values())


def join(existing: str, held: Mapping[str, str]) -> str | None:
    """Return an existing header with tags after it, or None where there is nothing to add.

    What the header says already stays as it is, also where a tag says otherwise.
    """
    members = [existing] if existing.strip() else []
    taken = {member.partition("=")[0].strip() for member in existing.split(",")}
    size, left_out = len(existing), 0
    for name, value in held.items():
        if name in taken or not (name in _KNOWN_NAMES or name.startswith(names.TAG_PREFIX)):
            continue
        member = f"{name}={quote(value, safe='/:@')}"
        if size + 1 + len(member) > MAX_BYTES or len(taken) + len(members) >= MAX_MEMBERS:
            left_out += 1
            continue
        members.append(member)
        size += 1 + len(member)
    if left_out:
        faults.report("tag not sent as baggage", "the header is full", count=left_out, expected=True)
    return ",".join(members) if len(members) > bool(existing.strip()) else None


def read(header: str) -> dict[str, str]:
    """Return the tags of a header by wire name; what is not ours, or not well formed, is left out."""
    if len(header) > MAX_BYTES:
        faults.report("tags not taken from baggage", f"the header has more than {MAX_BYTES} bytes", expected=True)
        return {}
    found: dict[str, str] = {}
    for member in header.split(","):
        key, given, value = member.partition(";")[0].partition("=")
        name = _own_name(key.strip()) if given and len(found) < tagging.MAX_OWN_TAGS else None
        if name is None:
            continue
        try:
            text = unquote(value.strip(), errors="strict")
        except UnicodeDecodeError:
            continue
        if text and text.isprintable():
            found[name] = text[: tagging.MAX_TAG_CHARACTERS]
    return found


def _own_name(key: str) -> str | None:
    if key in _KNOWN_NAMES:
        return key
    own = key.removeprefix(names.TAG_PREFIX)
    return tagging.wire_name(own) if own != key else None


class arrived(tagging.tags):
    """Tags that came as baggage, below those that were given here."""

    __slots__ = ("_baggage",)

    def __init__(self, baggage: Mapping[str, str], given: Mapping[str, object]) -> None:
        super().__init__(**given)
        self._baggage = baggage

    def again(self) -> Self:
        """Return the same tags, for another call."""
        return type(self)(self._baggage, self._given)

    def value(self, outer: Mapping[str, str]) -> Mapping[str, str]:
        """Return the outer tags with these over them, marked where they are from outside."""
        if switch.on and self._baggage:
            outer = {**outer, **self._baggage, names.TAGS_FROM_BAGGAGE: ",".join(self._baggage)}
        return super().value(outer)

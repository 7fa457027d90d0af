"""The price book: finds the entry that a provider and model name are priced by.

The book ships as two generated files, base and overlay, one model a line; only the lines of a provider in use are
decoded, so that loading costs milliseconds. Matching keeps the order of the library that the base comes from
(first match wins, generous prefixes and all): what matched is stored with every price.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

Origin = Literal["base", "overlay", "contract"]
Miss = Literal["unknown_provider", "unknown_model"]
Rule: TypeAlias = "str | list[Rule] | dict[str, str | list[Rule]]"
"""Text is equality, a list is any of, an object is one of starts_with, ends_with, contains, regex, all."""

PROVIDER_NAMES: Final = {
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "fireworks_ai": "fireworks",
    "gcp.gen_ai": "google",
    "x_ai": "x-ai",
}
"""OpenTelemetry's and frameworks' names that the book's own rules miss or give to another biller."""

_ROUTE_PREFIXES: Final = frozenset({"models", "publishers"})
_COMPACT_DATE: Final = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the book: its line in the file."""

    origin: Origin
    provider: str
    model: str
    match: Rule
    source: str | None
    """Address of the page that the prices come from."""
    tables: Sequence[Sequence[Mapping[str, Any]]]
    """Dated rows; table 0 is without context."""
    contexts: Mapping[str, int]
    """`service_tier=flex` and the like to the number of a table; what is not here has table 0."""
    minimums: Mapping[str, int]
    """Unit to the least quantity that is billed."""


@dataclass(slots=True)
class _Provider:
    id: str
    match: Rule | None = None
    guess: Rule | None = None
    """Tells the provider from the model's name."""
    fallback: Sequence[str] = ()
    """Providers whose models are priced by their lists."""
    sources: Sequence[str] = ()
    lines: list[tuple[Origin, str]] = field(default_factory=list)
    """Not decoded yet."""
    entries: list[Entry] = field(default_factory=list)


class PriceBook:
    """The overlay laid over the base; look-ups may come from any thread."""

    def __init__(self, base: str, overlay: str) -> None:
        self._providers: dict[str, _Provider] = {}
        self._read(base, "base")
        self._read(overlay, "overlay")

    def find(self, provider: str, model: str) -> Sequence[Entry] | Miss:
        """Return the entries that price a model, the overlay's first, or why there is none.

        An entry whose `provider` is not the one asked for is borrowed: its list prices hold, its contexts don't.
        """
        name, ref = provider.strip().lower(), model.strip().lower()
        if name == "litellm":
            name, ref = self._unwrap(name, ref)
        known = self.provider_id(name)
        if known is None:
            return "unknown_provider"
        while True:
            found = self._match(known, ref) or self._match(known, _dashed_date(ref))
            if found:
                return found
            head, _, rest = ref.partition("/")
            if not rest or (head not in _ROUTE_PREFIXES and self.provider_id(head) != known):
                return "unknown_model"
            ref = rest

    def provider_id(self, name: str) -> str | None:
        """Return the book's id for a provider's name, or None."""
        name = name.strip().lower()
        name = PROVIDER_NAMES.get(name, name)
        if name in self._providers:
            return name
        rules = ((known.id, known.match) for known in self._providers.values())
        return next((id_ for id_, rule in rules if rule is not None and _matches(rule, name)), None)

    def names(self) -> list[tuple[str, str]]:
        """Return every (provider, model) of the book, in its order."""
        return [(id_, entry.model) for id_ in self._providers for entry in self._entries(id_)]

    def _unwrap(self, name: str, ref: str) -> tuple[str, str]:
        head, _, rest = ref.partition("/")
        if rest and self.provider_id(head):
            return head, rest
        rules = ((known.id, known.guess) for known in self._providers.values())
        return next((id_ for id_, rule in rules if rule is not None and _matches(rule, ref)), name), ref

    def _match(self, provider: str, ref: str) -> list[Entry]:
        for lender in (provider, *self._providers[provider].fallback):
            hits: dict[Origin, Entry] = {}
            for entry in self._entries(lender):
                if entry.origin not in hits and _matches(entry.match, ref):
                    hits[entry.origin] = entry
            if hits:
                return [hits[origin] for origin in ("overlay", "base") if origin in hits]
        return []

    def _entries(self, provider: str) -> list[Entry]:
        known = self._providers[provider]
        if known.lines:
            known.entries = [_entry(known, origin, json.loads(line)) for origin, line in known.lines]
            known.lines = []
        return known.entries

    def _read(self, text: str, origin: Origin) -> None:
        known = _Provider("")
        for line in text.splitlines()[1:]:
            if line.startswith('{"provider"'):
                head = json.loads(line)
                known = self._providers.setdefault(head["provider"], _Provider(head.pop("provider")))
                for key, value in head.items():
                    setattr(known, key, value)
            else:
                known.lines.append((origin, line))


@cache
def shipped_book() -> PriceBook:
    """Return the book that ships with this version, loaded once."""
    return PriceBook(_shipped("prices_base.jsonl"), _shipped("prices_overlay.jsonl"))


def _shipped(name: str) -> str:
    """Return a file that lies beside this module, in a folder or in an archive."""
    try:
        return Path(__file__).with_name(name).read_text("utf-8")
    except NotADirectoryError:  # a zipapp; what reads from one takes longer to import than the book to load
        resources = importlib.import_module("importlib.resources")
        return str(resources.files(__package__).joinpath(name).read_text("utf-8"))


def _entry(known: _Provider, origin: Origin, record: Mapping[str, Any]) -> Entry:
    return Entry(
        origin=origin,
        provider=known.id,
        model=record["model"],
        match=record["match"],
        source=record.get("source") or next(iter(known.sources), None),
        tables=record["tables"],
        contexts=record.get("contexts", {}),
        minimums=record.get("minimums", {}),
    )


def _matches(rule: Rule, text: str) -> bool:
    if isinstance(rule, str):
        return text == rule
    if isinstance(rule, list):
        return any(_matches(inner, text) for inner in rule)
    ((kind, value),) = rule.items()
    if isinstance(value, list):
        return all(_matches(inner, text) for inner in value)
    match kind:
        case "starts_with":
            return text.startswith(value)
        case "ends_with":
            return text.endswith(value)
        case "contains":
            return value in text
        case _:
            return re.search(value, text) is not None


def _dashed_date(ref: str) -> str:
    """Rewrite `gpt-5-20250807` as `gpt-5-2025-08-07`, the form the book has."""

    def rewrite(found: re.Match[str]) -> str:
        try:
            return f"-{date(*map(int, found.groups())).isoformat()}"
        except ValueError:
            return found[0]

    return _COMPACT_DATE.sub(rewrite, ref)

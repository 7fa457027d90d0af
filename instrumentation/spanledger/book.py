"""The price book: finds the entry that a provider and model name are priced by.

The book ships as two generated files, base and overlay, one model a line; only the lines of a provider in use are
decoded, so that loading costs milliseconds. Matching keeps the order of the library that the base comes from (first
match wins), but a name that is only like a known one is unknown (see `matching`). What matched is stored with every
price. Which book is in force is one value for the process: the shipped one, or that with a base of the user's own
(`base_file` puts it there).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from .instants import END_OF_TIME, instant_ns
from .matching import Rule, matches, matches_loosely
from .multipliers import Multiplier

Origin = Literal["base", "overlay", "contract"]
Miss = Literal["unknown_provider", "unknown_model"]

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

BASE: Final = "prices_base.jsonl"
OVERLAY: Final = "prices_overlay.jsonl"

_ROUTE_PREFIXES: Final = frozenset({"models", "publishers"})
_COMPACT_DATE: Final = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the book: its line in the file."""

    origin: Origin
    list_name: str
    """Begins its price ids: `overlay`, `contract`, `base`, or `base-0.2.4` for a base of the user's own."""
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


class Found(NamedTuple):
    """What prices a model: the first entry that has a price for an instant wins."""

    provider: str
    """The book's id of the provider asked for; an entry of another one is borrowed: only its list prices hold."""
    entries: Sequence[Entry]
    """The overlay's before the base's, the provider's own before borrowed ones."""


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
    multipliers: list[Multiplier] = field(default_factory=list)
    fees: dict[str, int] = field(default_factory=dict)
    """Unit to atto-dollars, with any model."""
    fee_sources: dict[str, str] = field(default_factory=dict)


class PriceBook:
    """The overlay laid over the base; look-ups may come from any thread."""

    def __init__(self, base: str, overlay: str, base_name: str = "base") -> None:
        self._list_names: dict[Origin, str] = {"base": base_name, "overlay": "overlay"}
        self._providers: dict[str, _Provider] = {}
        self.digest: Final = hashlib.blake2b(f"{base}\0{overlay}".encode(), digest_size=8).hexdigest()
        """Tells books apart."""
        self._read(base, "base")
        self._read(overlay, "overlay")

    def find(self, provider: str, model: str) -> Found | Miss:
        """Return the entries that price a model, or why there is none."""
        name, ref = provider.strip().lower(), model.strip().lower()
        if name == "litellm":
            name, ref = self._unwrap(name, ref)
        known = self.provider_id(name)
        if known is None:
            return "unknown_provider"
        while True:
            entries = self._match(known, ref) or self._match(known, _dashed_date(ref))
            if entries:
                return Found(known, entries)
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
        return next((id_ for id_, rule in rules if rule is not None and matches_loosely(rule, name)), None)

    def names(self) -> list[tuple[str, str]]:
        """Return every (provider, model) of the book, in its order."""
        return [(id_, entry.model) for id_ in self._providers for entry in self._entries(id_)]

    def entries(self) -> Iterator[Entry]:
        """Yield every entry, decoding all of the book."""
        for id_ in self._providers:
            yield from self._entries(id_)

    def _unwrap(self, name: str, ref: str) -> tuple[str, str]:
        head, _, rest = ref.partition("/")
        if rest and self.provider_id(head):
            return head, rest
        rules = ((known.id, known.guess) for known in self._providers.values())
        return next((id_ for id_, rule in rules if rule is not None and matches_loosely(rule, ref)), name), ref

    def _match(self, provider: str, ref: str) -> list[Entry]:
        found: list[Entry] = []
        for lender in (provider, *self._providers[provider].fallback):
            hits = [entry for entry in self._entries(lender) if _means(entry, ref)]
            base = next((entry for entry in hits if entry.origin == "base"), None)
            found += (entry for entry in hits if entry.origin == "overlay")
            if base is not None:
                return [*found, base]
        return found

    def multipliers(self, provider: str) -> Sequence[Multiplier]:
        """Return the factors of a provider, by the book's id."""
        self._entries(provider)
        return self._providers[provider].multipliers

    def fees(self, provider: str) -> Mapping[str, int]:
        """Return what a provider charges for units with any model, in atto-dollars; by the book's id."""
        self._entries(provider)
        return self._providers[provider].fees

    def fee_sources(self, provider: str) -> Mapping[str, str]:
        """Return the address of the page that each fee comes from; by the book's id."""
        self._entries(provider)
        return self._providers[provider].fee_sources

    def _entries(self, provider: str) -> list[Entry]:
        known = self._providers[provider]
        if known.lines:
            records: list[tuple[Origin, dict[str, Any]]] = [(origin, json.loads(line)) for origin, line in known.lines]
            known.multipliers = [_multiplier(record) for _, record in records if "multiplier" in record]
            fees = [record for _, record in records if "fee" in record]
            known.fees = {record["fee"]: record["price"] for record in fees}
            known.fee_sources = {record["fee"]: record["source"] for record in fees}
            known.entries = [
                _entry(known, origin, self._list_names[origin], record)
                for origin, record in records
                if "model" in record
            ]
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


_in_force: PriceBook | None = None


@cache
def shipped_book() -> PriceBook:
    """Return the book that ships with this version, loaded once."""
    return PriceBook(shipped_text(BASE), shipped_text(OVERLAY))


def current_book() -> PriceBook:
    """Return the book that calls are priced by."""
    return _in_force or shipped_book()


def use_book(book: PriceBook | None) -> None:
    """Price by this book from now on; by the shipped one where it is None."""
    global _in_force
    _in_force = book


def shipped_text(name: str) -> str:
    """Return a file that lies beside this module, in a folder or in an archive."""
    try:
        return Path(__file__).with_name(name).read_text("utf-8")
    except NotADirectoryError:  # a zipapp; what reads from one takes longer to import than the book to load
        resources = importlib.import_module("importlib.resources")
        return str(resources.files(__package__).joinpath(name).read_text("utf-8"))


def _entry(known: _Provider, origin: Origin, list_name: str, record: Mapping[str, Any]) -> Entry:
    return Entry(
        origin=origin,
        list_name=list_name,
        provider=known.id,
        model=record["model"],
        match=record["match"],
        source=record.get("source") or next(iter(known.sources), None),
        tables=record["tables"],
        contexts=record.get("contexts", {}),
        minimums=record.get("minimums", {}),
    )


def _multiplier(record: Mapping[str, Any]) -> Multiplier:
    ((key, value),) = record["context"].items()
    return Multiplier(
        name=record["multiplier"],
        key=key,
        value=value,
        match=record.get("match"),
        from_ns=instant_ns(record["from"]) if "from" in record else -END_OF_TIME,
        to_ns=instant_ns(record["to"]) if "to" in record else END_OF_TIME,
        factor=Decimal(record["factor"]),
        spared=frozenset(record.get("except", ())),
        source=record["source"],
    )


def _means(entry: Entry, ref: str) -> bool:
    """Tell whether a name is the entry's: by its rule, or because it is called so."""
    return matches(entry.match, ref) or (ref == entry.model.lower() and matches_loosely(entry.match, ref))


def _dashed_date(ref: str) -> str:
    """Rewrite `gpt-5-20250807` as `gpt-5-2025-08-07`, the form the book has."""

    def rewrite(found: re.Match[str]) -> str:
        try:
            return f"-{date(*map(int, found.groups())).isoformat()}"
        except ValueError:
            return found[0]

    return _COMPACT_DATE.sub(rewrite, ref)

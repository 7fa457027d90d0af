"""What differs between two price books, or between two days of one: a row a meter whose price is another.

Both sides are compared in each period between two dates of either, so that a price that begins on a new day shows
as that period alone, and neighbours with the same change are one row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from spanledger.book import Entry, PriceBook
from spanledger.instants import END_OF_TIME
from spanledger.rates import TOKEN_METERS, PriceContext, Window, list_rates, make_window
from spanledger_analytics.price_windows import charged_at, condition, dollars, fees, in_words, kind_of, period

from .aligned import write_table

Row = dict[str, str]
Key = tuple[str, str, str]
"""Provider, model, context (empty for the plain price)."""
COLUMNS: Final = ("provider", "model", "context", "from", "to", "when", "meter", "old", "new")
_Prices = dict[tuple[str, str], tuple[str, str]]
"""(when, meter) to the old and the new price."""


def between_books(old: PriceBook, new: PriceBook) -> Iterator[Row]:
    """Yield what differs between two bases: of every entry by itself, for each context.

    What a context has for want of a price of its own, the plain price, is left out.
    """
    sides = _raw(old), _raw(new)
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        before, after = (side.get(key, []) for side in sides)
        if [row for _, row in before] != [row for _, row in after]:
            windows = ([make_window(entry, row, key[2]) for entry, row in rows] for rows in (before, after))
            yield from between(key, *windows)


def _raw(book: PriceBook) -> dict[Key, list[tuple[Entry, Mapping[str, Any]]]]:
    found: dict[Key, list[tuple[Entry, Mapping[str, Any]]]] = {}
    for entry in book.entries():
        plain = [{**row, "to": None} for row in entry.tables[0]]
        for context, number in {"": 0, **entry.contexts}.items():
            own = (row for row in entry.tables[number] if not number or {**row, "to": None} not in plain)
            found.setdefault((entry.provider, entry.model, context), []).extend((entry, row) for row in own)
    return found


def overlaid(base: PriceBook, book: PriceBook) -> Iterator[Row]:
    """Yield what the overlay of a book says otherwise than the base alone, by the names that it is asked for.

    What it says of any model of a provider, fees and factors, comes first, with the model `*`.
    """
    for provider in dict.fromkeys(provider for provider, _ in book.names()):
        yield from _of_any_model(book, provider)
    for entry in book.entries():
        if entry.origin != "overlay":
            continue
        name = _called(entry)
        for context in ("", *entry.contexts):
            pairs = dict(pair.split("=") for pair in context.split("&") if pair)
            old, new = (list_rates(one, entry.provider, name, PriceContext(**pairs)).windows for one in (base, book))
            key, usual = (entry.provider, name, context), book.fees(entry.provider)
            rows = between(key, old, new)
            yield from (row for row in rows if row["old"] or row["meter"] not in usual)


def _of_any_model(book: PriceBook, provider: str) -> Iterator[Row]:
    empty = dict.fromkeys(COLUMNS, "") | {"provider": provider, "model": "*"}
    for unit, rate in book.fees(provider).items():
        yield empty | {"meter": unit, "new": f"${dollars(rate)}"}
    for factor in book.multipliers(provider):
        told = period(factor.from_ns, factor.to_ns)
        yield empty | told | {"context": factor.name, "meter": "any token", "new": f"x {factor.factor:f}"}


def _called(entry: Entry) -> str:
    """Return a name that the entry is found by."""
    rules = entry.match if isinstance(entry.match, list) else [entry.match]
    names = [rule for rule in rules if isinstance(rule, str)]
    return entry.model if entry.model in names or not names else names[0]


def between(key: Key, old: Sequence[Window], new: Sequence[Window]) -> Iterator[Row]:
    """Yield what differs between two lists of windows; neighbouring periods that differ in the same way are one."""
    edges = {-END_OF_TIME, END_OF_TIME} | {edge for one in (*old, *new) for edge in (one.from_ns, one.to_ns)}
    first = last = -END_OF_TIME
    pending: _Prices = {}
    for start, end in pairwise(sorted(edges)):
        at_ns = start if start > -END_OF_TIME else end - 1
        found = _differing(charged_at(old, at_ns), charged_at(new, at_ns))
        if found != pending:
            yield from _rows(key, pending, period(first, last))
            first, pending = start, found
        last = end
    yield from _rows(key, pending, period(first, last))


def between_days(book: PriceBook, first_ns: int, second_ns: int) -> Iterator[Row]:
    """Yield what costs another price at the second instant than at the first: by the overlay and the base together."""
    for provider, model in dict.fromkeys(book.names()):
        windows, key = list_rates(book, provider, model).windows, (provider, model, "")
        yield from _rows(key, _differing(charged_at(windows, first_ns), charged_at(windows, second_ns)), {})


def _rows(key: Key, found: _Prices, told: Mapping[str, str]) -> Iterator[Row]:
    for (when, meter), (old, new) in found.items():
        row = dict(zip(("provider", "model", "context"), key, strict=True)) | {"from": "", "to": "", **told}
        yield row | {"when": when, "meter": meter, "old": old, "new": new}


def _differing(old: Sequence[Window], new: Sequence[Window]) -> _Prices:
    before, after = ({in_words(condition(window)): window for window in windows} for windows in (old, new))
    found: _Prices = {}
    for when in dict.fromkeys([*before, *after]):
        sides = [_costs(side.get(when)) for side in (before, after)]
        kinds: dict[str, set[tuple[str, str]]] = {"input": set(), "output": set()}
        for meter in dict.fromkeys(name for side in sides for name in side):
            pair = sides[0].get(meter, ""), sides[1].get(meter, "")
            # A meter without a price of its own has its ancestor's: it says nothing new.
            shown = kinds[kind_of(meter)] if meter in TOKEN_METERS else set()
            if pair not in shown:
                shown.add(pair)
                if pair[0] != pair[1]:
                    found[when, meter] = pair
    return found


def _costs(window: Window | None) -> dict[str, str]:
    if window is None:
        return {}
    if window.free:
        return dict.fromkeys(TOKEN_METERS, "free")
    rates = zip(TOKEN_METERS, window.token_rates, strict=True)
    return {meter: dollars(rate * 10**6) for meter, rate in rates if rate is not None} | fees(window)


def summary(rows: Iterable[Row], old: PriceBook, new: PriceBook) -> list[Row]:
    """Count the models by provider that are new, gone, or have a price that changed."""
    names = [set(book.names()) for book in (old, new)]
    counts: Counter[tuple[str, str]] = Counter()
    for name in dict.fromkeys((row["provider"], row["model"]) for row in rows):
        known = [name in side for side in names]
        counts[name[0], "changed" if all(known) else "gone" if known[0] else "new"] += 1
    return [
        {"provider": provider, **{kind: str(counts[provider, kind] or "") for kind in ("new", "changed", "gone")}}
        for provider in dict.fromkeys(provider for provider, _ in counts)
    ]


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield from write_table(rows, COLUMNS, ("old", "new"))

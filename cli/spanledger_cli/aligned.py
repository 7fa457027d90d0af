"""Rows of texts as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spanledger_analytics.price_windows import MIDNIGHT


def write_table(rows: Sequence[dict[str, str]], names: Sequence[str], always: Sequence[str] = ()) -> Iterator[str]:
    """Yield a head and the rows, aligned, without columns that are empty throughout, save those of `always`."""
    kept = [name for name in names if name in always or any(row[name] for row in rows)]
    cells = [kept, *([row[name].removesuffix(MIDNIGHT) for name in kept] for row in rows)]
    widths = [max(len(cell[place]) for cell in cells) for place in range(len(kept))]
    for cell in cells:
        yield "  ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)).rstrip()

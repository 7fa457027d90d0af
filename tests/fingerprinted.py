"""Calls with fingerprints for tests of reports: sizes of a prompt's parts and its chain, as they are sent."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from ledger_rows import Row, call, hotel_trace

SIZES: Final = ("tools_size", "system_size", "history_size", "tool_results_size", "user_size")


def sized(*sizes: int, chain: Sequence[int] | None = None, prompt: str | None = None) -> dict[str, Any]:
    """Return the columns of a prompt: bytes of tools, system prompt, history, tool results and user text; its chain."""
    told: dict[str, Any] = dict(zip(SIZES, sizes, strict=True))
    return told | {"prefix_chain": None if chain is None else list(chain), "prompt_hash": prompt}


def hotel_with_fingerprints(trace: int, start: datetime, **tags: Any) -> list[Row]:
    """Return the standard agent with four bytes a token: 250 of tools, 2,700 of system prompt, 50 of the question."""
    rows = hotel_trace(trace, start, **tags)
    prompts = [
        sized(1000, 10_800, 0, 0, 200, chain=[1, 2], prompt="a"),
        sized(1000, 10_800, 400, 6000, 0, chain=[1, 2, 3, 4], prompt="b"),
        sized(1000, 10_800, 7800, 2000, 0, chain=[1, 2, 3, 4, 5, 6], prompt="c"),
    ]
    for row, prompt in zip([row for row in rows if row["role"] == "inference"], prompts, strict=True):
        row.update(prompt)
    return rows


def random_prompts(draw: random.Random, count: int, first: date, days: int) -> list[Row]:
    """Return calls of a few dozen traces: cached, failed, unpriced or blind, at real prices or another's."""
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    rows: list[Row] = []
    chains: dict[int, list[int]] = {}
    for number, second in enumerate(sorted(draw.randrange(days * 86_400) for _ in range(count)), 1):
        trace, model = (
            draw.randrange(1, 40),
            draw.choice(["gpt-5", "claude-opus-4-5", "claude-haiku-4-5", "unknown-model"]),
        )
        output = draw.randrange(900)
        row = call(
            trace,
            number,
            begin + timedelta(seconds=second),
            model,
            draw.choice([0, draw.randrange(9_000)]),
            output,
            cache_read=draw.choice([0, draw.randrange(9_000)]),
            cache_write=draw.choice([0, draw.randrange(9_000)]),
            reasoning=draw.randrange(output + 1),
            feature=draw.choice(["x", "y", None]),
            user_id=draw.choice(["ann", "bob"]),
            **draw.choice([{}, {}, {}, {"status": "error"}]),
        )
        if draw.random() < 0.8:
            fresh = [draw.randrange(4), *draw.sample(range(10, 100), 3)]
            known = chains.get(trace, fresh)
            chain = draw.choice([fresh, known, [*known, number * 1000, number * 1000 + 1]])
            chains[trace] = chain
            sizes = [draw.choice([0, draw.randrange(5_000)]) for _ in SIZES]
            row |= sized(*sizes, chain=chain, prompt=f"p{draw.randrange(9)}")
        rows.append(row)
    return rows

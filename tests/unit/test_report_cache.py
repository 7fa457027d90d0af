"""How well prompt caches work, what caching would save, and what broke it: by hand, and against a naive replay."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from fingerprinted import random_prompts, sized
from ledger_rows import Row, call, make_lake
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.reports.breaks import COUNTS, find_break
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING

DAY = date(2026, 11, 3)
START = datetime(2026, 11, 3, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HEALTH, BREAKS = REPORTS["cache-health"], REPORTS["cache-breaks"]
OPUS = "claude-opus-4-5"
PRICES: Final[dict[str, tuple[int | str, ...]]] = {
    OPUS: (5, "0.5", "6.25", 10),
    "claude-haiku-4-5": (1, "0.1", "1.25", 2),
    "gpt-5": ("1.25", "0.125", "1.25", "1.25"),
}
"""Input, cache read, cache write for 5 minutes and 1 hour: US dollars a million tokens."""


def ask(
    tmp_path: Path, rows: Sequence[Row], by: tuple[str, ...] = ()
) -> tuple[list[tuple[object, ...]], tuple[str, ...]]:
    answer = HEALTH.answer(Ledger(make_lake(tmp_path, rows), EVERYTHING), Question(Period(DAY, DAY), by))
    return answer.frame.rows(), answer.notes


def test_a_system_prompt_that_nobody_caches_would_save_nine_tenths_of_its_price(tmp_path: Path) -> None:
    """Five calls of 2,500 tokens, four minutes apart: $0.0625. Four fifths are one system prompt: written once for
    $0.0125, read four times for $0.001 each; with 500 new tokens ($0.0025) in each that is $0.029. Writing the whole
    would cost 625 in place of 500 for each end: $0.0325."""
    rows = [
        call(
            n,
            1,
            START + 4 * n * MINUTE,
            OPUS,
            2500,
            0,
            feature="a",
            **sized(0, 8000, 0, 0, 2000, chain=[7, n], prompt="p"),
        )
        for n in range(1, 6)
    ]
    found, notes = ask(tmp_path, [*rows, call(9, 1, START, OPUS, 2000, 0)])
    assert found == [
        ("7", 5, Decimal("0.0625"), 0, 0, 0, Decimal("0.0335"), "front_5m", 12_500, 8000, 0),
        (None, 1, Decimal("0.01"), None, 0, None, None, None, 2000, 0, 0),
    ]
    assert notes[2:] == (
        "read from the cache: 0.0 % of what could have been, by the calls with fingerprints",
        "the cache saved $0.00, its writes paid, against uncached prices",
        "caching in the best way would save $0.03 more; the most at prefix 7: $0.03 by tools and system prompt for 5 "
        "minutes",
        "assumed: prefixes of 1,024 tokens or more are cached at the book's prices, for calls of one model and "
        "account, from when a call begins; whatever isn't read is written",
    )


def test_a_conversation_is_best_cached_whole_and_for_an_hour_if_it_pauses(tmp_path: Path) -> None:
    """2,000, 4,000 and 6,000 tokens, 20 minutes apart: $0.06. Written for an hour 6,000 ($0.06), read 2,000 and 4,000
    ($0.003): dearer. With a fourth turn of 8,000, it is $0.1 against $0.08 + $0.006."""
    chains = [[1, 2], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5]]
    rows = [
        call(n, 1, START + 20 * n * MINUTE, OPUS, 2000 * n, 0, **sized(0, 0, 0, 0, 800, chain=chain))
        for n, chain in enumerate(chains, 1)
    ]
    assert ask(tmp_path / "three", rows[:3])[0] == [
        ("rare", 3, Decimal("0.06"), None, 0, 0, 0, "as it is", 12_000, 0, 0)
    ]
    found, _ = ask(tmp_path / "four", rows)
    assert found == [("rare", 4, Decimal("0.1"), None, 0, 0, Decimal("0.014"), "whole_1h", 20_000, 0, 0)]


def test_a_cache_that_is_only_written_costs_and_says_so(tmp_path: Path) -> None:
    """2,000 tokens written for $0.0125 that uncached cost $0.01; nothing comes back."""
    row = call(1, 1, START, OPUS, 0, 0, cache_write=2000, **sized(0, 8000, 0, 0, 0, chain=[1, 2]))
    found, notes = ask(tmp_path, [row])
    assert [row[5:8] for row in found] == [(Decimal("-0.0025"), 0, "as it is")]
    assert "the cache cost $0.002500, its writes paid, against uncached prices" in notes


def test_what_is_read_is_told_as_a_share_of_what_could_be(tmp_path: Path) -> None:
    """Of five calls of 4,000 tokens four could read all, and two do: 8,000 of 16,000, of 20,000."""
    same = sized(0, 8000, 0, 0, 8000, chain=[1, 2])
    reads = [0, 4000, 0, 4000, 0]
    rows = [
        call(n, 1, START + n * MINUTE, OPUS, 4000 - read, 0, cache_read=read, **same) for n, read in enumerate(reads, 1)
    ]
    (row,), _ = ask(tmp_path, rows)
    assert row[:6] == ("1", 5, Decimal("0.064"), Decimal("0.5"), Decimal("0.4"), Decimal("0.036"))
    assert row[8:] == (20_000, 16_000, 8000)


def line(
    first: int, feature: str, begin: datetime, count: int, read: int, **columns: Callable[[int], object]
) -> list[Row]:
    """Return a call of 10,000 tokens each minute, with the columns that functions of its number tell."""
    rows = []
    for number in range(first, first + count):
        told: dict[str, Any] = {name: value(number) for name, value in columns.items()}
        start = begin + (number - first) * MINUTE
        rows.append(call(number, 1, start, OPUS, 10_000 - read, 0, cache_read=read, feature=feature, **told))
    return rows


def test_broken_caches_are_found_within_the_hour_with_what_changed(tmp_path: Path) -> None:
    """8,000 of 10,000 tokens are read; then none: each call loses 8,000 x $4.50 a million = $0.036.

    `time`: each call has another system prompt, from 10:10 on. `deploy`: other tools from 10:00 to 10:30. `user`:
    the first message, once the same, is another each time. `away`: nothing is told. `fine` has other ones
    all along.
    """
    hour, since = timedelta(hours=1), START + timedelta(minutes=70)
    same: dict[str, Callable[[int], Any]] = {
        "system_hash": lambda _: "s",
        "tools_hash": lambda _: "t",
        "prefix_chain": lambda _: [1, 2],
    }
    other: dict[str, Callable[[int], Any]] = same | {"prefix_chain": lambda number: [1, number]}
    rows = [
        *line(1000, "time", START, 70, 8000, **same),
        *line(1100, "time", since, 40, 0, **same | {"system_hash": str, "prefix_chain": lambda number: [number]}),
        *line(2000, "deploy", START, 60, 8000, **same),
        *line(2100, "deploy", START + hour, 30, 0, **same | {"tools_hash": lambda _: "u"}),
        *line(2200, "deploy", START + 1.5 * hour, 60, 8000, **same | {"tools_hash": lambda _: "u"}),
        *line(3000, "user", START, 60, 8000, **same),
        *line(3100, "user", START + hour, 40, 0, **other),
        *line(4000, "away", START, 60, 8000, **other),
        *line(4100, "away", START + hour, 10, 0, **other),
        *line(5000, "fine", START, 120, 8000, **other),
    ]
    ledger = Ledger(make_lake(tmp_path, rows), EVERYTHING)
    answer = BREAKS.answer(ledger, Question(Period(DAY, DAY)))
    begin, share = START + hour, Decimal("0.8")
    assert answer.frame.select(
        "since", "until", "lost_usd", "changed", "varies", "before_share", "feature", "calls"
    ).rows() == [
        (begin, None, Decimal("1.44"), "first_message", True, share, "user", 40),
        (since, None, Decimal("1.44"), "system_prompt", True, share, "time", 40),
        (begin, begin + timedelta(minutes=30), Decimal("1.08"), "tools", False, share, "deploy", 30),
        (begin, None, Decimal("0.36"), None, None, share, "away", 10),
    ]
    assert answer.notes[1] == (
        f"the cache of time, {OPUS} broke at 2026-11-03 10:10:00 UTC: the system prompt changed, and is another from "
        "call to call; read 80 % of the input before, 0 % since; $1.44 lost"
    )
    assert answer.notes[2].endswith("0 % since; $1.08 lost until 2026-11-03 10:30 UTC")
    said = "the caches of 4 lines of calls broke: spanledger report cache-breaks tells since when, and what was lost"
    assert HEALTH.answer(ledger, Question(Period(DAY, DAY))).notes[-1] == said


def quarters(*lines: tuple[int, int, int]) -> pl.DataFrame:
    """Return quarters of an hour in a row, of calls, input and read tokens."""
    rows = [(START + number * 15 * MINUTE, *told, 0, 0, 0) for number, told in enumerate(lines)]
    return pl.DataFrame(rows, ["quarter_hour", *COUNTS], orient="row")


def test_few_calls_or_a_small_dip_are_no_break() -> None:
    steady = [(10, 1000, 800)] * 4
    assert find_break(quarters(*steady, (10, 1000, 500))) is None
    assert find_break(quarters(*steady, (4, 400, 0))) is None
    assert find_break(quarters((9, 900, 700), (1, 100, 80), (50, 5000, 0))) is None
    assert find_break(quarters(*[(50, 5000, 900)] * 2, (50, 5000, 0))) is None
    found = find_break(quarters(*steady, (3, 300, 0), (2, 200, 0)))
    assert found is not None
    assert (found.begin, found.end, found.before.read_tokens) == (START + timedelta(hours=1), None, 2400)


def test_a_cache_that_recovers_was_broken_until_then() -> None:
    found = find_break(quarters(*[(20, 2000, 1600)] * 2, (20, 2000, 0), (20, 2000, 100), (20, 2000, 1600)))
    assert found is not None
    assert (found.begin, found.end) == (START + 30 * MINUTE, START + 60 * MINUTE)


def naive(calls: Sequence[Row]) -> dict[str | None, tuple[object, ...]]:
    """Replay the ways of caching call by call; return what `cache-health` says of each prefix of five calls or more."""
    calls = sorted((one for one in calls if one["input_tokens"]), key=lambda one: (one["start_time"], one["span_id"]))
    found: dict[str | None, list[Row]] = {}
    for place, one in enumerate(calls):
        told = _replayed(one, calls[:place], calls) if one["prefix_chain"] else {"read": one["cache_read_tokens"]}
        key = str(one["prefix_chain"][0]) if one["prefix_chain"] else None
        found.setdefault(key, []).append(one | told)
    return {key: _told(rows) for key, rows in found.items()}


def _replayed(one: Row, earlier: Sequence[Row], calls: Sequence[Row]) -> Row:
    same = [other for other in calls if other["response_model"] == one["response_model"] and other["prefix_chain"]]
    sizes = [one[name] or 0 for name in ("tools_size", "system_size", "history_size", "tool_results_size", "user_size")]
    front = one["input_tokens"] * sum(sizes[:2]) // sum(sizes) if sum(sizes) else 0
    known, first = {5: 0, 60: 0}, {5: False, 60: False}
    for place, link in enumerate(one["prefix_chain"]):
        before = [other for other in earlier if other in same and link in other["prefix_chain"]]
        if not before:
            continue
        ends = [other["input_tokens"] for other in same if other["prefix_chain"][-1] == link]
        tokens = max([*ends, front if place == 0 else 0])
        for minutes in (5, 60):
            if one["start_time"] - before[-1]["start_time"] <= minutes * MINUTE:
                known[minutes] = max(known[minutes], min(tokens, one["input_tokens"]))
                first[minutes] |= place == 0
    return {"read": one["cache_read_tokens"], "known": known[5], "costs": _costs(one, front, known, first)}


def _costs(one: Row, front: int, known: dict[int, int], first: dict[int, bool]) -> dict[str, Decimal]:
    tokens = one["input_tokens"]
    if one["response_model"] not in PRICES:
        return {}
    plain, read, *writes = (Decimal(price) / 1_000_000 for price in PRICES[one["response_model"]])
    costs = {"none": tokens * plain}
    for minutes, name, write in ((5, "5m", writes[0]), (60, "1h", writes[1])):
        again = known[minutes] if known[minutes] >= 1024 else 0
        whole = tokens if tokens >= 1024 else 0
        costs[f"whole_{name}"] = again * read + (whole - again) * write + (tokens - whole) * plain
        cached = front if front >= 1024 else 0
        costs[f"front_{name}"] = cached * (read if first[minutes] else write) + (tokens - cached) * plain
    return costs


def _told(rows: Sequence[Row]) -> tuple[object, ...]:
    was = Decimal(0)
    sums: dict[str, Decimal] = dict.fromkeys(["none", "whole_5m", "front_5m", "whole_1h", "front_1h"], Decimal(0))
    for row in rows:
        if row.get("costs"):
            was += row["cost_input"] + row["cost_cache_read"] + row["cost_cache_write"]
            sums = {way: cost + row["costs"][way] for way, cost in sums.items()}
    saved, best = sums.pop("none") - was, min(sums, key=lambda way: sums[way])
    could, best = (was - sums[best], best) if sums[best] < was else (Decimal(0), "as it is")
    known = any(row.get("costs") for row in rows)
    cacheable = sum(max(row["known"], row["read"]) for row in rows if "known" in row)
    return (len(rows), saved if known else None, could if known else None, best if known else None, cacheable,
            sum(row["read"] for row in rows))  # fmt: skip


@pytest.mark.parametrize("seed", [11])
def test_health_is_that_of_a_naive_replay(tmp_path: Path, seed: int) -> None:
    rows = random_prompts(random.Random(seed), 250, DAY, 1)
    ledger = Ledger(make_lake(tmp_path, rows), EVERYTHING)
    answer = HEALTH.answer(ledger, Question(Period(DAY, DAY)))
    with connect(ledger.lake) as connection:
        calls = connection.sql("select * from llm_calls").pl().to_dicts()
    columns = ("calls", "saved_usd", "could_save_usd", "best", "cacheable_tokens", "cache_read_tokens")
    found = {row["prefix"]: tuple(row[name] for name in columns) for row in answer.frame.to_dicts()}
    assert found == naive(calls)
    by_model = HEALTH.answer(ledger, Question(Period(DAY, DAY), ("feature", "model"))).frame
    spent = sum(
        (row[name] or 0 for row in calls for name in ("cost_input", "cost_cache_read", "cost_cache_write")), Decimal(0)
    )
    assert sum(by_model["input_usd"].drop_nulls()) == sum(answer.frame["input_usd"].drop_nulls()) == spent
    assert by_model["saved_usd"].drop_nulls().sum() == answer.frame["saved_usd"].drop_nulls().sum()

"""Caches that broke are those of a naive look at every stretch of time of random ledgers, with what was lost."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import polars as pl
from hypothesis import Phase, given, settings, strategies as st
from polars.testing import assert_frame_equal

from ledger_rows import Row, call, make_lake
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.breaks import COUNTS, find_break
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING

DAY = date(2026, 11, 3)
BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
BREAKS = REPORTS["cache-breaks"]
LEAST = 1024
PRICES: Final[dict[str, tuple[int | str, ...]]] = {
    "claude-opus-4-5": (5, "0.5", "6.25", 10),
    "claude-haiku-4-5": (1, "0.1", "1.25", 2),
}
"""Input, cache read, cache write for 5 minutes and 1 hour: US dollars a million tokens."""
LINE: Final = ("service", "feature", "agent", "model")
SUMS: Final = ("calls", "input", "read", "write_5m", "write_1h")


def random_lines(draw: random.Random) -> Iterator[Row]:
    """Yield calls of a few lines over two days; each has a few phases with shares read and written of their own."""
    number = 0
    for line in range(4):
        model = draw.choice([*PRICES, "claude-opus-4-5", "unknown-model"])
        told: Row = {
            "feature": draw.choice(["x", "y", "", None]),
            "service_name": draw.choice(["shop", "desk"]),
            "agent_name": draw.choice([None, "planner"]),
        }
        clock = BEGIN + timedelta(minutes=draw.randrange(40 * 60))
        for phase in range(draw.choice([2, 3, 4])):
            read, write = draw.choice([(90, 5), (50, 0), (40, 50), (20, 30), (10, 0), (0, 90), (0, 0)])
            hour_long, blind = draw.random() < 0.3, draw.random() < 0.1
            new = draw.choice(["nothing", "nothing", "system_hash", "tools_hash", "first", "all"])
            each = draw.random() < 0.4
            for _ in range(draw.randrange(4, 40)):
                number += 1
                clock += timedelta(seconds=draw.choice([0, draw.randrange(700)]))
                tokens = draw.choice([900, draw.randrange(1024, 20_000)])
                reads, writes = tokens * read // 100, tokens * write // 100
                row = call(
                    line * 1000 + draw.randrange(5), number, clock, model, tokens - reads - writes, 0,
                    cache_read=reads, cache_write=writes, **told,
                )  # fmt: skip
                row |= {"cache_write_5m_tokens": 0, "cache_write_1h_tokens": writes} if hour_long else {}
                yield booked(row) | hashes(new, f"{phase}-{number}" if each else str(phase), phase, blind=blind)


def booked(row: Row) -> Row:
    """Price writes for an hour as the book does."""
    if row["response_model"] in PRICES and row.get("cache_write_1h_tokens"):
        paid = millions(row["cache_write_1h_tokens"], PRICES[row["response_model"]][3])
        return row | {"cost_cache_write": paid, "cost_usd": row["cost_input"] + row["cost_cache_read"] + paid}
    return row


def hashes(new: str, what: str, phase: int, *, blind: bool) -> Row:
    if blind:
        return {"system_hash": None, "tools_hash": None, "prefix_chain": None}
    told: Row = {"system_hash": None if phase == 2 else "s", "tools_hash": "t"}
    told |= {name: what for name in told if new in (name, "all")}
    first = hash(what) % 10**6 if new in ("first", "all") else 2
    return told | {"prefix_chain": [1] if phase == 3 else [1, first, 3]}


@dataclass(frozen=True, slots=True)
class Stretch:
    """From when until when a line lost, how much, and what the day before it did."""

    begin: datetime
    end: datetime | None
    lost_tokens: Fraction
    before: dict[str, int]


def worst(calls: Sequence[Row]) -> Stretch | None:
    """Try every quarter of an hour with calls as the first and as the last; the earliest and shortest of equal ones."""
    heaps: dict[datetime, list[Row]] = {}
    for one in calls:
        heaps.setdefault(one["start_time"] - (one["start_time"] - BEGIN) % QUARTER, []).append(one)
    return worst_of([(moment, sums(heaps[moment])) for moment in sorted(heaps)])


def worst_of(quarters: Sequence[tuple[datetime, dict[str, int]]]) -> Stretch | None:
    found = None
    for place, (begin, first) in enumerate(quarters):
        day = [told for moment, told in quarters if begin - timedelta(days=1) <= moment < begin - QUARTER]
        before = {name: sum(one[name] for one in day) for name in SUMS}
        if before["calls"] < 10 or Fraction(before["read"], before["input"]) < Fraction(1, 5):
            continue
        rate = Fraction(before["read"], before["input"])
        for last in range(place, len(quarters)):
            after = {name: sum(told[name] for _, told in quarters[place : last + 1]) for name in SUMS}
            low = all(Fraction(one["read"], one["input"]) <= rate / 2 for one in (first, after))
            loses = rate * quarters[last][1]["input"] > quarters[last][1]["read"]
            lost = rate * after["input"] - after["read"]
            if low and loses and after["calls"] >= 5 and lost > (found.lost_tokens if found else 0):
                goes_on = last == len(quarters) - 1
                found = Stretch(begin, None if goes_on else quarters[last][0] + QUARTER, lost, before)
    return found


def sums(calls: Sequence[Row]) -> dict[str, int]:
    columns = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
    return dict(zip(SUMS, [len(calls), *(sum(one.get(name) or 0 for one in calls) for name in columns)], strict=True))


def naive(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return what the report says, the largest loss first."""
    lines: dict[tuple[str | None, ...], list[Row]] = {}
    for one in sorted(rows, key=lambda row: (row["start_time"], row["span_id"])):
        if one["input_tokens"] >= LEAST:
            names = ("service_name", "feature", "agent_name", "response_model")
            lines.setdefault(tuple(one[name] or None for name in names), []).append(one)
    told = [
        dict(zip(LINE, line, strict=True)) | broken(calls, found)
        for line, calls in lines.items()
        if any(one["cache_read_tokens"] for one in calls) and (found := worst(calls))
    ]
    return sorted(
        told,
        key=lambda row: (*largest(row["lost_usd"]), row["since"], *((row[name] is None, row[name]) for name in LINE)),
    )


def largest(lost_usd: Decimal | None) -> tuple[bool, Decimal]:
    return lost_usd is None, -(lost_usd or Decimal(0))


def broken(calls: Sequence[Row], found: Stretch) -> dict[str, Any]:
    before = [one for one in calls if found.begin - timedelta(days=1) <= one["start_time"] < found.begin - QUARTER]
    lately = [
        one
        for one in calls
        if one["start_time"] >= found.begin - QUARTER and (found.end is None or one["start_time"] < found.end)
    ]
    changed, varies, since = what_changed(before, lately, found.begin)
    after = [one for one in lately if one["start_time"] >= since]
    losses = [lost(one, found.before) for one in after if one["response_model"] in PRICES]
    return {
        "since": since,
        "until": found.end,
        "lost_usd": sum(losses, Decimal(0)) if losses else None,
        "changed": changed,
        "varies": varies,
        "before_share": share(found.before["read"], found.before["input"]),
        "after_share": share(sums(after)["read"], sums(after)["input"]),
        "calls": len(after),
    }


def what_changed(
    before: Sequence[Row], lately: Sequence[Row], begin: datetime
) -> tuple[str | None, bool | None, datetime]:
    """Return the first of the hashes that most calls have anew, whether it is another each time, and since when."""
    after = [one for one in lately if one["start_time"] >= begin]
    for changed, hash_of in (("system_prompt", system), ("tools", tools), ("first_message", first_message)):
        known = {hash_of(one) for one in before}
        new = [one for one in lately if hash_of(one) is not None and hash_of(one) not in known]
        since_then = [one for one in new if one["start_time"] >= begin]
        if 2 * len(since_then) <= len(after) or (changed == "first_message" and not was_steady(before)):
            continue
        kinds = {hash_of(one) for one in since_then}
        return changed, len(kinds) > 1 and 2 * len(kinds) > len(since_then), new[0]["start_time"]
    return None, None, after[0]["start_time"]


def system(one: Row) -> str | None:
    """Return what a call has for a system prompt, '' for none; None where it has no fingerprints."""
    return (one["system_hash"] or "") if one["prefix_chain"] else None


def tools(one: Row) -> str | None:
    return (one["tools_hash"] or "") if one["prefix_chain"] else None


def first_message(one: Row) -> int | None:
    return one["prefix_chain"][1] if one["prefix_chain"] and len(one["prefix_chain"]) > 1 else None


def was_steady(before: Sequence[Row]) -> bool:
    """Tell whether most calls began with a message that one before them had begun with."""
    seen, again = set(), 0
    for one in before:
        again += first_message(one) in seen
        seen |= {first_message(one)} - {None}
    return 2 * again > len(before)


def lost(one: Row, before: dict[str, int]) -> Decimal:
    """Return what a call cost more than if as much of it had been read and written as in the day before."""
    plain, *cached = PRICES[one["response_model"]]
    counts = [one["input_tokens"] * before[name] // before["input"] for name in ("read", "write_5m", "write_1h")]
    rest = one["input_tokens"] - sum(counts)
    then = sum((millions(count, price) for count, price in zip(counts, cached, strict=True)), millions(rest, plain))
    paid: Decimal = one["cost_input"] + one["cost_cache_read"] + one["cost_cache_write"]
    return paid - then


def millions(tokens: int, price: int | str) -> Decimal:
    return Decimal(tokens) * Decimal(price) / 1_000_000


def share(part: int, whole: int) -> Decimal:
    return (Decimal(part) / Decimal(whole)).quantize(Decimal("0.000001"), ROUND_HALF_UP)


@settings(max_examples=3, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 2**32))
def test_breaks_are_those_of_a_naive_look_at_every_stretch(seed: int) -> None:
    rows = list(random_lines(random.Random(seed)))
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(make_lake(Path(folder) / "lake", rows), EVERYTHING)
        found = BREAKS.answer(ledger, Question(Period(BEGIN.date(), DAY + timedelta(days=9)))).frame
    assert_frame_equal(found, pl.DataFrame(naive(rows), schema=found.schema))


counts = st.tuples(st.integers(1, 12), st.integers(1, 500), st.integers(0, 100), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(st.lists(counts, min_size=2, max_size=14))
def test_a_break_is_the_stretch_that_lost_most(lines: list[tuple[int, int, int, int]]) -> None:
    clock = BEGIN
    quarters: list[tuple[datetime, int, int, int, int, int, int]] = []
    for calls, tokens, percent, pause in lines:
        clock += pause * QUARTER
        quarters.append((clock, calls, tokens, tokens * percent // 100, 0, 0, 0))
    found = find_break(pl.DataFrame(quarters, ["quarter_hour", *COUNTS], orient="row"))
    expected = worst_of(
        [
            (clock, dict(zip(SUMS, (calls, tokens, read, 0, 0), strict=True)))
            for clock, calls, tokens, read, *_ in quarters
        ]
    )
    assert (found and (found.begin, found.end, found.before.read_tokens)) == (
        expected and (expected.begin, expected.end, expected.before["read"])
    )

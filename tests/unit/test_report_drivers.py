"""Where the dollars of a run go: by hand, on the standard example, and against a naive split of random calls."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from fingerprinted import SIZES, hotel_with_fingerprints, random_prompts, sized
from ledger_rows import PRICES, Row, call, hotel_trace, make_lake
from small_ledger import small_ledger
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING

DAY = date(2026, 11, 3)
START = datetime(2026, 11, 3, 9, tzinfo=UTC)
WEEKS = Period(date(2026, 11, 2), date(2026, 11, 15))
DRIVERS, LOOPS = REPORTS["drivers"], REPORTS["loops"]
TRACE = f"{7:032x}"


def ask_day(
    tmp_path: Path, rows: Sequence[Row], by: tuple[str, ...] = (), **options: str
) -> tuple[list[Row], tuple[str, ...]]:
    """Ask about the day of rows; return parts without their zeros, and the notes."""
    answer = DRIVERS.answer(Ledger(make_lake(tmp_path, rows), EVERYTHING), Question(Period(DAY, DAY), by), **options)
    return [{name: value for name, value in row.items() if value} for row in answer.frame.to_dicts()], answer.notes


def dollars(text: str) -> Decimal:
    return Decimal(text)


def test_the_standard_agent_pays_twice_for_what_it_said_before(tmp_path: Path) -> None:
    """A million tokens in are $10, out $30: 3 x 2,700 of system prompt are $0.081, two thirds of them sent again."""
    rows = [*hotel_with_fingerprints(7, START), *hotel_trace(8, START)]
    parts, notes = ask_day(tmp_path, rows, trace=TRACE)
    assert [tuple(row.values()) for row in parts] == [
        ("system_prompt", dollars("0.081"), dollars("0.549153"), 8100, dollars("0.054"), 3),
        ("history", dollars("0.0205"), dollars("0.138983"), 2050, dollars("0.0205"), 2),
        ("tool_results", dollars("0.02"), dollars("0.135593"), 2000, 2),
        ("output", dollars("0.018"), dollars("0.122034"), 600, 3),
        ("tool_definitions", dollars("0.0075"), dollars("0.050847"), 750, dollars("0.005"), 3),
        ("user_text", dollars("0.0005"), dollars("0.00339"), 50, 1),
    ]
    assert sum(row["cost_usd"] for row in parts) == dollars("0.1475")
    assert notes == (
        "$0.15 for 3 calls",
        "not settled yet: 3 calls, which their traces may still change",
        "the largest part is system_prompt: $0.08 (54.9 %), the system prompt",
        "sent again within a trace: $0.08 (53.9 % of what calls with fingerprints cost); with each text sent once they "
        "would have cost $0.07, 2.17x",
    )


def test_a_trace_without_fingerprints_is_told_by_its_token_counts(tmp_path: Path) -> None:
    parts, notes = ask_day(tmp_path, hotel_trace(7, START), trace=TRACE)
    assert [tuple(row.values()) for row in parts] == [
        ("unknown", dollars("0.1295"), dollars("0.877966"), 12_950, 3),
        ("output", dollars("0.018"), dollars("0.122034"), 600, 3),
    ]
    assert notes[3:] == (
        "no fingerprints, so input in `unknown`: 3 calls, $0.13",
        "by token counts alone, $0.08 (53.9 %) paid for what had been sent before; each text sent once would have cost "
        "$0.07, 2.17x",
    )


def test_what_the_cache_reads_is_the_front_of_the_prompt(tmp_path: Path) -> None:
    """800k tokens in: 400k read ($0.20), 200k written ($1.25, $1 of it the plain price), 200k fresh ($1).

    By bytes they are 80k of tools, 240k of system prompt, 320k of history, 80k of results, 80k of user text. Read are
    tools, system prompt and 80k of history, each 80k of which saves 80k x $4.50 a million = $0.36; written 200k of
    history; fresh 40k of history, results and user text. A quarter of the output ($1) is reasoning.
    """
    row = call(
        7, 1, START, "claude-opus-4-5", 200_000, 40_000, cache_read=400_000, cache_write=200_000, reasoning=10_000,
        **sized(100, 300, 400, 100, 100, chain=[1, 2], prompt="a"),
    )  # fmt: skip
    parts, notes = ask_day(tmp_path, [row])
    assert {row["part"]: (row["cost_usd"], row.get("tokens"), row.get("saved_usd")) for row in parts} == {
        "tool_definitions": (dollars("0.04"), 80_000, dollars("0.36")),
        "system_prompt": (dollars("0.12"), 240_000, dollars("1.08")),
        "history": (dollars("1.24"), 320_000, dollars("0.36")),
        "tool_results": (dollars("0.4"), 80_000, None),
        "user_text": (dollars("0.4"), 80_000, None),
        "cache_premium": (dollars("0.25"), None, None),
        "reasoning": (dollars("0.25"), 10_000, None),
        "output": (dollars("0.75"), 30_000, None),
    }
    assert "the prompt cache saved $1.80 against uncached prices, and writing to it cost $0.25 more" in notes


def test_a_price_that_is_not_the_books_tells_nothing_of_saving(tmp_path: Path) -> None:
    row = call(7, 1, START, "claude-opus-4-5", 0, 0, cache_write=200_000, **sized(1, 0, 0, 0, 0))
    dear = row | {"cost_cache_write": dollars("3"), "cost_usd": dollars("3")}
    parts, notes = ask_day(tmp_path, [dear])
    assert [(row["part"], row["cost_usd"]) for row in parts] == [("tool_definitions", dollars("3"))]
    assert notes[-1] == "not at today's prices, so without saving and premium: 1 call that used the prompt cache"


def test_parts_by_feature_add_up_to_what_was_spent(tmp_path: Path) -> None:
    """No call of the small ledger has fingerprints: its input is unknown, and the failed one is told whole.

    find: 9 x 800k or 1.6M in at 1.25 a million, cached 0.10: $9.10 without the failed $1; 800k out. draft: 400k
    written ($2.50, $2 of them plain), 400k read (0.20, would be 2), 200k and 400k fresh ($1 and $2).
    """
    answer = DRIVERS.answer(small_ledger(tmp_path), Question(WEEKS, ("feature",), parse_where(["feature=find,draft"])))
    assert answer.frame.select("feature", "part", "cost_usd", "again_usd", "saved_usd", "calls").rows() == [
        ("draft", "output", dollars("8"), 0, 0, 4),
        ("draft", "unknown", dollars("5.2"), 0, dollars("1.8"), 4),
        ("draft", "cache_premium", dollars("0.5"), 0, 0, 1),
        ("find", "unknown", dollars("9.1"), 0, dollars("0.9"), 7),
        ("find", "output", dollars("8"), 0, 0, 6),
        ("find", "failed_calls", dollars("1"), 0, 0, 1),
    ]
    assert answer.notes[-1] == "no fingerprints, so input in `unknown`: 11 calls, $14.30"


def test_a_loop_is_named_with_what_it_cost(tmp_path: Path) -> None:
    """Four times the same prompt of $1; twice is no loop, neither is another model, nor a chain that grows."""
    minute = timedelta(minutes=1)
    same = sized(0, 0, 0, 0, 4, chain=[1, 2], prompt="a")
    rows = [
        *(call(7, number, START + number * minute, "gpt-5", 800_000, 0, feature="f", **same) for number in range(4)),
        call(7, 8, START, "gpt-5-mini", 4_000_000, 0, **same),
        *(call(9, number, START, "gpt-5", 800_000, 0, **same) for number in range(2)),
        *(call(10, number, START, "gpt-5", 800, 0, **sized(0, 0, 0, 0, 4, chain=[1, number])) for number in range(5)),
    ]
    ledger = Ledger(make_lake(tmp_path, rows), EVERYTHING)
    asked = Question(Period(DAY, DAY))
    answer = LOOPS.answer(ledger, asked)
    assert answer.frame.rows() == [(TRACE, START, "gpt-5", "f", 4, dollars("3"), dollars("4"), "2")]
    said = (
        "loops: 1 trace sent a prompt 3 times or more; all but the first cost $3.00; "
        f"the dearest is {TRACE}: 4 times, $3.00"
    )
    assert answer.notes == (said,)
    assert said in DRIVERS.answer(ledger, asked).notes
    assert LOOPS.answer(ledger, asked, times=2).frame["calls"].to_list() == [4, 2]
    assert LOOPS.answer(ledger, asked, times=5).notes == ("no trace sent a prompt 5 times or more",)


def naive(calls: Sequence[Row], by: Sequence[str]) -> dict[tuple[object, ...], tuple[int, int, int, int]]:
    """Take calls apart one by one; return pico-dollars of each part (cost, again, saved), and its tokens."""
    found: dict[tuple[object, ...], list[int]] = {}
    before: dict[tuple[object, ...], Row] = {}
    prompts = set()
    for one in sorted(calls, key=lambda row: (row["start_time"], row["span_id"])):
        chain = one["prefix_chain"] or []
        day = one["dt"]
        last = before.get((day, one["trace_id"], *chain[:1])) if chain else None
        repeated = bool(chain) and (day, one["trace_id"], chain[-1]) in prompts
        prompts |= {(day, one["trace_id"], chain[-1])} if chain else set()
        before[day, one["trace_id"], *chain[:1]] = one
        for part, (cost, sent_again, saved, tokens) in _parts(one, last, repeated=repeated).items():
            if cost or tokens:
                row = found.setdefault((*(one[name] for name in by), part), [0, 0, 0, 0])
                for place, number in enumerate((cost, sent_again, saved, tokens)):
                    row[place] += number
    return {key: (a, b, c, d) for key, (a, b, c, d) in found.items()}


def _pico(usd: Decimal | None) -> int:
    return int((usd or Decimal(0)) * 10**12)


def _parts(one: Row, last: Row | None, *, repeated: bool) -> dict[str, tuple[int, int, int, int]]:
    read, write, fresh = (one[name] for name in ("cache_read_tokens", "cache_write_5m_tokens", "input_uncached_tokens"))
    plain = int(Decimal(PRICES[one["response_model"]][1]) * 10**6) if one["response_model"] in PRICES else 0
    saved = plain * read - _pico(one["cost_cache_read"])
    if one["status"] == "error" and one["cost_usd"]:
        return {"failed_calls": (_pico(one["cost_usd"]), 0, saved, one["input_tokens"] + one["output_tokens"])}
    thought = _pico(one["cost_output"]) * one["reasoning_tokens"] // (one["output_tokens"] or 1)
    layers = [
        (read, _pico(one["cost_cache_read"]), saved),
        (write, plain * write, 0),
        (fresh, _pico(one["cost_input"]), 0),
    ]
    names: tuple[str, ...] = ("tool_definitions", "system_prompt", "history", "tool_results", "user_text")
    sizes, tokens = [one[name] or 0 for name in SIZES], read + write + fresh
    if not sum(sizes) or not tokens:
        names, sizes = ("unknown",), [1]
    ends = [tokens * sum(sizes[: place + 1]) // sum(sizes) for place in range(len(sizes))]
    history = 0 if repeated or names[0] == "unknown" else _history(one, last)
    if history and sum(sizes[3:]):
        ends = [min(ends[0], history), min(ends[1], history), history]
        ends += [history + (tokens - history) * sizes[3] // sum(sizes[3:]), tokens]
    again = {"history"} | ({*names[:2]} if last else set()) | ({*names} if repeated else set()) - {"unknown"}
    parts: dict[str, tuple[int, int, int, int]] = {}
    for name, begin, end in zip(names, [0, *ends], ends, strict=False):
        cost = _on(layers, end, 1) - _on(layers, begin, 1)
        is_again = name in again and name != "unknown"
        parts[name] = cost, cost if is_again else 0, _on(layers, end, 2) - _on(layers, begin, 2), end - begin
    parts["cache_premium"] = _pico(one["cost_cache_write"]) - plain * write, 0, 0, 0
    parts["reasoning"] = thought, 0, 0, one["reasoning_tokens"]
    parts["output"] = _pico(one["cost_output"]) - thought, 0, 0, one["output_tokens"] - one["reasoning_tokens"]
    return parts


def _history(one: Row, last: Row | None) -> int:
    """Return what is known of the history from the call before, if this one goes on from it."""
    if (
        last is None
        or last["prefix_chain"][-1] not in one["prefix_chain"]
        or last["response_model"] != one["response_model"]
    ):
        return 0
    sent, said = last["input_tokens"], last["output_tokens"] - last["reasoning_tokens"]
    return sent + said if one["input_tokens"] >= sent + said else sent if one["input_tokens"] >= sent else 0


def _on(layers: Sequence[tuple[int, int, int]], place: int, which: int) -> int:
    total = 0
    for layer in layers:
        total += layer[which] * max(0, min(place, layer[0])) // (layer[0] or 1)
        place -= layer[0]
    return total


@pytest.mark.parametrize(("seed", "by"), [(1, ()), (2, ("feature", "user"))])
def test_parts_are_those_of_a_naive_split_and_add_up(tmp_path: Path, seed: int, by: tuple[str, ...]) -> None:
    ledger = Ledger(make_lake(tmp_path, random_prompts(random.Random(seed), 300, DAY, 2)), EVERYTHING)
    answer = DRIVERS.answer(ledger, Question(Period(DAY, DAY + timedelta(days=1)), by))
    with connect(ledger.lake) as connection:
        calls = connection.sql("select * from llm_calls").pl().to_dicts()
    columns = {"user": "user_id"}
    expected = naive(calls, [columns.get(name, name) for name in by])
    found = {
        tuple(row[name] for name in (*by, "part")): (
            *(_pico(row[name]) for name in ("cost_usd", "again_usd", "saved_usd")),
            row["tokens"],
        )
        for row in answer.frame.to_dicts()
    }
    assert found == expected
    spent = REPORTS["spend"].answer(ledger, Question(Period(DAY, DAY + timedelta(days=1)))).frame["cost_usd"]
    assert sum(answer.frame["cost_usd"].drop_nulls()) == sum(spent) == sum(row["cost_usd"] or 0 for row in calls)

"""Rows for tests: single spans with sensible defaults, and a fortnight of a made-up company's traffic.

Prices are round numbers per million tokens, so that a test can check a sum by hand.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa

from spanledger_collector.lake import add_files, open_table, write_days
from spanledger_collector.outcomes import outcome_table, outcomes_of_spans
from spanledger_collector.row import COLUMNS, SCHEMA
from spanledger_collector.tables import OUTCOMES, SPANS

PICO: Final = Decimal("0.000000000001")
PRICES: Final[dict[str, tuple[Any, ...]]] = {
    # input, cache read, cache write, output: US dollars per million tokens
    "gpt-4-turbo": ("openai", 10, 10, 10, 30),
    "gpt-5": ("openai", "1.25", "0.125", "1.25", 10),
    "gpt-5-mini": ("openai", "0.25", "0.025", "0.25", 2),
    "claude-opus-4-5": ("anthropic", 5, "0.5", "6.25", 25),
    "claude-sonnet-4-5": ("anthropic", 3, "0.3", "3.75", 15),
    "claude-haiku-4-5": ("anthropic", 1, "0.1", "1.25", 5),
    "text-embedding-3-small": ("openai", "0.02", "0.02", "0.02", 0),
}

Row = dict[str, Any]


def span(trace: int, number: int, start: datetime, **columns: Any) -> Row:
    """Build a span of one second; `trace` and `number` become its ids."""
    return {
        "trace_id": f"{trace:032x}",
        "span_id": f"{(trace % 2**32) * 2**20 + number:016x}",
        "name": "step",
        "kind": "internal",
        "start_time": start,
        "duration_us": 1_000_000,
        "status": "unset",
        "service_name": "shop",
        "environment": "production",
        "scope_name": "spanledger",
        "ingested_at": start + timedelta(seconds=3),
        "role": "other",
    } | columns


def call(
    trace: int,
    number: int,
    start: datetime,
    model: str = "gpt-5",
    uncached: int = 1000,
    output: int = 100,
    *,
    cache_read: int = 0,
    cache_write: int = 0,
    reasoning: int = 0,
    **columns: Any,
) -> Row:
    """Build an LLM call, priced by `PRICES`; a model that is not in there has no price."""
    tokens = {
        "input_tokens": uncached + cache_read + cache_write,
        "output_tokens": output,
        "input_uncached_tokens": uncached,
        "cache_read_tokens": cache_read,
        "cache_write_5m_tokens": cache_write,
        "output_text_tokens": output - reasoning,
        "reasoning_tokens": reasoning,
        "usage_state": "reported",
    }
    return span(
        trace,
        number,
        start,
        **{
            "name": f"chat {model}",
            "kind": "client",
            "role": "inference",
            "operation": "chat",
            "provider": PRICES[model][0] if model in PRICES else "elsewhere",
            "request_model": model,
            "response_model": model,
            "attempts": 1,
        }
        | tokens
        | _money(model, uncached, cache_read, cache_write, output)
        | columns,
    )


def _money(model: str, uncached: int, cache_read: int, cache_write: int, output: int) -> Row:
    if model not in PRICES:
        return {"unpriced_reason": "unknown_model", "cost_source": "none"}
    counts = (uncached, cache_read, cache_write, output)
    parts = [
        (Decimal(price) * count / 1_000_000).quantize(PICO)
        for price, count in zip(PRICES[model][1:], counts, strict=True)
    ]
    names = ("cost_input", "cost_cache_read", "cost_cache_write", "cost_output")
    money = dict(zip(names, parts, strict=True))
    return money | {
        "cost_other": Decimal(0),
        "cost_usd": sum(parts, Decimal(0)),
        "cost_source": "list",
        "price_id": f"base:{model}",
        "matched_model": model,
    }


def outcome(trace: int, number: int, start: datetime, *, success: bool = True, **columns: Any) -> Row:
    """Build a span that only carries an outcome: of the trace, or of the session that it names."""
    said = {
        "gen_ai.evaluation.name": "resolved",
        "gen_ai.evaluation.score.label": "success" if success else "failure",
        "gen_ai.evaluation.score.value": float(success),
    }
    event = {"time": start.isoformat(), "name": "gen_ai.evaluation.result", "attributes": said}
    told = {"name": "outcome resolved", "duration_us": 0, "events": json.dumps([event])}
    return span(trace, number, start, **told | columns)


def hotel_trace(trace: int, start: datetime, **tags: Any) -> list[Row]:
    """Build the field's standard agent: three calls whose history is re-sent, 12,950 + 600 tokens, $0.1475."""
    root = span(
        trace,
        0,
        start,
        name="invoke_agent hotel-search",
        role="agent",
        operation="invoke_agent",
        agent_name="hotel-search",
        duration_us=7_400_000,
        **tags,
    )
    parent = {"parent_span_id": root["span_id"]} | tags
    tool = {"role": "tool", "operation": "execute_tool"} | parent

    def after(seconds: float) -> datetime:
        return start + timedelta(seconds=seconds)

    return [
        root,
        call(trace, 1, after(0.1), "gpt-4-turbo", 3000, 50, duration_us=1_300_000, **parent),
        span(trace, 2, after(1.5), name="execute_tool search", tool_name="search", duration_us=900_000, **tool),
        call(trace, 3, after(2.5), "gpt-4-turbo", 4550, 350, duration_us=2_100_000, **parent),
        span(
            trace,
            4,
            after(4.7),
            name="execute_tool availability",
            tool_name="availability",
            duration_us=400_000,
            **tool,
        ),
        call(trace, 5, after(5.2), "gpt-4-turbo", 5400, 200, duration_us=2_100_000, **parent),
    ]


def traffic(last: datetime, days: int = 14, seed: int = 7) -> list[Row]:
    """Build `days` days of traffic up to `last` (UTC): agents, chats, embeddings, errors, gaps in the tags.

    Two days before `last`, user u-017 runs away with the research agent between 14:00 and 15:00.
    """
    rows = list(_ordinary(last, days, seed))
    peak = (last - timedelta(days=2)).replace(hour=14, minute=0, second=0, microsecond=0)
    rng = random.Random(seed + 1)
    for number in range(24):
        start = peak + timedelta(seconds=120 * number + rng.uniform(0, 60))
        tags = {"user_id": "u-017", "team_id": "growth", "feature": "research", "session_id": f"s-{number // 6}"}
        rows += _agent(9_000_000 + number, start, rng, "claude-opus-4-5", tags, turns=rng.randint(6, 11))
    return rows


def _ordinary(last: datetime, days: int, seed: int) -> Iterator[Row]:
    rng = random.Random(seed)
    teams = {"growth": "research", "support": "answers", "search": "hotel-search", "platform": "summaries"}
    trace = 0
    for back in range(days - 1, -1, -1):
        day = (last - timedelta(days=back)).replace(hour=0, minute=0, second=0, microsecond=0)
        busy = 26 if day.weekday() >= 5 else 60
        for _ in range(busy):
            trace += 1
            hour = min(23.99, max(0.0, rng.gauss(13, 4)))
            start = day + timedelta(hours=hour)
            if start > last:
                continue
            team = rng.choice(list(teams))
            user = f"u-{int(min(199, rng.paretovariate(0.9))):03d}"
            tags: Row = {"user_id": user, "team_id": team, "feature": teams[team], "session_id": f"s-{trace}"}
            if rng.random() < 0.06:
                tags = {"user_id": None, "team_id": None, "feature": None}
            if rng.random() < 0.15:
                tags["environment"] = "staging"
            yield from _request(trace, start, rng, team, tags)


def _request(trace: int, start: datetime, rng: random.Random, team: str, tags: Row) -> list[Row]:
    if team == "search":
        return hotel_trace(trace, start, **tags)
    if team == "growth":
        return _agent(trace, start, rng, "claude-sonnet-4-5", tags, turns=rng.randint(2, 5))
    if team == "platform" and rng.random() < 0.1:
        return [call(trace, 1, start, "llama-4-local", rng.randint(500, 3000), 200, **tags)]
    if team == "platform":
        embed = call(trace, 1, start, "text-embedding-3-small", rng.randint(2000, 9000), 0, **tags)
        later = start + timedelta(seconds=1.2)
        return [embed, call(trace, 2, later, "gpt-5-mini", rng.randint(2000, 20000), 400, **tags)]
    failed: Row = {}
    if rng.random() < 0.08:
        failed = {"status": "error", "error_type": "RateLimitError", "status_message": "429 Too Many Requests"}
    model = rng.choice(["gpt-5", "claude-haiku-4-5"])
    reasoning = rng.randint(0, 600) if model == "gpt-5" else 0
    return [
        call(trace, 1, start, model, rng.randint(800, 6000), reasoning + 300, reasoning=reasoning, **tags, **failed)
    ]


def _agent(trace: int, start: datetime, rng: random.Random, model: str, tags: Row, turns: int) -> list[Row]:
    root = span(
        trace,
        0,
        start,
        name="invoke_agent researcher",
        role="agent",
        operation="invoke_agent",
        agent_name="researcher",
        **tags,
    )
    parent = {"parent_span_id": root["span_id"]} | tags
    rows, clock, sent = [root], start, rng.randint(4000, 9000)
    cached = 0
    for turn in range(turns):
        output = rng.randint(150, 900)
        took = rng.uniform(1.5, 6)
        rows.append(
            call(
                trace,
                2 * turn + 1,
                clock,
                model,
                0,
                output,
                cache_read=cached,
                cache_write=sent - cached,
                duration_us=int(took * 1e6),
                agent_name="researcher",
                **parent,
            )
        )
        cached = sent
        clock += timedelta(seconds=took)
        tool = {"role": "tool", "operation": "execute_tool", "name": "execute_tool web", "tool_name": "web"}
        if turn + 1 < turns:
            rows.append(span(trace, 2 * turn + 2, clock, **tool, **parent))
        clock += timedelta(seconds=1)
        sent += output + rng.randint(800, 6000)
    root["duration_us"] = int((clock - start).total_seconds() * 1e6)
    return rows


def trace_frame(rows: Sequence[Row]) -> pl.DataFrame:
    """Build what the query `trace` answers, without a lake."""
    ordered = sorted(rows, key=lambda row: (row["start_time"], row["span_id"]))
    full = [{column.name: row.get(column.name) for column in COLUMNS} for row in ordered]
    return pl.DataFrame(
        [row | {"model": row["matched_model"] or row["response_model"]} for row in full], infer_schema_length=None
    )


def make_lake(lake: Path, rows: Sequence[Row], *, writer: str = "test", version: int = 0) -> Path:
    """Write rows to a lake (new or not), a file a day, in one commit, and the outcomes in them; return the lake."""
    open_table(lake)
    spans = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    said = outcome_table(list(outcomes_of_spans(spans)))
    for table, told in ((OUTCOMES, said), (SPANS, spans)):
        files = write_days(lake, f"{writer}-{version}", told, table)
        if files:
            add_files(lake, files, writer=writer, version=version, table=table)
    return lake

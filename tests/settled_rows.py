"""Rows for tests of settling: booked in batches as a collector does, and read as the views show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
from hypothesis import strategies as st

from spanledger_collector.duplicates import mark_duplicates
from spanledger_collector.plans import price_all
from spanledger_collector.row import SCHEMA
from spanledger_collector.settlement import CALL_COLUMNS, SPAN_COLUMNS, Traces, may_be_charged, settle
from spanledger_collector.tables import SETTLED, SETTLEMENTS

Row = dict[str, Any]
DAY: Final = timedelta(days=1)
NOON: Final = datetime(2026, 11, 3, 12, tzinfo=UTC)
_SCOPES: Final = {
    "spanledger": "spanledger",
    "anthropic": "com.anthropic.sdk.python",
    "litellm": "litellm",
    "openinference": "openinference.instrumentation.openai",
}
"""Dialect to a scope that speaks it."""


def span(number: int, parent: int | None = None, trace: int = 1, **columns: Any) -> Row:
    """Build a span of one second, that meters nothing."""
    start = columns.pop("start_time", NOON)
    return {
        "trace_id": f"{trace:032x}",
        "span_id": f"{number:016x}",
        "parent_span_id": None if parent is None else f"{parent:016x}",
        "name": "step",
        "start_time": start,
        "duration_us": 1_000_000,
        "status": "unset",
        "service_name": "shop",
        "ingested_at": start + timedelta(seconds=3),
        "role": "other",
    } | columns


def metered(number: int, parent: int | None = None, dialect: str = "spanledger", **columns: Any) -> Row:
    """Build an LLM call of 1000 tokens in, 100 out, by what one emitter tells of it; not priced."""
    tokens = columns.pop("tokens", (1000, 100))
    return span(
        number,
        parent,
        **{
            "role": "inference",
            "operation": "chat",
            "dialect": dialect,
            "scope_name": _SCOPES[dialect],
            "provider": "openai",
            "request_model": "gpt-5",
            "response_model": "gpt-5",
            "response_id": f"chatcmpl-0123456789-{number}",
            "usage_state": "reported",
            "billing_basis": "usage",
            **usage(*tokens),
        }
        | columns,
    )


def agent(number: int, parent: int | None = None, **columns: Any) -> Row:
    """Build an agent that claims 1000 tokens in, 100 out for what was done below it."""
    claimed = {"usage_state": "reported", "unpriced_reason": "aggregate", **usage(1000, 100)}
    told = {"provider": "openai", "request_model": "gpt-5", "dialect": "otel_genai", "scope_name": "agents"}
    return span(number, parent, **{"role": "agent", "operation": "invoke_agent", **claimed, **told} | columns)


def usage(tokens_in: int, tokens_out: int) -> Row:
    """Build the token columns of plain text."""
    return {
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "input_uncached_tokens": tokens_in,
        "output_text_tokens": tokens_out,
    }


def booked(batch: Sequence[Row]) -> pa.Table:
    """Return a batch as one segment of a collector brings it."""
    return price_all(mark_duplicates(pa.Table.from_pylist(list(batch), schema=SCHEMA)))


class Books:
    """What a lake holds, and what settling makes of it."""

    def __init__(self) -> None:
        self.rows = SCHEMA.empty_table()
        self.settled: dict[tuple[str, str, datetime], Row] = {}
        self.settlings = 0

    def book(self, batch: Sequence[Row]) -> None:
        """Take a batch as one segment."""
        self.rows = pa.concat_tables([self.rows, booked(batch)])

    def settle(self, traces: Iterable[int] | None = None) -> list[Row]:
        """Settle some traces, or all; returns what was decided."""
        self.settlings += 1
        wanted = None if traces is None else {f"{trace:032x}" for trace in traces}
        spans = [row for row in self.rows.to_pylist() if wanted is None or row["trace_id"] in wanted]
        days = pa.compute.cast(pa.compute.floor_temporal(self.rows["start_time"], unit="day"), pa.date32())
        dated = self.rows.append_column("dt", days)
        decided: list[Row] = settle(
            Traces(
                pa.Table.from_pylist(spans, schema=SCHEMA).select(SPAN_COLUMNS),
                dated.filter(pa.array(may_be_charged(self.rows))).select(CALL_COLUMNS),
                pa.Table.from_pylist(list(self.settled.values()), schema=SETTLEMENTS.full_schema),
            ),
            NOON + timedelta(days=1, minutes=self.settlings),
        ).to_pylist()
        for row in decided:
            before = self.settled.get(_version(row))
            assert row["replaces"] == (before and before["settled_at"])
            self.settled[_version(row)] = row
        return decided

    def view(self, *columns: str) -> dict[tuple[int, int], Row]:
        """Return the columns as settled, by (trace, number)."""
        shown = {}
        for row in self.rows.to_pylist():
            row |= {name: value for name, value in self.settled.get(_version(row), {}).items() if name in SETTLED}
            shown[int(row["trace_id"], 16), int(row["span_id"], 16)] = {name: row[name] for name in columns or SETTLED}
        return shown

    def changes(self) -> set[tuple[int, int]]:
        """Return (trace, number) of the spans that were settled."""
        return {(int(trace_id, 16), int(span_id, 16)) for trace_id, span_id, _ in self.settled}

    def charged(self) -> set[int]:
        """Return the numbers of the spans with money."""
        return {number for (_, number), row in self.view("cost_usd").items() if row["cost_usd"] is not None}


def settled(*rows: Row) -> Books:
    """Return the books after one batch was settled."""
    books = Books()
    books.book(rows)
    books.settle()
    return books


@st.composite
def traces(draw: st.DrawFn) -> list[Row]:
    """Two traces whose calls several emitters tell of, over three days."""
    rows: list[Row] = []
    for number in range(1, draw(st.integers(2, 14)) + 1):
        trace = draw(st.integers(1, 2))
        earlier = [int(row["span_id"], 16) for row in rows if row["trace_id"] == f"{trace:032x}"]
        parent = draw(st.sampled_from([None, 99, *earlier]))
        tags = draw(st.fixed_dictionaries({}, optional={"user_id": st.sampled_from("uv"), "feature": st.just("f")}))
        start = NOON + timedelta(milliseconds=100 * number) + DAY * draw(st.integers(-1, 1))
        more: Row = {"trace": trace, "start_time": start, **tags}
        kind = draw(st.sampled_from(["agent", "step", "call", "call", "call"]))
        if kind == "agent":
            rows.append(agent(number, parent, **more))
        elif kind == "step":
            rows.append(span(number, parent, **more))
        else:
            answer = draw(st.sampled_from(["chatcmpl-0123456789-a", "chatcmpl-0123456789-b", "short"]))
            tokens = (1000, draw(st.sampled_from([100, 101, 102])))
            dialect = draw(st.sampled_from(["spanledger", "anthropic", "litellm", "openinference"]))
            rows.append(metered(number, parent, dialect, response_id=answer, tokens=tokens, **more))
    return rows


def _version(row: Row) -> tuple[str, str, datetime]:
    return row["trace_id"], row["span_id"], row["ingested_at"]

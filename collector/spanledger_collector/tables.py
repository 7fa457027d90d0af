"""What a table of the lake is: its columns, what one row stands for, and how its files are told apart.

`spans` is one of them; beside it stand small ones that say what became known later, because a row of `spans` is
never changed. All are Delta tables of the same make, partitioned by the UTC date `dt`; `catalog` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from .row import COLUMNS, COUNT, MONEY, MONEY_PARTS, PARTITION, TEXT, TIME, Column

SCORE: Final = pa.decimal128(18, 6)
READING: Final = pa.decimal128(28, 12)
REVENUE_USD: Final = pa.decimal128(38, 12)


@dataclass(frozen=True, slots=True)
class LakeTable:
    """The description of one table."""

    name: str
    """Of the table, of its folder in the lake, and of its view."""
    sentence: str
    """What one row is."""
    key: tuple[str, ...]
    """Columns that tell its rows apart; a table without them is another program's."""
    clock: str
    """Column of time, never NULL, whose bounds the log keeps for each file."""
    columns: tuple[Column, ...]
    """Those of a data file: `dt` stands in its path."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of a data file."""
        return pa.schema([pa.field(column.name, column.type) for column in self.columns])

    @property
    def full_schema(self) -> pa.Schema:
        """Columns of a row: those of the file, and `dt`."""
        return self.schema.append(pa.field(PARTITION, pa.date32()))


ROW_VERSION: Final = (
    Column("trace_id", TEXT, "Trace of the span."),
    Column("span_id", TEXT, "Span."),
    Column("ingested_at", TIME, "Which version of its row, by the time it was taken."),
)
"""With `dt` (that of the span), what names one row of `spans`."""

SPANS: Final = LakeTable("spans", "one row a span", ("trace_id", "span_id"), "start_time", COLUMNS)

SUPERSEDED: Final = LakeTable(
    "superseded",
    "one row a version of a span that a fuller copy of it replaced; `spans` shows the fuller one alone",
    ("trace_id", "span_id", "ingested_at"),
    "start_time",
    (
        *ROW_VERSION,
        Column("start_time", TIME, "When the span began, UTC."),
        Column("superseded_by", TIME, "ingested_at of the fuller copy."),
        Column("writer", TEXT, "Write-ahead log that brought the fuller copy."),
        Column("segment", COUNT, "Segment of that log; the row counts from when `spans` holds it."),
        Column("written_at", TIME, "When this was found, UTC."),
    ),
)

CORRECTIONS: Final = LakeTable(
    "corrections",
    "one row a change of money that had been booked; of rows of one version and reason the latest priced_at counts",
    ("trace_id", "span_id", "ingested_at", "priced_at"),
    "priced_at",
    (
        *ROW_VERSION,
        Column(
            "reason",
            TEXT,
            "resent: a fuller copy of the span came after its day was over; repriced: its price was put right.",
        ),
        Column("corrected_by", TIME, "resent: ingested_at of the fuller copy, whose money it is."),
        Column("old_price_id", TEXT, "Row of the price book by which the version was booked."),
        Column("price_id", TEXT, "Row of the price book by which it is priced now."),
        Column("old_cost_usd", MONEY, "What was booked; NULL where it was unpriced."),
        Column("cost_usd", MONEY, "What it is now; NULL where it is unpriced now."),
        *(column for column in COLUMNS if column.name in MONEY_PARTS),
        Column("unpriced_reason", TEXT, "Why cost_usd is NULL."),
        Column("priced_at", TIME, "When this was written, UTC."),
    ),
)

SETTLED: Final = (
    "duplicate_of",
    "user_id",
    "team_id",
    "customer_id",
    "feature",
    "session_id",
    "cost_usd",
    *MONEY_PARTS,
    "equivalent_usd",
    "unpriced_reason",
    "cost_source",
    "price_id",
    "matched_model",
    "billing_basis",
)
"""Columns of `spans` that a settlement says anew, all of them each time."""

SETTLER: Final = "settle"
"""`txn` of `settlements`: the version of `spans` up to which all is settled."""
SETTLED_UNTIL: Final = "settle-until-ms"
"""Another: milliseconds since 1970; what was taken before that is settled, or not in the lake yet."""

SETTLEMENTS: Final = LakeTable(
    "settlements",
    "one row a decision on a span, made when its whole trace was seen; of those of one version the latest counts",
    ("trace_id", "span_id", "ingested_at", "settled_at"),
    "settled_at",
    (
        *ROW_VERSION,
        Column("start_time", TIME, "When the span began, UTC."),
        Column("settled_at", TIME, "When this was decided, UTC."),
        Column("replaces", TIME, "settled_at of the decision that it takes the place of; NULL for the first."),
        Column(
            "reason",
            TEXT,
            "What it makes of the row: aggregate, duplicate, inherited, priced, repriced (with commas); or booked.",
        ),
        *(column for column in COLUMNS if column.name in SETTLED),
    ),
)

OUTCOMES: Final = LakeTable(
    "outcomes",
    "one row an outcome: how work ended, or what an evaluation said of it; of rows of one outcome_id one counts",
    ("outcome_id",),
    "occurred_at",
    (
        Column("outcome_id", TEXT, "The same for an outcome that is sent again."),
        Column("trace_id", TEXT, "Trace that it is about; NULL where it names only a session or an answer."),
        Column("span_id", TEXT, "Span that it is about, or that carried it."),
        Column("response_id", TEXT, "The provider's id of the answer that was judged."),
        Column("name", TEXT, "What ended or was judged: resolved, relevance, ..."),
        Column("label", TEXT, "In a word: success | failure, pass, relevant, ..."),
        Column("score", SCORE, "As a number; of a plain success 1, of a failure 0."),
        Column("value_usd", MONEY, "What it was worth."),
        Column("session_id", TEXT, "Conversation or session."),
        Column("user_id", TEXT, "User it was done for."),
        Column("team_id", TEXT, "Team."),
        Column("customer_id", TEXT, "Customer it was done for."),
        Column("feature", TEXT, "Feature of the product."),
        Column("service_name", TEXT, "Service that said it."),
        Column("source", TEXT, "Instrumentation that said it."),
        Column("occurred_at", TIME, "When it was said, UTC."),
        Column("ingested_at", TIME, "When the collector took it, UTC."),
    ),
)

READINGS: Final = LakeTable(
    "readings",
    "one row a data point of a metric that counts tokens or cost; compared with `spans`, never charged",
    ("series", "since", "time"),
    "time",
    (
        Column("metric", TEXT, "Name of the metric: claude_code.token.usage, ..."),
        Column("side", TEXT, "input | output: tokens; cost: US dollars."),
        Column("value", READING, "What the point says."),
        Column("temporality", TEXT, "delta: since the point before; cumulative: since `since`."),
        Column("series", TEXT, "The same for all points of one counter of one process."),
        Column("since", TIME, "When the counting began, UTC; a counter that began anew has another."),
        Column("time", TIME, "When it was read, UTC."),
        Column("service_name", TEXT, "Service that counted."),
        Column("session_id", TEXT, "Session, where the metric is told apart by it."),
        Column("model", TEXT, "Model asked for."),
        Column("ingested_at", TIME, "When the collector took it, UTC."),
    ),
)

REVENUE: Final = LakeTable(
    "revenue",
    "one row a line of a file of revenue; of each source the file that was imported last counts",
    ("source", "imported_at", "line"),
    "imported_at",
    (
        Column("source", TEXT, "What was imported: the name of the file, or what --source says."),
        Column("line", COUNT, "Line of the file, the first one 1."),
        Column("customer_id", TEXT, "Customer who paid."),
        Column("user_id", TEXT, "User who paid."),
        Column("team_id", TEXT, "Team that it is credited to."),
        Column("feature", TEXT, "Feature of the product that it was paid for."),
        Column("first_day", pa.date32(), "First day that it was paid for."),
        Column("last_day", pa.date32(), "Last day that it was paid for; the same for a single day."),
        Column("amount", REVENUE_USD, "As the file has it; below 0 where something was paid back."),
        Column("currency", TEXT, "Currency of amount."),
        Column("amount_usd", REVENUE_USD, "In US dollars, by the contract's rate on first_day."),
        Column("imported_at", TIME, "When it was imported, UTC; the same for all lines of a file."),
    ),
)

"""The views that people query: what a row of each is, and its columns with a sentence each.

docs/schema.md, DuckDB's catalogue and the checked-in list of names (tests/fixtures/schema.txt) are made from these
tables; the SQL that answers stands in `sql/views/`. Names are a contract: add views and columns, never rename one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from spanledger_collector.catalog import SIDE_TABLES
from spanledger_collector.rollups import ROLLUPS
from spanledger_collector.row import COLUMNS, COUNT, MONEY, MONEY_PARTS, PARTITION, TEXT, TIME, Column
from spanledger_collector.tables import SCORE, LakeTable

from . import list_prices

SUM: Final = pa.decimal128(38, 12)
"""Money that was added up."""
TEXTS: Final = pa.list_(pa.string())
DAY: Final = pa.date32()
_LINK: Final = re.compile(r"\[([^]]+)\]\([^)]*\)")
_SQL_TYPES: Final = {
    TEXT: "VARCHAR",
    COUNT: "BIGINT",
    DAY: "DATE",
    TIME: "TIMESTAMPTZ",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
}
_SENTENCES: Final = {column.name: column.sentence for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class View:
    """The description of one view."""

    name: str
    sentence: str
    """What one row is; Markdown."""
    columns: tuple[Column, ...]
    """In the order of `select *`."""


def _of_table(table: LakeTable) -> View:
    dt = Column(PARTITION, DAY, "Partition: UTC date of the span, where the row is about one.")
    return View(table.name, table.sentence, (*table.columns, dt))


def _of_rollup(table: LakeTable) -> View:
    columns = (column for column in table.columns if column.name != table.clock)
    return View(table.name, table.sentence, (*columns, Column(PARTITION, DAY, "UTC date of the calls.")))


SPANS: Final = (*COLUMNS, Column(PARTITION, DAY, "Partition: UTC date of start_time."))
_RUN: Final = tuple(
    Column(
        name,
        TEXT,
        f"{_SENTENCES[name].removesuffix('.')}: that of the root, or else of the earliest span that says it.",
    )
    for name in ("service_name", "environment", "user_id", "team_id", "customer_id", "feature", "session_id")
)
_COUNTS: Final = (
    Column("errors", COUNT, "LLM calls that failed."),
    Column("retries", COUNT, "Attempts that the SDK made beyond the first of each call."),
    Column("input_tokens", COUNT, "All input tokens of the calls, cached ones included."),
    Column("output_tokens", COUNT, "All output tokens of the calls, reasoning included."),
    Column("cache_read_tokens", COUNT, "Input read from the prompt cache, audio included."),
    Column("cache_write_tokens", COUNT, "Input written to the prompt cache, for however long."),
    Column("reasoning_tokens", COUNT, "Reasoning output."),
    Column("cost_usd", SUM, "What its LLM calls cost; NULL where none has a price."),
)
_PARTS: Final = tuple(Column(name, SUM, _SENTENCES[name]) for name in MONEY_PARTS)
_DOUBTS: Final = (
    Column("tool_cost_usd", SUM, "What was declared for paid tools; outside cost_usd."),
    Column("unpriced_calls", COUNT, "LLM calls without a price; cost_usd lacks theirs."),
    Column("estimated_calls", COUNT, "LLM calls whose cost is that of tokens that nobody reported."),
    Column("estimated_usd", SUM, "What these cost; part of cost_usd."),
    Column("provisional_calls", COUNT, "LLM calls that their traces may still change."),
)
_OUTCOME: Final = (
    Column("outcome", TEXT, "Name of the latest outcome; NULL where nothing was said."),
    Column("outcome_label", TEXT, "In a word: success | failure, pass, relevant, ..."),
    Column("outcome_score", SCORE, "As a number; of a plain success 1, of a failure 0."),
    Column("outcome_value_usd", MONEY, "What it was worth."),
)
_MODELS: Final = Column("models", TEXTS, "Models that answered its LLM calls, by name.")
_CALLS: Final = Column("calls", COUNT, "LLM calls that are charged.")
_TOOLS: Final = Column("tool_calls", COUNT, "Tool spans.")

TRACES: Final = View(
    "traces",
    "one row a trace, which is a run or request: who, cost, calls, tools, retries, outcome",
    (
        Column("trace_id", TEXT, "Trace, 32 hex digits."),
        Column(PARTITION, DAY, "UTC date of its first span."),
        Column("start_time", TIME, "When its first span began, UTC."),
        Column("duration_us", COUNT, "From there to the end of its last span, microseconds."),
        Column("name", TEXT, "Name of the root, or else of the first span."),
        Column("status", TEXT, "unset | ok | error: that of the root, or else of the first span."),
        *_RUN,
        Column("agent_names", TEXTS, "Agents that ran, by name."),
        _MODELS,
        Column("spans", COUNT, "Spans, without those that only carry an outcome."),
        _CALLS,
        _TOOLS,
        _COUNTS[0],
        Column("tool_errors", COUNT, "Tool spans that failed."),
        *_COUNTS[1:],
        *_PARTS,
        *_DOUBTS,
        *_OUTCOME,
        Column("outcome_of", TEXT, "trace, or session where nothing was said of the trace itself."),
    ),
)

SESSIONS: Final = View(
    "sessions",
    "one row a session or conversation, of the spans that name it; spans without one are in no row",
    (
        Column("session_id", TEXT, "Conversation or session."),
        Column(PARTITION, DAY, "UTC date of its first span."),
        Column("start_time", TIME, "When its first span began, UTC."),
        Column("end_time", TIME, "When its last span ended, UTC."),
        *_RUN[:2],
        Column("user_ids", TEXTS, "Users who caused it, by name."),
        *_RUN[3:5],
        Column("features", TEXTS, "Features of the product, by name."),
        _MODELS,
        Column("traces", COUNT, "Traces with a span of it."),
        _CALLS,
        _TOOLS,
        Column("turns", COUNT, "Highest turn of the conversation that a call tells; NULL where none does."),
        *_COUNTS,
        *_DOUBTS,
        *_OUTCOME,
    ),
)

_SCOPE: Final = (
    Column("provider", TEXT, "Provider that it is for; * for all."),
    Column("models", TEXTS, "Patterns of the models that it is for."),
    Column("account", TEXT, "Account at the provider; NULL for all."),
)
_PERIOD: Final = (Column("starts_at", TIME, "From then on, UTC."), Column("ends_at", TIME, "Before then, UTC."))
FEES: Final = View(
    "fees",
    "one row a [fixed fee of the contract](contracts.md#fees-commitments-and-exchange-in-sql)",
    (
        Column("name", TEXT, "The fee."),
        *_SCOPE,
        Column("usd_per_month", SUM, "How much a month."),
        Column("spread", TEXT, "By what it is shared: cost | tokens | calls."),
        Column("first_month", DAY, "First day of its first month."),
        Column("end_month", DAY, "First day of the month that is no more of it; NULL while it has no end."),
    ),
)
FEE_SHARES: Final = View(
    "fee_shares",
    "one row a fee, month and who; shares of a fee in a month add up to it exactly",
    (
        Column("fee", TEXT, "The fee."),
        Column("month", DAY, "First day of the month, UTC."),
        Column("provider", TEXT, "Of calls that share it; NULL in all columns of who where no call can."),
        Column("model", TEXT, "Model of the price book, or else the one that answered."),
        *(
            Column(name, TEXT, _SENTENCES[name])
            for name in ("environment", "team_id", "customer_id", "user_id", "feature")
        ),
        Column("share_usd", SUM, "Their share."),
        Column("provisional", pa.bool_(), "The month, or what is known of it, isn't over."),
    ),
)
COMMITMENTS: Final = View(
    "commitments",
    "one row a commitment of the contract, and what was spent of it",
    (
        Column("commitment", TEXT, "The commitment."),
        Column("provider", TEXT, "Provider that it is for; * for all."),
        Column("committed_usd", SUM, "How much was promised."),
        Column("spent_usd", SUM, "What calls of its time and scope cost."),
        Column("left_usd", SUM, "What is left; below zero where more was spent."),
        Column("unpriced_calls", COUNT, "LLM calls without a price; spent_usd lacks theirs."),
        *_PERIOD,
    ),
)
FX_RATES: Final = View(
    "fx_rates",
    "one row a currency and first day of a rate of exchange in the contract",
    (
        Column("currency", TEXT, "Currency, three letters."),
        Column("first_day", DAY, "From this day on."),
        Column("usd", SUM, "US dollars for one unit."),
    ),
)
GUARD_EVENTS: Final = View(
    "guard_events",
    "one row a decision of the [controls](controls.md): what a rule did to a call or, in shadow, would have done",
    (
        Column("time", TIME, "When the call began, UTC; of a breaker's change of state, when that was."),
        *(column for column in SPANS if column.name in ("trace_id", "span_id")),
        *(
            Column(name, TEXT, _SENTENCES[name])
            for name in (
                *("service_name", "environment", "user_id", "team_id", "customer_id", "feature", "session_id"),
                "provider",
            )
        ),
        Column("model", TEXT, "Model of the price book, or else the one that answered or was asked for."),
        Column("rule", TEXT, "Rule of the policy."),
        Column("kind", TEXT, "budget | limit | breaker | route | cache; NULL where only the refusal is known."),
        Column("scope", TEXT, "Whom the rule counted, as team_id=support."),
        Column("action", TEXT, "allow | warn | throttle | degrade | defer | block."),
        Column("shadow", pa.bool_(), "It would have done so, and let the call pass."),
        Column("refused", pa.bool_(), "The call was refused before anything was sent, by whichever rule."),
        Column("unit", TEXT, "usd | tokens | calls, of the amounts."),
        Column("limit_amount", SUM, "The most that the rule allows."),
        Column("spent_amount", SUM, "What was spent of it by then."),
        Column("held_amount", SUM, "What calls under way held of it."),
        Column("estimate_amount", SUM, "What the call was expected to take."),
        Column("resets_at", TIME, "When the window of the rule ends, UTC."),
        Column("sentence", TEXT, "What the error or log said."),
        Column(PARTITION, DAY, "UTC date of time."),
    ),
)
CROSS_CHECKS: Final = View(
    "cross_checks",
    "one row an hour and counter: [what agents' metrics count](agents.md#do-the-numbers-agree) beside what rows have",
    (
        Column("hour", TIME, "Hour, UTC."),
        Column("metric", TEXT, "Name of the metric: claude_code.token.usage, ..."),
        Column("side", TEXT, "input | output: tokens; cost: US dollars."),
        Column("service_name", TEXT, "Service that counted."),
        Column("session_id", TEXT, "Session, where the metric is told apart by it."),
        Column("model", TEXT, "Model asked for."),
        Column("metered", SUM, "What the metric counted."),
        Column("booked", SUM, "What calls that ended in the hour have: tokens, or reported_cost_usd."),
        Column("difference", SUM, "booked less metered."),
    ),
)

PRICES: Final = View(
    "prices",
    "one row a list price: model, context, time, tier and [unit](pricing.md#in-sql)",
    list_prices.COLUMNS,
)
CHARGES: Final = View(
    "charges",
    "one row a charged call and [meter](pricing.md#in-sql); amounts add up to the cost of the call, and to its parts",
    (
        *(column for column in SPANS if column.name in ("trace_id", "span_id", PARTITION, "start_time")),
        *(
            Column(name, TEXT, _SENTENCES[name])
            for name in (
                *("service_name", "environment", "user_id", "team_id", "customer_id", "feature", "session_id"),
                "provider",
            )
        ),
        Column("model", TEXT, "Model of the price book, or else the one that answered."),
        Column("cost_source", TEXT, _SENTENCES["cost_source"]),
        Column("price_id", TEXT, _SENTENCES["price_id"]),
        Column("component", TEXT, "Part of the cost that it belongs to: cost_input, ..."),
        Column("meter", TEXT, "A token column, a unit, or requests; the component where that is only known whole."),
        Column("quantity", pa.decimal128(38, 6), "As billed: at least the minimum; NULL where it isn't known."),
        Column("unit_price_usd", list_prices.PRICE, "For one of it; NULL where it isn't known."),
        Column("amount_usd", MONEY, "What it came to."),
    ),
)

MARKS: Final = (
    Column("provisional", pa.bool_(), "Its trace may still change it."),
    Column("estimated", pa.bool_(), "Its cost is that of tokens that nobody reported."),
)
"""What `llm_calls` has beside the columns of `spans`."""
VIEWS: Final[tuple[View, ...]] = (
    View("spans", "one row a span, [as settled](settling.md)", SPANS),
    View("llm_calls", "one row a charged LLM call, with all columns of `spans`", (*SPANS, *MARKS)),
    TRACES,
    SESSIONS,
    GUARD_EVENTS,
    *map(_of_table, SIDE_TABLES),
    CROSS_CHECKS,
    View("spans_as_booked", "one row a span as its collector took it, whatever was settled since", SPANS),
    FEES,
    FEE_SHARES,
    COMMITMENTS,
    FX_RATES,
    *map(_of_rollup, ROLLUPS),
    PRICES,
    CHARGES,
)
CATALOGUE: Final = "duckdb_columns"
"""Where the comments on columns are seen."""
NAMES: Final = tuple(view.name for view in VIEWS)
"""Names that ad-hoc SQL can rely on."""
LAKE_NAMES: Final = tuple(name for name in NAMES if name not in (PRICES.name, CHARGES.name))
"""Those of them that boxes and shells have, too: what stands in files."""


def comments(*, columns: bool, without: Collection[str] = ()) -> str:
    """Return the statements that put the sentences into DuckDB's catalogue; those of columns take it 0.1 ms each."""
    return ";\n".join(text for view in VIEWS if view.name not in without for text in _comments(view, columns=columns))


def _comments(view: View, *, columns: bool) -> Iterator[str]:
    yield f"comment on view {view.name} is {_quote(plain(view.sentence))}"
    if columns:
        for column in view.columns:
            yield f"comment on column {view.name}.{column.name} is {_quote(column.sentence)}"


def signatures() -> list[str]:
    """Return a line a column of every view, in order: `view.column TYPE`."""
    return [f"{view.name}.{column.name} {sql_type(column.type)}" for view in VIEWS for column in view.columns]


def sql_type(type_: pa.DataType) -> str:
    """Return the name by which DuckDB shows a type of Arrow."""
    if pa.types.is_map(type_):
        return f"MAP({sql_type(type_.key_type)}, {sql_type(type_.item_type)})"
    if pa.types.is_list(type_):
        return f"{sql_type(type_.value_type)}[]"
    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision},{type_.scale})"
    return _SQL_TYPES[type_]


def plain(markdown: str) -> str:
    """Return a sentence without its links."""
    return _LINK.sub(r"\1", markdown)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""The questions as lazy frames of Polars."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from asked.texts import MORE_OF_SPAN, SPAN
from asked.theirs import KEY, SETTLED

READ_OF_TRACE = [*SPAN, *MORE_OF_SPAN]
MODEL = pl.coalesce("matched_model", "response_model", "request_model")
TOTALS = [
    pl.col("trace_id").n_unique().alias("requests"),
    pl.len().alias("calls"),
    pl.col("input_tokens").sum().alias("input_tokens"),
    pl.col("output_tokens").sum().alias("output_tokens"),
    pl.col("cost_usd").sum().alias("cost_usd"),
    (pl.col("cost_usd").is_null() & (pl.col("billing_basis").fill_null("") != "plan")).sum().alias("unpriced_calls"),
    (pl.col("status") == "error").sum().alias("errors"),
    pl.col("cost_usd").count().alias("priced"),
    pl.col("input_tokens").count().alias("counted"),
]
"""The last two tell a sum of nothing from zero."""
SUMS = ["requests", "calls", "input_tokens", "output_tokens", "cost_usd", "unpriced_calls", "errors"]
PRICED = pl.when(pl.col("priced") > 0).then("cost_usd").alias("cost_usd")
COUNTED = [pl.when(pl.col("counted") > 0).then(name).alias(name) for name in ("input_tokens", "output_tokens")]


def answer(asked: dict[str, Any]) -> pl.LazyFrame:
    """Return the frame that answers a question."""
    spans = _spans(asked)
    question: str = asked["question"]
    if question.startswith("trace"):
        return spans.filter(pl.col("trace_id") == asked["trace"]).sort("start_time", "span_id").select(READ_OF_TRACE)
    calls = spans.filter(
        pl.col("role").is_in(["inference", "agent"])
        & pl.col("duplicate_of").is_null()
        & (
            (pl.col("role") == "inference")
            | pl.col("cost_usd").is_not_null()
            | (pl.col("unpriced_reason") != "aggregate")
        )
    )
    return {
        "days": _days,
        "hours": _hours,
        "users": _users,
        "requests": lambda calls, asked: _requests(calls, spans, asked),
        "user's 30 days": _user,
        "week over week by feature": _features,
        "top movers": _movers,
        "group-by of 30 days": _groups,
        "distinct users of 30 days": lambda calls, asked: calls.select(pl.col("user_id").drop_nulls().n_unique()),
    }[question](calls, asked)


def _spans(asked: dict[str, Any]) -> pl.LazyFrame:
    schema = {"dt": pl.Date}
    spans = pl.scan_parquet(asked["spans"], hive_partitioning=True, hive_schema=schema)
    if not asked["settlements"]:
        return spans
    said = pl.scan_parquet(asked["settlements"], hive_partitioning=True, hive_schema=schema)
    said = said.select(*KEY, "settled_at", *(pl.col(name).alias(f"{name}_said") for name in SETTLED))
    joined = spans.join(said, on=list(KEY), how="left")
    return joined.with_columns(
        pl.when(pl.col("settled_at").is_null()).then(name).otherwise(f"{name}_said").alias(name) for name in SETTLED
    )


def _totals(calls: pl.LazyFrame, by: list[Any]) -> pl.LazyFrame:
    return calls.group_by(by).agg(TOTALS).with_columns(PRICED, *COUNTED)


def _days(calls: pl.LazyFrame, asked: dict[str, Any]) -> pl.LazyFrame:
    return _totals(calls, ["dt"]).sort("dt").select("dt", *SUMS)


def _hours(calls: pl.LazyFrame, asked: dict[str, Any]) -> pl.LazyFrame:
    by = [pl.col("start_time").dt.hour().alias("hour"), MODEL.fill_null("").alias("model")]
    return _totals(calls, by).sort("hour", "model").select("hour", "model", *SUMS)


def _hour(asked: dict[str, Any]) -> pl.Expr:
    begin = datetime.fromisoformat(f"{asked['day']}T00:00:00+00:00") + timedelta(hours=asked["hour"])
    return pl.col("start_time").is_between(begin, begin + timedelta(hours=1), closed="left")


def _users(calls: pl.LazyFrame, asked: dict[str, Any]) -> pl.LazyFrame:
    users = _totals(calls.filter(_hour(asked)), [pl.col("user_id").fill_null("")])
    order = {"descending": [True, True, False], "nulls_last": True}
    return users.sort("cost_usd", "calls", "user_id", **order).head(50).select("user_id", *SUMS)


def _requests(calls: pl.LazyFrame, spans: pl.LazyFrame, asked: dict[str, Any]) -> pl.LazyFrame:
    day = date.fromisoformat(asked["day"])
    mine = calls.filter((pl.col("dt") == day) & _hour(asked) & (pl.col("user_id") == asked["user"]))
    end = pl.col("start_time").dt.epoch("us") + pl.col("duration_us")
    summed = (
        mine.group_by("trace_id")
        .agg(
            *TOTALS,
            pl.col("start_time").min().alias("started"),
            pl.col("name").min(),
            (end.max() - pl.col("start_time").dt.epoch("us").min()).alias("duration_us"),
        )
        .with_columns(PRICED, *COUNTED)
    )
    roots = (
        spans.filter(pl.col("parent_span_id").is_null())
        .join(mine.select("trace_id").unique(), on="trace_id", how="semi")
        .group_by("trace_id")
        .agg(pl.col("name").min().alias("root"))
    )
    named = summed.join(roots, on="trace_id", how="left").with_columns(pl.coalesce("root", "name").alias("name"))
    order = {"descending": [True, False], "nulls_last": True}
    return named.sort("cost_usd", "trace_id", **order).select("trace_id", "started", "name", *SUMS[1:], "duration_us")


def _user(calls: pl.LazyFrame, asked: dict[str, Any]) -> pl.LazyFrame:
    mine = calls.filter(pl.col("user_id") == asked["user"])
    return _totals(mine, ["dt"]).sort("dt").select("dt", "calls", "input_tokens", "output_tokens", "cost_usd")


def _weeks(calls: pl.LazyFrame, by: str, asked: dict[str, Any]) -> pl.LazyFrame:
    now = pl.col("dt") >= date.fromisoformat(asked["last"]) - timedelta(days=6)
    cost = pl.col("cost_usd")
    counts = calls.group_by(by).agg(
        cost.filter(now).sum().alias("cost_usd"),
        cost.filter(~now).sum().alias("cost_before"),
        now.sum().alias("calls"),
        (~now).sum().alias("calls_before"),
        cost.filter(now).count().alias("priced"),
        cost.filter(~now).count().alias("priced_before"),
    )
    return counts.with_columns(
        PRICED, pl.when(pl.col("priced_before") > 0).then("cost_before").alias("cost_before")
    ).select(by, "cost_usd", "cost_before", "calls", "calls_before")


def _features(calls: pl.LazyFrame, asked: dict[str, Any]) -> pl.LazyFrame:
    return _weeks(calls, "feature", asked).sort("feature", nulls_last=True)


def _movers(calls: pl.LazyFrame, asked: dict[str, Any]) -> pl.LazyFrame:
    moved = (pl.col("cost_usd").fill_null(0) - pl.col("cost_before").fill_null(0)).abs().alias("moved")
    weeks = _weeks(calls.filter(pl.col("customer_id").is_not_null()), "customer_id", asked).with_columns(moved)
    return (
        weeks.sort("moved", "customer_id", descending=[True, False])
        .head(20)
        .select("customer_id", "cost_usd", "cost_before")
    )


def _groups(calls: pl.LazyFrame, asked: dict[str, Any]) -> pl.LazyFrame:
    by = [pl.col("team_id"), pl.col("environment"), MODEL.alias("model"), pl.col("stream")]
    sums = [pl.col(name).sum() for name in ("input_tokens", "cache_read_tokens", "output_tokens", "cost_usd")]
    counts = calls.group_by(by).agg(
        pl.len().alias("calls"),
        *sums,
        pl.col("duration_us").max().alias("longest_us"),
        pl.col("cost_usd").count().alias("priced"),
        pl.col("input_tokens").count().alias("counted"),
    )
    read = pl.when(pl.col("counted") > 0).then("cache_read_tokens").alias("cache_read_tokens")
    names = ["team_id", "environment", "model", "stream", "calls", "input_tokens", "cache_read_tokens"]
    names += ["output_tokens", "cost_usd", "longest_us"]
    return counts.with_columns(PRICED, *COUNTED, read).sort(names[:4], nulls_last=True).select(names)

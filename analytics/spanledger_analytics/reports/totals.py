"""What calls of a period come to, by any dimensions and units of time: what most reports are made of.

Days that a rollup has counted are answered by the smallest one that tells apart what is asked for, all others by their
spans; both say the same. So do kept answers (`kept`), which tell hours by feature and team, and days by user and
customer. Counts add up in every direction. Requests don't, and so are no part of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger, Parameter
from spanledger_analytics.kept import DAY, DayQuestion, answered, is_kept
from spanledger_collector.rollups import DAILY_CUBE, HOURLY_FEATURES, HOURLY_MODELS, HOURLY_USERS
from spanledger_collector.tables import LakeTable

from .calendar import UNITS, Calendar, Period, Unit
from .cells import CUBE, chosen
from .question import TAG, WHO, Question, Where

COSTS: Final = ("cost_usd", "cost_input", "cost_cache_read", "cost_cache_write", "cost_output", "cost_other")
MONEY: Final = (*COSTS, "retry_cost_usd", "estimated_usd")
COUNTS: Final = (
    *("calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("unpriced_calls", "estimated_calls", "provisional_calls", "errors", "duration_us"),
)
MEASURES: Final = (*COUNTS, *MONEY)
"""Columns of `totals` after what rows are told apart by."""
SPENT: Final = ("cost_usd", "calls")
_PEOPLE: Final = ("user", "customer", "team")
_BY_DAY: Final = "day"
_QUARTER: Final = timedelta(minutes=15)
_HOUR: Final = timedelta(hours=1)
_HOUR_COLUMN: Final = {"hour": pl.Datetime("us", "UTC")}


def totals(
    ledger: Ledger, asked: Question, by: Sequence[str] | None = None, measures: Sequence[str] = ()
) -> pl.DataFrame:
    """Return `measures` (none: MEASURES) of the calls asked about, a row for each of `by` (None: what is asked).

    They are in the order of `by`. Of many users few measures are quicker.

    Without `by` there is one row at most; none where no call is. Days, weeks and months are those of the calendar,
    named by their first day, hours by their start in its zone. A dimension is NULL for calls that don't say it. Money
    is Decimal US dollars, NULL where no call of the row has a price.
    """
    by = asked.by if by is None else by
    told = {name for name in by if name not in UNITS} | asked.where.dimensions()
    if told & {"user", "customer"} and told <= set(_PEOPLE) and _days_only(asked, by):
        kept = _kept(ledger, asked, PEOPLE)
        if kept is not None:
            units = [asked.period.calendar.labels_of_days(pl.col(DAY), unit) for unit in UNITS if unit in by]
            return _add_up_kept(kept.with_columns(units), by, measures)
    found = add_up(labelled(_ask(ledger, asked, by), asked, by), by)
    return found.select(*by, *measures) if measures else found


def between(
    ledger: Ledger,
    begin: datetime,
    end: datetime,
    by: Sequence[str] = (),
    where: Where = Where(),  # noqa: B008 - frozen
    *,
    fresh: bool = False,
) -> pl.DataFrame:
    """Return MEASURES of the calls that began in [begin, end), as `totals` does; hours and days are UTC's.

    Both moments are full quarters of an hour. With `fresh` they may be any, and just the files are read that can hold
    such calls: for the last hour, not for weeks.
    """
    first, last = begin.date(), (end - timedelta(microseconds=1)).date()
    asked = Question(Period(first, last), tuple(by), where)
    told = parameters(asked, by) | {"begin": begin, "end": end}
    if fresh:
        found = ledger.ask_between("totals", begin, end, **told)
    else:
        names = {name for name in by if name not in UNITS} | where.dimensions()
        found = ledger.ask_rollup("totals", _rollup(names, asked.period.calendar, days_only=False), first, last, **told)
    return add_up(labelled(found, asked, by), by)


def labelled(frame: pl.DataFrame, asked: Question, by: Sequence[str]) -> pl.DataFrame:
    """Return an answer to `parameters` with columns for the units of time and the tags in `by`."""
    units: list[Unit] = [unit for unit in UNITS if unit in by]
    tags = [name for name in by if name.startswith(TAG)]
    named = [asked.period.calendar.labels("bucket", unit) for unit in units]
    named += [pl.col("tag_values").list.get(place).alias(tag) for place, tag in enumerate(tags)]
    return frame.with_columns(named)


def parameters(asked: Question, by: Sequence[str], trace: str | None = None) -> dict[str, Parameter]:
    """Return what SQL over `asked_calls_in` is told: the moments, what rows are told apart by, the conditions.

    With `trace`, only the calls of that trace are meant.
    """
    timed = any(unit in by for unit in UNITS)
    return {
        "begin": asked.period.begin,
        "end": asked.period.end,
        "bucket": (timedelta(days=1) if _days_only(asked, by) else _QUARTER) if timed else None,
        "by": [name for name in by if name in WHO],
        "tags": [name.removeprefix(TAG) for name in by if name.startswith(TAG)],
        "trace": trace,
        **_conditions(asked.where),
    }


def _days_only(asked: Question, by: Sequence[str]) -> bool:
    return asked.period.calendar.is_utc and "hour" not in by and asked.period.until is None


def totals_of_trace(ledger: Ledger, asked: Question, trace: str) -> pl.DataFrame:
    """Return MEASURES of the calls of one trace, one row at most; it reads spans."""
    first, last = asked.period.utc_days()
    return add_up(ledger.ask("totals", first=first, last=last, **parameters(asked, (), trace)), ())


def add_up(frame: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Return the sums of those of MEASURES that a frame has, a row for each of `by`, in its order."""
    return sums(frame, by).sort(by, nulls_last=True) if by else sums(frame, by)


def sums(frame: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Return what `add_up` does, in any order, which is quicker."""
    added = [_sum(name) for name in frame.columns if name in MEASURES]
    if not by:
        return frame.select(added) if frame.height else frame.select(one.meta.output_name() for one in added)
    return frame.group_by(by).agg(added)


def hourly(
    ledger: Ledger, asked: Question, by: str | Sequence[str] | None = None, until: datetime | None = None
) -> pl.DataFrame:
    """Return what each hour cost, hours without calls included: `hour` (UTC), `by` (if given), cost_usd, calls.

    Hours are UTC's, whatever the calendar, and those of the period that are over at `until` (None: now). Of each value
    of `by` all hours are there, so series are of one length; calls without a price cost nothing here.
    """
    hours = pl.DataFrame({"hour": whole_hours(asked, until or datetime.now(UTC))}, schema=_HOUR_COLUMN)
    keys = [by] if isinstance(by, str) else list(by or ())
    found = busy_hours(ledger, asked, keys, SPENT)
    every = found.select(keys).unique().sort(keys, nulls_last=True).join(hours, how="cross") if keys else hours
    joined = every.join(found, on=["hour", *keys], how="left", nulls_equal=True, maintain_order="left")
    return joined.select(
        "hour",
        *keys,
        pl.col("cost_usd").fill_null(0).cast(pl.Decimal(38, 12)),
        pl.col("calls").fill_null(0),
    )


def busy_hours(ledger: Ledger, asked: Question, by: Sequence[str], measures: Sequence[str] = MEASURES) -> pl.DataFrame:
    """Return what `totals` does for each hour (UTC) that has calls, and each of `by`; the hour is the first column.

    Of the measures only those wanted are there; fewer are quicker, and of users SPENT is.
    """
    kept = _kept_busy(ledger, asked, by, measures)
    if kept is not None:
        return _add_up_kept(kept, ("hour", *by), measures)
    found = labelled(_ask(ledger, asked, ("hour", *by)), asked, by)
    hour = pl.col("bucket").dt.convert_time_zone("UTC").dt.truncate("1h").alias("hour")
    return add_up(found.with_columns(hour), ("hour", *by)).select("hour", *by, *measures)


def _kept_busy(ledger: Ledger, asked: Question, by: Sequence[str], measures: Sequence[str]) -> pl.LazyFrame | None:
    told = set(by) | asked.where.dimensions()
    if told <= set(CUBE):
        return kept_hours(ledger, asked, HOURS)
    if told <= {*CUBE, "user"} and set(measures) <= set(SPENT):
        return kept_hours(ledger, asked, USER_HOURS)
    return None


def kept_hours(ledger: Ledger, asked: Question, question: DayQuestion) -> pl.LazyFrame | None:
    """Return what is kept of the hours asked about; None where they aren't full hours (UTC), or not kept."""
    begin, end = asked.period.begin, asked.period.end
    kept = None if begin.minute or end.minute else _kept(ledger, asked, question)
    return None if kept is None else kept.filter(pl.col("hour").is_between(begin, end, closed="left"))


def _hours_of(ledger: Ledger, first: date, last: date, *more: str) -> pl.DataFrame:
    asked = Question(Period(first, last), ("hour", *more, *CUBE))
    told = parameters(asked, asked.by) | {"bucket": _HOUR}
    frame = labelled(ledger.ask("totals", first=first, last=last, **told), asked, asked.by)
    hours = add_up(frame.with_columns(pl.col("hour").dt.convert_time_zone("UTC")), asked.by)
    return hours.with_columns(pl.col("hour").dt.date().alias(DAY))


def _user_hours_of(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
    return _hours_of(ledger, first, last, "user").select(DAY, "hour", "user", *CUBE, *SPENT).sort("feature", "hour")


def _people_of(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
    asked = Question(Period(first, last), (_BY_DAY, *_PEOPLE))
    found = ledger.ask("totals", first=first, last=last, **parameters(asked, asked.by))
    return add_up(labelled(found, asked, asked.by), asked.by).rename({_BY_DAY: DAY})


HOURS: Final = DayQuestion("hours", ("totals",), _hours_of)
"""MEASURES by hour (UTC) and CUBE."""
USER_HOURS: Final = DayQuestion("user_hours", ("totals",), _user_hours_of)
"""SPENT by hour (UTC), user and CUBE."""
PEOPLE: Final = DayQuestion("people", ("totals",), _people_of)
"""MEASURES by user, customer and team."""


def _kept(ledger: Ledger, asked: Question, kept: DayQuestion) -> pl.LazyFrame | None:
    """Return a kept answer about the days asked; None where it would have to be asked of days that are counted."""
    first, last = asked.period.utc_days()
    return (
        answered(ledger, kept, first, last).filter(chosen(asked.where)) if is_kept(ledger, kept, first, last) else None
    )


def _add_up_kept(frame: pl.LazyFrame, by: Sequence[str], measures: Sequence[str] = ()) -> pl.DataFrame:
    """Do what `add_up` does, of those measures that are wanted (none: all)."""
    sums = [_sum(name) for name in measures or frame.collect_schema().names() if name in MEASURES]
    if not by:
        whole = frame.select(pl.len().alias("rows"), *sums).collect()
        return whole.filter(pl.col("rows") > 0).drop("rows")
    return frame.group_by(by).agg(sums).collect().sort(by, nulls_last=True)


def whole_hours(asked: Question, until: datetime) -> list[datetime]:
    """Return the hours (UTC) of the period that are over at a moment, in order."""
    begin = asked.period.begin.replace(minute=0)
    count = max(0, (min(asked.period.end, until) - begin) // _HOUR)
    return [begin + place * _HOUR for place in range(count)]


def _sum(name: str) -> pl.Expr:
    """Add up a column; what is NULL in all rows stays so."""
    column = pl.col(name)
    if name in COUNTS or name == "estimated_usd":
        return column.sum().alias(name)
    return pl.when(column.count() > 0).then(column.sum()).alias(name)


def _ask(ledger: Ledger, asked: Question, by: Sequence[str]) -> pl.DataFrame:
    return pl.concat(_ask_part(ledger, replace(asked, period=part), by) for part in asked.period.parts())


def _ask_part(ledger: Ledger, asked: Question, by: Sequence[str]) -> pl.DataFrame:
    first, last = asked.period.utc_days()
    told = {name for name in by if name not in UNITS} | asked.where.dimensions()
    rollup = _rollup(told, asked.period.calendar, days_only=_days_only(asked, by))
    return ledger.ask_rollup("totals", rollup, first, last, **parameters(asked, by))


def _rollup(told: set[str], calendar: Calendar, *, days_only: bool) -> LakeTable | None:
    """Return the smallest rollup that tells these apart, None where none does."""
    if days_only and calendar.is_utc and told <= {"team", "feature", "model", "environment"}:
        return DAILY_CUBE
    if told <= {"feature", "model"}:
        return HOURLY_FEATURES
    if told <= {"provider", "model", "team", "environment"}:
        return HOURLY_MODELS
    return HOURLY_USERS if told <= {"user", "team"} else None


def _conditions(where: Where) -> dict[str, Parameter]:
    """Return a condition as the parameters of the SQL."""
    said: dict[str, Parameter] = {}
    for name, values in (("only", where.only), ("but", where.but)):
        said[name] = {dimension: list(values[dimension]) if dimension in values else None for dimension in WHO}
        said[f"tags_{name}"] = [_tag(key, wanted) for key, wanted in values.items() if key.startswith(TAG)]
    return said


def _tag(key: str, wanted: Sequence[str]) -> Mapping[str, object]:
    return {"key": key.removeprefix(TAG), "wanted": list(wanted)}

"""Each view says its answer in one sentence."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl

from ledger_rows import call, hotel_trace, trace_frame
from spanledger_analytics.resent import resent
from spanledger_analytics.tree import facts
from spanledger_dashboard import headlines

TODAY = date(2026, 11, 6)
NO_USERS = pl.DataFrame({"user_id": [], "cost_usd": []}, schema={"user_id": pl.String, "cost_usd": pl.Decimal(38, 12)})


def costs(column: str, **rows: float | None) -> pl.DataFrame:
    """Build a frame of names (or days `d3`) and costs."""
    names = [date(2026, 11, int(name[1:])) if column == "dt" else name for name in rows]
    known = [None if cost is None else Decimal(str(cost)) for cost in rows.values()]
    return pl.DataFrame({column: names, "cost_usd": known}, schema_overrides={"cost_usd": pl.Decimal(38, 12)})


def test_a_period_names_its_dearest_full_day() -> None:
    days = costs("dt", d2=10, d3=40, d4=10, d5=12, d6=99)
    assert headlines.period(days, date(2026, 11, 1), TODAY) == (
        "The last 6 days cost $171.00; Tue 3 Nov was the dearest at $40.00, 3.6x the usual day"
    )


def test_a_period_without_calls_or_prices_says_so() -> None:
    assert headlines.period(costs("dt"), date(2026, 11, 1), TODAY) == "No calls in the last 6 days"
    assert headlines.period(costs("dt", d3=None), date(2026, 11, 1), TODAY) == "No call of the last 6 days has a price"


def test_a_day_is_set_against_its_weekday_and_its_leader() -> None:
    spent, compared = costs("hour", a=41.2), (Decimal("41.2"), Decimal(18))
    users = costs("user_id", **{"u-017": 25, "u-001": 16.2})
    assert headlines.day(date(2026, 11, 3), spent, compared, users, None) == (
        "Tue 3 Nov cost $41.20, 2.29x Tuesday last week; u-017 is 61 % of it"
    )


def test_a_day_like_the_others_gets_a_percentage() -> None:
    spent, compared = costs("hour", a=10.5), (Decimal("10.5"), Decimal(10))
    assert headlines.day(date(2026, 11, 3), spent, compared, NO_USERS, None) == (
        "Tue 3 Nov cost $10.50, +5.0 % on Tuesday last week"
    )


def test_an_unfinished_day_says_so_far_and_until_when_it_is_compared() -> None:
    spent = costs("hour", a=4, b=1)
    assert headlines.day(TODAY, spent, (Decimal(4), Decimal(8)), NO_USERS, 12) == (
        "Fri 6 Nov has cost $5.00 so far, 0.50x Friday last week by 12:00"
    )
    assert headlines.day(TODAY, spent, (None, None), NO_USERS, 0) == "Fri 6 Nov has cost $5.00 so far"


def test_a_day_or_an_hour_without_a_price_says_so() -> None:
    day, users = date(2026, 11, 3), costs("user_id", ann=None, bob=None)
    told = [headlines.day(day, costs("hour", a=None), (None, Decimal(9)), users, hour) for hour in (None, 12)]
    assert told == ["No call of Tue 3 Nov has a price", "No call of Tue 3 Nov has a price so far"]
    assert headlines.hour(day, 14, users) == "No call of Tue 3 Nov, 14:00-15:00 UTC has a price"


def test_an_hour_names_its_leader_or_the_lack_of_a_user() -> None:
    day = date(2026, 11, 3)
    assert headlines.hour(day, 14, costs("user_id", ann=1, bob=1)) == (
        "Tue 3 Nov, 14:00-15:00 UTC cost $2.00; ann is 50 % of it"
    )
    assert headlines.hour(day, 14, costs("user_id", **{"": 9, "bob": 1})).endswith("(no user) is 90 % of it")
    assert headlines.hour(day, 14, costs("user_id", bob=1)) == "Tue 3 Nov, 14:00-15:00 UTC cost $1.00"
    assert headlines.hour(day, 14, NO_USERS) == "No calls on Tue 3 Nov from 14:00-15:00 UTC"


def test_a_users_dearest_request_is_set_against_the_median() -> None:
    assert headlines.user("ann", costs("trace_id", a=5, b=1, c=1)) == (
        "ann made 3 requests for $7.00; the dearest cost $5.00, 5.0x the median"
    )
    assert headlines.user("", costs("trace_id", a=5)) == "(no user) made 1 request for $5.00"
    assert headlines.user("ann", costs("trace_id", a=None)) == "ann made 1 request, none with a price"


def test_a_request_says_what_its_history_cost() -> None:
    spans = trace_frame(hotel_trace(1, datetime(2026, 11, 3, tzinfo=UTC)))
    assert headlines.trace("hotel", facts(spans), resent(spans)) == "hotel cost $0.1475; 54 % of it re-sends history"
    assert headlines.history(resent(spans)) == (
        "The model was sent 12,950 input tokens; 5,000 of them were new. "
        "Each sent once would have cost $0.0680; $0.1475 was billed, 2.17x."
    )


def test_a_request_without_history_or_price_says_so() -> None:
    once = trace_frame([call(1, 1, datetime(2026, 11, 3, tzinfo=UTC))])
    assert headlines.history(resent(once)) == "Every input token was sent once."
    unpriced = trace_frame([call(1, 1, datetime(2026, 11, 3, tzinfo=UTC), "llama-4-local")])
    assert headlines.trace("chat", facts(unpriced), resent(unpriced)) == "chat has no price"


def test_drivers_name_the_dearest_part_and_what_was_sent_again() -> None:
    parts = costs("part", system_prompt=6, output=4).with_columns(
        pl.Series("again_usd", [Decimal(5), None], pl.Decimal(38, 12))
    )
    assert headlines.drivers(parts, "system prompt") == (
        "System prompt: 60 % of the dollars; 50 % paid for what had been sent before"
    )
    assert headlines.drivers(parts[1:], "answers") == "Answers: 100 % of the dollars"
    assert headlines.drivers(costs("part", output=None), "answers") == "Nothing of this request has a price"


def test_an_outcome_says_what_was_judged_how_and_of_what() -> None:
    def said(**more: object) -> dict[str, object]:
        known: dict[str, object] = {
            "name": "resolved",
            "label": None,
            "score": None,
            "value_usd": None,
            "of_trace": True,
        }
        return known | more

    told = [
        said(label="success", value_usd=Decimal("12.5")),
        said(label="Failure", of_trace=False),
        said(score=Decimal("0.500000")),
        said(score=Decimal("1.000000")),
        said(name=None),
        said(label="meh"),
    ]
    assert [(headlines.outcome(each), headlines.succeeded(each)) for each in told] == [
        ("resolved: success, worth $12.50", True),
        ("resolved: Failure (said of its session)", False),
        ("resolved: score 0.5", False),
        ("resolved: score 1", True),
        ("outcome: done", None),
        ("resolved: meh", None),
    ]

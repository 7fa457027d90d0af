"""The questions as SQL that DuckDB, ClickHouse and DataFusion read alike.

`{calls}` stands for the charged calls of the days asked about; the other names in braces are values. Nothing here
imports more than the standard library: the peers' processes read it in environments of their own.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

_TOTALS = """count(distinct trace_id) as requests, count(*) as calls,
    cast(sum(input_tokens) as bigint) as input_tokens, cast(sum(output_tokens) as bigint) as output_tokens,
    sum(cost_usd) as cost_usd,
    sum(case when cost_usd is null and coalesce(billing_basis, '') <> 'plan' then 1 else 0 end) as unpriced_calls,
    sum(case when status = 'error' then 1 else 0 end) as errors"""
_WEEKS = """sum(case when dt >= {middle} then cost_usd end) as cost_usd,
    sum(case when dt < {middle} then cost_usd end) as cost_before,
    cast(sum(case when dt >= {middle} then 1 else 0 end) as bigint) as calls,
    cast(sum(case when dt < {middle} then 1 else 0 end) as bigint) as calls_before"""
_NONE = "cast(0 as decimal(38, 12))"
_MOVED = f"abs(coalesce(cost_usd, {_NONE}) - coalesce(cost_before, {_NONE}))"

TEXTS: dict[str, str] = {
    "user's 30 days": """
        select dt, count(*) as calls, cast(sum(input_tokens) as bigint) as input_tokens,
            cast(sum(output_tokens) as bigint) as output_tokens, sum(cost_usd) as cost_usd
        from {calls} as c where {days} and user_id = {user} group by dt order by dt""",
    "week over week by feature": f"""
        select feature, {_WEEKS} from {{calls}} as c where {{days}} group by feature order by feature nulls last""",
    "top movers": f"""
        with weeks as (select customer_id, {_WEEKS} from {{calls}} as c where {{days}} group by customer_id)
        select customer_id, cost_usd, cost_before from weeks where customer_id is not null
        order by {_MOVED} desc, customer_id limit 20""",
    "group-by of 30 days": """
        select team_id, environment, coalesce(matched_model, response_model, request_model) as model, stream,
            count(*) as calls, cast(sum(input_tokens) as bigint) as input_tokens,
            cast(sum(cache_read_tokens) as bigint) as cache_read_tokens,
            cast(sum(output_tokens) as bigint) as output_tokens, sum(cost_usd) as cost_usd,
            max(duration_us) as longest_us
        from {calls} as c where {days}
        group by team_id, environment, coalesce(matched_model, response_model, request_model), stream
        order by team_id nulls last, environment, model nulls last, stream nulls last""",
    "distinct users of 30 days": "select count(distinct user_id) as users from {calls} as c where {days}",
}
"""Asked of our views as well."""

PAGES: dict[str, str] = {
    "days": f"select dt, {_TOTALS} from {{calls}} as c where {{days}} group by dt order by dt",
    "hours": f"""
        select cast(date_part('hour', start_time) as int) as hour,
            coalesce(matched_model, response_model, request_model, '') as model, {_TOTALS}
        from {{calls}} as c where {{days}} group by 1, 2 order by 1, 2""",
    "users": f"""
        with users as (
            select coalesce(user_id, '') as user_id, {_TOTALS}
            from {{calls}} as c where {{days}} and start_time >= {{from}} and start_time < {{until}}
            group by coalesce(user_id, '')
        )
        select user_id, requests, calls, input_tokens, output_tokens, cost_usd, unpriced_calls, errors
        from users order by cost_usd desc nulls last, calls desc, user_id limit 50""",
    "requests": f"""
        with asked as (
            select * from {{calls}} as c
            where dt = {{day}} and start_time >= {{from}} and start_time < {{until}} and user_id = {{user}}
        ),
        roots as (
            select trace_id, min(name) as root from {{spans}} as s
            where {{days}} and parent_span_id is null and trace_id in (select trace_id from asked)
            group by trace_id
        ),
        summed as (
            select trace_id, min(start_time) as started, min(name) as name, {_TOTALS},
                max({{end_us}}) - {{first_us}} as duration_us
            from asked group by trace_id
        )
        select summed.trace_id, started, coalesce(root, name) as name, calls, input_tokens, output_tokens, cost_usd,
            unpriced_calls, errors, duration_us
        from summed left join roots on roots.trace_id = summed.trace_id
        order by cost_usd desc nulls last, summed.trace_id""",
}
"""Those that pages of the dashboard ask, for the peers; a single call's request is named by it."""

SPAN = (
    *("span_id", "parent_span_id", "name", "role", "start_time", "duration_us", "status", "user_id"),
    *("input_tokens", "output_tokens", "cost_usd", "price_id"),
)
MORE_OF_SPAN = (
    *("operation", "error_type", "status_message", "service_name", "environment", "provider", "matched_model"),
    *("request_model", "response_model", "agent_name", "tool_name", "team_id", "customer_id", "feature", "session_id"),
    *("input_uncached_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
    *("cache_write_12h_tokens", "input_audio_tokens", "cache_read_audio_tokens", "input_image_tokens"),
    *("output_text_tokens", "reasoning_tokens", "output_audio_tokens", "output_image_tokens", "usage_state"),
    *("cost_input", "cost_cache_read", "cost_cache_write", "cost_output", "cost_other", "unpriced_reason"),
    *("cost_source", "attempts", "first_token_us", "stream", "turn", "message_count", "finish_reason", "response_id"),
    *("duplicate_of", "dialect", "attributes", "resource"),
)
"""Read for the page of a trace too, and not compared."""
TRACE = f"""
    select {", ".join((*SPAN, *MORE_OF_SPAN))}
    from {{spans}} as s where {{days}} and trace_id = {{trace}} order by start_time, span_id"""
ALL: dict[str, str] = {**PAGES, "trace": TRACE, "trace without date": TRACE, **TEXTS}


def fill(text: str, asked: dict[str, Any], calls: str, spans: str = "spans", **more: str) -> str:
    """Return the text with the values of a question; they are of our own making."""
    first, last = asked.get("first"), asked.get("last")
    values = {name: f"'{asked[name]}'" for name in ("user", "trace") if name in asked}
    days = f"dt between date '{first}' and date '{last}'" if first else "true"
    if first and last:
        values["middle"] = f"date '{date.fromisoformat(last) - timedelta(days=6)}'"
    if "day" in asked:
        values["day"] = f"date '{asked['day']}'"
    if "hour" in asked:
        values["from"] = _moment(asked["day"], asked["hour"])
        values["until"] = _moment(asked["day"], asked["hour"] + 1)
    return text.format(calls=calls, spans=spans, days=days, **(values | more))


def _moment(day: str, hour: int) -> str:
    if hour == 24:
        day, hour = (date.fromisoformat(day) + timedelta(days=1)).isoformat(), 0
    return f"timestamp '{day} {hour:02d}:00:00'"

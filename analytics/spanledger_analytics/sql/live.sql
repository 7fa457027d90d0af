-- How fast is money being spent? One row: the calls that ended in ($since, $now], and when a span last came in.
-- A call counts when it ends, because that is when its cost is known.
with recent as (
    select
        *,
        start_time + to_microseconds(coalesce(duration_us, 0)) as end_time
    from llm_calls_in($files)
),
window_calls as (
    select *
    from recent
    where end_time > $since::timestamptz and end_time <= $now::timestamptz
)
select
    count(distinct trace_id) as requests,
    count(*) as calls,
    coalesce(sum(input_tokens + output_tokens), 0)::bigint as tokens,
    coalesce(sum(cost_usd), 0) as cost_usd,
    coalesce(sum(cost_usd) filter (where estimated), 0) as estimated_usd,
    count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
    (select max(ingested_at) from spans_in($files)) as last_span
from window_calls;

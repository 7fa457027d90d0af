-- How did spending go lately? One row a minute in ($since, $now] in which a call ended.
with recent as (
    select
        *,
        start_time + to_microseconds(coalesce(duration_us, 0)) as end_time
    from llm_calls_in($files)
)
select
    date_trunc('minute', end_time) as minute,
    count(distinct trace_id) as requests,
    count(*) as calls,
    coalesce(sum(input_tokens + output_tokens), 0)::bigint as tokens,
    coalesce(sum(cost_usd), 0) as cost_usd,
    coalesce(sum(cost_usd) filter (where estimated), 0) as estimated_usd,
    count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls
from recent
where end_time > $since::timestamptz and end_time <= $now::timestamptz
group by minute
order by minute;

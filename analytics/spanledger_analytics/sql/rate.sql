-- How fast is money being spent? One row for each of what is asked for (`$by`, `$tags`) before $edge, and after it (`late`):
-- the calls that ended in ($since, $until], because that is when their cost is known; they began no earlier than $begin.
with calls as (
    select
        *,
        start_time + to_microseconds(coalesce(duration_us, 0)) as end_time
    from asked_calls_in($files, $begin, $end, null, $by, $tags, $only, $but, $tags_only, $tags_but)
),

ended as (
    select
        *,
        end_time > $edge as late
    from calls
    where end_time > $since and end_time <= $until
)

select
    late,
    (select count(distinct trace_id) from ended where late) as late_requests,
    columns('^by_(.+)$') as '\1',
    count(distinct trace_id) as requests,
    count(*) as calls,
    coalesce(sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)), 0)::bigint as tokens,
    sum(cost_usd) as cost_usd,
    coalesce(sum(cost_usd) filter (where estimated), 0)::decimal(38, 12) as estimated_usd,
    count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
    count(*) filter (where estimated) as estimated_calls,
    count(*) filter (where provisional) as provisional_calls
from ended
group by all
order by all;

-- What do requests of a feature cost? Of each UTC day, feature, and side of $since one row for each cost, rounded down to three
-- digits, with how many requests there are; and one row for each of the $most dearest, with its trace. A request counts
-- for each of its features and days by the calls that it has there.
with requests as (
    select
        dt,
        by_feature as feature,
        trace_id,
        min(start_time) as started,
        min(user_id) as user,
        count(*) as calls,
        sum(cost_usd) as cost_usd
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
    group by all
    having sum(cost_usd) > 0
),

rounded as (
    select
        *,
        started >= $since as is_after,
        pico_of(cost_usd) as pico,
        ('1' || repeat('0', greatest(0, len(pico::varchar) - 3)))::hugeint as step
    from requests
),

dearest as (
    select *
    from rounded
    qualify row_number() over (partition by dt, feature, is_after order by cost_usd desc, trace_id) <= $most
)

select
    dt,
    feature,
    is_after,
    cost_usd - usd(pico % step) as cost_usd,
    count(*) as requests,
    null::varchar as trace_id,
    null::timestamptz as started,
    null::varchar as user,
    null::bigint as calls
from rounded
group by dt, feature, is_after, cost_usd - usd(pico % step)
union all
select
    dt,
    feature,
    is_after,
    cost_usd,
    0 as requests,
    trace_id,
    started,
    user,
    calls
from dearest
order by all;

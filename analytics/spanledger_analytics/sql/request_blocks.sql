-- What do the requests that began in [$since, $until) come to? One row for each unit (the only dimension of `$by` or
-- `$tags`, NULL without one), each side of $at, whether all their calls have a price, and each of $blocks equal parts of
-- them. A request's calls count where it began.
with calls as (
    select
        *,
        coalesce(
            by_provider, by_model, by_team, by_customer, by_user, by_feature, by_session, by_request_type, by_environment,
            by_service, by_agent, by_tag_values[1]
        ) as unit
    from asked_calls_in($files, $begin, $end, null, $by, $tags, $only, $but, $tags_only, $tags_but)
),

requests as (
    select
        unit,
        trace_id,
        min(start_time) >= $at as after,
        count(*) as calls,
        coalesce(sum(cost_usd), 0) as cost_usd,
        count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') = 0 as priced,
        count(*) filter (where estimated) as estimated_calls
    from calls
    group by unit, trace_id
    having min(start_time) >= $since and min(start_time) < $until
),

numbered as (
    select
        *,
        (row_number() over (partition by unit, after, priced order by trace_id)) % $blocks as block
    from requests
)

select
    unit,
    after,
    priced,
    block,
    count(*) as requests,
    sum(calls)::bigint as calls,
    sum(cost_usd) as cost_usd,
    sum(estimated_calls)::bigint as estimated_calls
from numbered
group by unit, after, priced, block
order by unit nulls last, after, priced, block;

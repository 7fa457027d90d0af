-- What do the requests that began in [$since, $until) come to? One row for each unit (the only dimension of `$by` or
-- `$tags`, NULL without one), each side of $at, whether all their calls have a price, and each block: a user with all
-- requests on both sides (`of_users`), or a request whose calls name none; of more than $blocks as many parts of them. A
-- request's calls count where it began.
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
        min(nullif(user_id, '')) as user,
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
        user is not null as of_users,
        case
            when of_users then dense_rank() over (partition by unit, of_users order by user) % $blocks
            else row_number() over (partition by unit, of_users, after, priced order by trace_id) % $blocks
        end as block
    from requests
)

select
    unit,
    after,
    priced,
    of_users,
    block,
    count(*) as requests,
    sum(calls)::bigint as calls,
    sum(cost_usd) as cost_usd,
    sum(estimated_calls)::bigint as estimated_calls
from numbered
group by unit, after, priced, of_users, block
order by unit nulls last, of_users, block, after, priced;

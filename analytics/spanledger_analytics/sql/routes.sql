-- How do the arms of a router do? One row for each of what is asked for, rule, arm, the model that the rule chose, and
-- work: a session, or the trace of calls that name none. `priced_rows` are those of routes_rows.
with routed as (
    select
        trace_id,
        span_id,
        route_rule,
        route_arm,
        route_model
    from controlled_in($files)
    where route_rule is not null
),

calls as (
    select
        *,
        nullif(session_id, '') as session,
        coalesce('session ' || session, 'trace ' || trace_id) as work,
        then_usd
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
    inner join routed using (trace_id, span_id)
    left join (select trace_id, span_id, cost_usd as then_usd from priced_rows) using (trace_id, span_id)
),

told_of_work as (
    select works.work, told.*
    from outcomes_in($outcomes) as told
    inner join (select distinct work, session from calls) as works on works.session = told.session_id
    union
    select works.work, told.*
    from outcomes_in($outcomes) as told
    inner join (select distinct work, session, trace_id from calls) as works on works.trace_id = told.trace_id
    where told.session_id is null or works.session is null
),

ended as (
    select
        work,
        case
            when score is not null then score >= $at_least::decimal(18, 6)
            when label is not null then lower(label) in ('success', 'pass')
            else true
        end as succeeded
    from told_of_work
    qualify row_number() over (partition by work order by occurred_at desc, outcome_id) = 1
)

select
    bucket,
    columns('^by_(.+)$') as '\1',
    route_rule as rule,
    route_arm as arm,
    route_model as chosen_model,
    work,
    succeeded,
    count(*) as calls,
    sum(cost_usd) as cost_usd,
    count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
    sum(avoided_usd)::decimal(38, 12) as avoided_usd,
    sum(cost_usd - then_usd)::decimal(38, 12) as would_save_usd
from calls
left join ended using (work)
group by all
order by all;

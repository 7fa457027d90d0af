-- What work do the calls of a period belong to, and how did it end? One row a piece of work and each set of what is asked
-- for (`$by`, `$tags`). Work is a session (with `$by_session`), or the trace of calls that name none. The outcome is the
-- latest that was said of the session or in it, or of one of its traces; of work that is a trace the latest of it.
with calls as (
    select
        *,
        case when $by_session then nullif(session_id, '') end as session,
        coalesce('session ' || session, 'trace ' || trace_id) as work
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
),

cells as (
    select
        work,
        columns('^by_(.+)$') as '\1',
        min(start_time) as began,
        max(start_time + to_microseconds(coalesce(duration_us, 0))) as ended,
        count(*) as calls,
        sum(cost_usd)::decimal(38, 12) as cost_usd,
        count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
        count(*) filter (where estimated) as estimated_calls
    from calls
    group by all
),

-- A trace with calls of two sessions is a request of the one that it began with.
requests as (
    select first_call.work as work, count(*) as requests
    from (
        select min({'start_time': start_time, 'span_id': span_id, 'work': work}) as first_call
        from calls
        group by trace_id
    )
    group by all
),

told as (
    select *
    from outcomes_in($outcomes)
    where $outcome is null or name = $outcome
),

told_of_work as (
    select works.work, told.*
    from told
    join (select distinct work, session from calls) as works on works.session = told.session_id
    union
    select works.work, told.*
    from told
    join (select distinct work, session, trace_id from calls) as works on works.trace_id = told.trace_id
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

select cells.*, coalesce(requests.requests, 0) as requests, ended.succeeded
from cells
left join requests on requests.work = cells.work
left join ended on ended.work = cells.work
order by all;

-- What work do the calls of a period belong to? One row a piece of work, time bucket where one is asked for, and each set of
-- what is asked for (`$by`, `$tags`). Work is a session (with `$by_session`), or the trace of calls that name none; it is
-- told by 64 bits of a hash, as outcomes are (`work_outcomes`). The requests of a bucket are on one of the rows that work has there.
with calls as (
    select
        *,
        case when $by_session then nullif(session_id, '') end as session,
        coalesce('session ' || session, 'trace ' || trace_id) as called
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
),

cells as (
    select
        called,
        bucket,
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

-- A trace with calls of two pieces of work is a request of the one that it began with.
requests as (
    select
        bucket,
        first_call.called as called,
        count(*) as requests
    from (
        select
            bucket,
            min({'start_time': start_time, 'span_id': span_id, 'called': called}) as first_call
        from calls
        group by bucket, trace_id
    )
    group by all
)

select
    md5_number_lower(cells.called) as work,
    cells.* exclude (called),
    case when row_number() over (partition by cells.bucket, cells.called) = 1 then coalesce(requests, 0) else 0 end as requests
from cells
left join requests on requests.called = cells.called and requests.bucket is not distinct from cells.bucket
order by all;

-- Which requests are part of which work? One row a trace, time bucket where one is asked for, and piece of work (see `work`)
-- that it has calls in. A request is of the work that it began with: there, and only there, `begins` is true.
with calls as (
    select
        bucket,
        trace_id,
        start_time,
        span_id,
        case when $by_session then nullif(session_id, '') end as session,
        coalesce('session ' || session, 'trace ' || trace_id) as called
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
),

parts as (
    select
        bucket,
        trace_id,
        called,
        session is not null as is_session,
        min({'start_time': start_time, 'span_id': span_id, 'called': called}) as first_call
    from calls
    group by all
)

select
    md5_number_lower('trace ' || trace_id) as trace,
    md5_number_lower(called) as work,
    bucket,
    is_session,
    row_number() over (partition by bucket, trace_id order by first_call) = 1 as begins
from parts
order by all;

-- What did each session (or trace) cost between two moments? One row each and day
-- (UTC); `feature` is one that its calls name.
with calls as (
    select
        *,
        case when $unit = 'trace' then trace_id else nullif(session_id, '') end as id
    from asked_calls_in(
        $files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but
    )
)

select
    dt,
    id,
    max(nullif(feature, '')) as feature,
    sum(cost_usd) as cost_usd
from calls
where id is not null
group by dt, id
order by dt, id;

-- Which sessions (or traces) cost most between two moments? One row each, of those that cost at least $least.
with calls as (
    select
        *,
        case when $unit = 'trace' then trace_id else nullif(session_id, '') end as id
    from asked_calls_in(
        $files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but
    )
)

select
    id,
    max(nullif(feature, '')) as feature,
    count(*) as calls,
    sum(cost_usd) as cost_usd
from calls
where id is not null
group by id
having sum(cost_usd) >= $least::decimal(38, 12)
order by cost_usd desc, id
limit $most;

-- What does a session (or a trace) of each feature cost usually? The middle one, a row a feature that has at least $least.
with calls as (
    select
        *,
        case when $unit = 'trace' then trace_id else nullif(session_id, '') end as id
    from asked_calls_in(
        $files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but
    )
),

sessions as (
    select
        id,
        max(nullif(feature, '')) as feature,
        sum(cost_usd) as cost_usd
    from calls
    where id is not null
    group by id
)

select
    feature,
    quantile_disc(cost_usd, 0.5) as usual_usd
from sessions
where cost_usd is not null
group by feature
having count(*) >= $least
order by feature;

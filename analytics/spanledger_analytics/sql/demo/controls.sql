-- What did controls do to the agents' calls since $since? One row.
with mine as (
    select *
    from spans
    where service_name = $service and start_time >= $since::timestamptz and tags['history'] is null
),

refused as (
    select
        count(distinct span_id) as refused_calls,
        coalesce(sum(estimate_amount) filter (where unit = 'usd'), 0)::decimal(38, 12) as refused_usd
    from guard_events
    where
        service_name = $service and time >= $since::timestamptz
        and refused and not shadow and action in ('block', 'defer')
)

select
    any_value(refused.refused_calls) as refused_calls,
    any_value(refused.refused_usd) as refused_usd,
    count(*) filter (where guard_action = 'degrade') as degraded_calls,
    count(*) filter (where cache_hit) as cached_calls,
    coalesce(sum(avoided_usd), 0)::decimal(38, 12) as avoided_usd
from refused
left join mine on true;

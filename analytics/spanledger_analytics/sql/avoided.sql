-- What did controls save? One row for each of what is asked for, way and rule; of calls and steps that were answered
-- from a cache, and of calls that were made at a cheaper model.
with saving as (
    select
        *,
        case
            when cache_hit and role = 'inference' then 'cache'
            when cache_hit then 'step'
            when guard_action = 'degrade' then 'degrade'
            else 'route'
        end as way,
        list_filter(decisions, lambda one: one.kind = 'cache' and not coalesce(one.shadow, false)) as caching
    from asked_controlled_in($files, $begin, $end, $bucket, $by, $tags)
    where not refused and (cache_hit or guard_action = 'degrade' or routed_from is not null)
)

select
    bucket,
    columns('^by_(.+)$') as '\1',
    way,
    case way
        when 'degrade' then guard_policy
        when 'route' then coalesce(route_rule, guard_policy)
        else coalesce(caching[1].rule, guard_policy)
    end as rule,
    count(*) as calls,
    sum(avoided_usd)::decimal(38, 12) as avoided_usd,
    count(*) filter (where avoided_usd is null) as unknown_calls
from saving
group by all
order by all;

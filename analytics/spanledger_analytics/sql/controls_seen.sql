-- Have controls had anything to do? One row: decisions that did something, and of calls and steps how many were refused,
-- how many saved something and how much, how many a router looked at.
select
    coalesce(
        sum(len(list_filter(decisions, lambda one: one.action <> 'allow' or one.kind = 'breaker'))), 0
    )::bigint as decisions,
    count(*) filter (where refused) as refused,
    count(*) filter (where not refused and (cache_hit or guard_action = 'degrade' or routed_from is not null)) as saving,
    coalesce(sum(avoided_usd) filter (where not refused), 0)::decimal(38, 12) as avoided_usd,
    count(*) filter (where route_rule is not null) as routed
from controlled_in($files)
where dt between $first_day and $last_day;

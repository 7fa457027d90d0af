-- What did rules do to calls, or would they have done? One row for each of what is asked for, rule, kind, action, and
-- whether in shadow. A call counts once for each rule and action; what it was expected to cost is told by any rule
-- about dollars.
with decided as (
    select
        *,
        unnest(decisions) as one
    from asked_controlled_in($files, $begin, $end, $bucket, $by, $tags)
    where role = 'inference'
),

expected as (
    select
        *,
        max(case when one.unit = 'usd' then try_cast(one.estimate as decimal(38, 12)) end) over (
            partition by trace_id, span_id
        ) as estimate_usd
    from decided
),

calls as (
    select distinct
        bucket,
        columns('^by_.+$'),
        trace_id,
        span_id,
        one.rule as rule,
        one.kind as kind,
        one.action as action,
        coalesce(one.shadow, false) as shadow,
        refused,
        estimate_usd
    from expected
    where one.action <> 'allow'
)

select
    bucket,
    columns('^by_(.+)$') as '\1',
    rule,
    kind,
    action,
    shadow,
    count(*) as calls,
    count(*) filter (where refused and not shadow and action in ('block', 'defer')) as refused_calls,
    sum(estimate_usd)::decimal(38, 12) as estimate_usd,
    count(*) filter (where estimate_usd is null) as unknown_calls
from calls
group by all
order by all;

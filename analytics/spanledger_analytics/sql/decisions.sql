-- What did rules decide lately? One row a decision, the latest first, at most `$most`, or with `$apart` so many of each day and
-- what cells are told apart by; of breakers the changes of their state.
select
    columns('^by_(.+)$') as '\1',
    start_time as time,
    one.rule as rule,
    one.kind as kind,
    one.scope as scope,
    one.action as action,
    coalesce(one.shadow, false) as shadow,
    refused,
    one.sentence as sentence,
    trace_id,
    span_id,
    dt
from (
    select
        *,
        unnest(decisions) as one
    from asked_controlled_in($files, $begin, $end, $bucket, $by, $tags)
)
where (one.action <> 'allow' or one.kind = 'breaker') and (one.kind is distinct from 'cache' or coalesce(one.shadow, false))
qualify row_number() over (
    partition by case when $apart then [dt::varchar, by_team, by_feature, by_model, by_environment] end
    order by start_time desc, span_id, one.rule, one.action
) <= $most
order by start_time desc, span_id, one.rule, one.action;

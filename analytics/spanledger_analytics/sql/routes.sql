-- How do the arms of a router do? One row for each of what is asked for, rule, arm, the model that the rule chose, work and
-- trace. Work is a session, or the trace of calls that name none, told by 64 bits of a hash, as outcomes are
-- (`work_outcomes`). `priced_rows` are those of routes_rows.
with calls as (
    select
        *,
        attributes['spanledger.route.rule'] ->> '$' as rule,
        attributes['spanledger.route.arm'] ->> '$' as arm,
        attributes['spanledger.route.model'] ->> '$' as chosen_model,
        coalesce('session ' || nullif(session_id, ''), 'trace ' || trace_id) as called
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
    where guard_policy is not null and rule is not null
)

select
    bucket,
    columns('^by_(.+)$') as '\1',
    rule,
    arm,
    chosen_model,
    md5_number_lower(called) as work,
    md5_number_lower('trace ' || trace_id) as trace,
    coalesce(session_id <> '', false) as is_session,
    count(*) as calls,
    sum(cost_usd)::decimal(38, 12) as cost_usd,
    count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
    sum(avoided_usd)::decimal(38, 12) as avoided_usd,
    sum(cost_usd - then_usd)::decimal(38, 12) as would_save_usd
from calls
left join (select trace_id, span_id, cost_usd as then_usd from priced_rows) using (trace_id, span_id)
group by all
order by all;

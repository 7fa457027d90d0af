-- Which budgets refused calls lately that were expected to cost more than was left? One row an account's rule and scope and, of
-- the budgets `$by_session`, session: the smallest estimate that was refused, in dollars or tokens, and when the last was.
select
    one.rule as rule,
    one.scope as scope,
    case when list_contains($by_session::varchar[], one.rule) then coalesce(nullif(session_id, ''), trace_id) end as session,
    min(try_cast(one.estimate as decimal(38, 12))) as estimate,
    max(start_time) as last_at
from (
    select
        start_time,
        session_id,
        trace_id,
        unnest(decisions) as one
    from controlled_in($files)
    where dt between $first_day and $last_day and refused
)
where one.kind = 'budget' and one.action in ('block', 'defer') and not coalesce(one.shadow, false)
group by all
order by all;

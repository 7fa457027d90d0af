-- Which agents loop?
with runs as (
    select name, trace_id, user_id, start_time, calls, cost_usd, median(calls) over (partition by name) as usual_calls
    from traces
    where calls > 0
)
select name, trace_id, user_id, start_time, calls, usual_calls, cost_usd
from runs
where calls >= 2 * usual_calls
order by cost_usd desc nulls last
limit 20;

-- Which request cost the most? At most one row: a trace, with the name of the agent that ran it.
with requests as (
    select
        trace_id,
        min(start_time) as started,
        min(user_id) as user_id,
        count(*) as calls,
        sum(cost_usd) as cost_usd
    from llm_calls
    where cost_usd is not null
    group by trace_id
),
dearest as (
    select *
    from requests
    order by cost_usd desc, trace_id
    limit 1
)
select
    dearest.trace_id,
    dearest.started,
    dearest.user_id,
    dearest.calls,
    dearest.cost_usd,
    min(spans.agent_name) as agent_name
from dearest
left join spans on spans.trace_id = dearest.trace_id and spans.role = 'agent'
group by all;

-- What did the newest live hotel search bill? One row a call, in order.
with newest as (
    select trace_id
    from spans
    where role = 'agent' and agent_name = $agent and tags['history'] is null
    order by start_time desc
    limit 1
)
select
    input_tokens,
    output_tokens,
    cost_usd
from llm_calls
where trace_id in (select trace_id from newest)
order by start_time;

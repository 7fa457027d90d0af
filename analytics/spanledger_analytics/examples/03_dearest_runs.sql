-- Which runs were the dearest, and did they work?
select trace_id, start_time, name, user_id, calls, tool_calls, retries, cost_usd, outcome, outcome_label
from traces
order by cost_usd desc nulls last
limit 20;

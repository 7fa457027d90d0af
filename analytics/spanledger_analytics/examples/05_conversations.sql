-- Which conversations became expensive?
select
    session_id,
    user_ids,
    traces,
    calls,
    turns,
    date_diff('minute', start_time, end_time) as minutes,
    input_tokens // nullif(calls, 0) as input_tokens_a_call,
    cost_usd
from sessions
order by cost_usd desc nulls last
limit 20;

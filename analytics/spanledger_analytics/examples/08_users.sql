-- How few users make up most of the cost?
with users as (
    select coalesce(user_id, '(none)') as user_id, count(*) as calls, sum(cost_usd) as usd
    from llm_calls
    group by all
)
select
    user_id,
    calls,
    usd,
    round(sum(usd) over (order by usd desc, user_id) / sum(usd) over () * 100, 1) as percent_up_to_here
from users
where usd is not null
order by usd desc, user_id
limit 20;

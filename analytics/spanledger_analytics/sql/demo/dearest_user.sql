-- Who cost the most? At most one row.
select
    user_id,
    count(*) as calls,
    sum(cost_usd) as cost_usd
from llm_calls
where user_id is not null and cost_usd is not null
group by user_id
order by cost_usd desc, user_id
limit 1;

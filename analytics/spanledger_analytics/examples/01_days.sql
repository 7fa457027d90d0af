-- What did each day cost, and how sure is it?
select
    dt,
    count(distinct trace_id) as runs,
    count(*) as calls,
    sum(cost_usd) as usd,
    coalesce(sum(cost_usd) filter (where estimated), 0) as estimated_usd,
    count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
    count(*) filter (where provisional) as provisional_calls
from llm_calls
group by dt
order by dt desc;

-- Which models made up each day's cost? One row a UTC day and model.
select
    dt,
    priced_as as model,
    count(distinct trace_id) as requests,
    count(*) as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    sum(cost_usd) as cost_usd,
    coalesce(sum(cost_usd) filter (where estimated), 0) as estimated_usd,
    count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
    count(*) filter (where estimated) as estimated_calls,
    count(*) filter (where provisional) as provisional_calls,
    count(*) filter (where status = 'error') as errors
from chosen_calls_in($files, $team, $feature, $model, $environment, $wanted_tags)
group by dt, model
order by dt, model;

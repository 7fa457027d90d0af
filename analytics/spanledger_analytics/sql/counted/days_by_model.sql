-- Which models made up each day's cost? One row a UTC day and model, by cells.
select
    dt,
    priced_as as model,
    sum(told)::bigint as requests,
    sum(calls)::bigint as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    sum(cost_usd) as cost_usd,
    coalesce(sum(estimated_usd), 0) as estimated_usd,
    sum(unpriced_calls)::bigint as unpriced_calls,
    sum(estimated_calls)::bigint as estimated_calls,
    sum(provisional_calls)::bigint as provisional_calls,
    sum(errors)::bigint as errors
from chosen_days_in($cells, $team, $feature, $model, $environment, true)
group by dt, priced_as
having sum(calls) > 0
order by dt, model;

-- What did each day cost? One row a UTC day that has calls, by its cells.
select
    dt,
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
from chosen_days_in($cells, $team, $feature, $model, $environment, false)
group by dt
having sum(calls) > 0
order by dt;

-- What is the money spent on?
select
    provider,
    coalesce(matched_model, response_model, request_model) as model,
    sum(cost_usd) as usd,
    sum(cost_input) as input_usd,
    sum(cost_cache_read) as cache_read_usd,
    sum(cost_cache_write) as cache_write_usd,
    sum(cost_output) as output_usd,
    sum(cost_other) as other_usd
from llm_calls
group by all
order by usd desc nulls last;

-- Where would the prompt cache pay?
select
    coalesce(feature, '(none)') as feature,
    coalesce(matched_model, response_model, request_model) as model,
    sum(input_tokens)::bigint as input_tokens,
    round(sum(cache_read_tokens) / sum(input_tokens) * 100, 1) as read_from_cache_percent,
    sum(cost_input) as usd_for_uncached_input
from llm_calls
group by all
having sum(input_tokens) > 0
order by usd_for_uncached_input desc nulls last;

-- What has no price, for want of which line of the book or the contract? One row a provider, model and reason; what a
-- plan pays for needs none, and a span that only repeats its children's usage (aggregate) or ended in an error has none.
select
    coalesce(provider, '') as provider,
    coalesce(response_model, request_model, '') as model,
    coalesce(unpriced_reason, 'unknown') as reason,
    count(*) as calls,
    cast(sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) as bigint) as tokens,
    min(start_time) as first_seen
from llm_calls_in($files)
where cost_usd is null and billing_basis is distinct from 'plan' and unpriced_reason is distinct from 'aggregate'
    and unpriced_reason is distinct from 'error'
group by all
order by calls desc, provider, model, reason;

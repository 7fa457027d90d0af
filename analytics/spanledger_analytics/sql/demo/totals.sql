-- What does the whole lake hold? One row.
select
    count(*) as calls,
    coalesce(sum(input_tokens), 0)::bigint as input_tokens,
    coalesce(sum(output_tokens), 0)::bigint as output_tokens,
    coalesce(sum(cost_usd), 0) as cost_usd,
    count(*) filter (where cost_usd is null and status = 'error') as failed_calls,
    count(*) filter (where cost_usd is null and status <> 'error') as unpriced_calls,
    coalesce(string_agg(distinct unpriced_reason, ', ' order by unpriced_reason)
        filter (where cost_usd is null and status <> 'error'), '') as unpriced_reasons
from llm_calls;

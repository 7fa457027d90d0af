-- What does the ledger hold of the calls that the provider answered since $since? One row.
select
    count(*) as calls,
    coalesce(sum(input_tokens), 0)::bigint as input_tokens,
    coalesce(sum(output_tokens), 0)::bigint as output_tokens
from llm_calls
where
    service_name = $service
    and start_time >= $since::timestamptz
    and status <> 'error'
    and billing_basis is distinct from 'cached'
    and tags['history'] is null;

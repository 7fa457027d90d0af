-- What does the ledger hold of the agents' answered calls since $since? One row.
select
    count(*) as calls,
    coalesce(sum(input_tokens), 0)::bigint as input_tokens,
    coalesce(sum(output_tokens), 0)::bigint as output_tokens
from llm_calls
where
    service_name = $service
    and start_time >= $since::timestamptz
    and status <> 'error'
    and tags['history'] is null;

-- What does the ledger hold of these calls? One row.
select
    count(*) as calls,
    coalesce(sum(input_tokens), 0)::bigint as input_tokens,
    coalesce(sum(output_tokens), 0)::bigint as output_tokens
from llm_calls
where list_contains($responses, response_id);

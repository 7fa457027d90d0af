-- How much is there, how fresh is it, and how much of it may change yet? One row.
with calls as (
    select
        count(*) as calls,
        count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
        count(*) filter (where estimated) as estimated_calls,
        count(*) filter (where provisional) as provisional_calls
    from llm_calls_in($files)
),
spans as (
    select
        count(*) as spans,
        count(distinct dt) as days,
        min(start_time) as first_span,
        max(start_time) as last_span
    from spans_in($files)
)
select
    spans.spans,
    spans.days,
    spans.first_span,
    spans.last_span,
    calls.calls,
    calls.unpriced_calls,
    calls.estimated_calls,
    calls.provisional_calls
from spans
cross join calls;

-- How much is there, and how fresh is it? One row.
select
    count(*) as spans,
    count(distinct dt) as days,
    min(start_time) as first_span,
    max(start_time) as last_span,
    count(*) filter (where role = 'inference' and duplicate_of is null) as calls,
    count(*) filter (
        where role = 'inference' and duplicate_of is null and cost_usd is null and billing_basis is distinct from 'plan'
    ) as unpriced_calls
from spans_in($files);

-- What does the lake say of some calls (`$ids`)? One row a span that is there and has a cost; where another span carries
-- the money of the same call, that one's.
with asked as (
    select
        span_id,
        coalesce(duplicate_of, span_id) as charged_id,
        may_change(ingested_at, parent_span_id, dialect) as provisional
    from spans_in($files)
    where
        start_time >= $begin::timestamptz
        and start_time <= $end::timestamptz
        and span_id in (select unnest($ids::varchar[]))
),
charged as (
    select
        span_id,
        cost_usd,
        input_tokens + output_tokens as tokens
    from spans_in($files)
    where
        start_time >= $begin::timestamptz
        and start_time <= $end::timestamptz
        and span_id in (select charged_id from asked)
        and cost_usd is not null
)
select
    asked.span_id,
    charged.cost_usd,
    charged.tokens,
    asked.provisional
from asked
inner join charged on asked.charged_id = charged.span_id
order by asked.span_id;

-- What was put right, when, and by how much? One row a day of writing, reason and pair of price ids. A fuller copy that
-- was told of twice counts once; a repricing is told of once by each time that it is decided.
with changes as (
    select
        *,
        row_number() over (
            partition by dt, trace_id, span_id, ingested_at, reason, if(reason = 'repriced', priced_at, null)
            order by priced_at desc
        ) as place
    from corrections_in($corrections, $settlements)
)

select
    cast(priced_at as date) as corrected_on,
    reason,
    old_price_id,
    price_id,
    count(*) as calls,
    min(dt) as first_day,
    max(dt) as last_day,
    cast(sum(old_cost_usd) as decimal(38, 12)) as old_usd,
    cast(sum(cost_usd) as decimal(38, 12)) as new_usd,
    cast(coalesce(sum(cost_usd), 0) - coalesce(sum(old_cost_usd), 0) as decimal(38, 12)) as difference_usd,
    count(*) filter (where old_cost_usd is null) as unpriced_before,
    count(*) filter (where cost_usd is null) as unpriced_now
from changes
where place = 1
group by all
order by corrected_on desc, abs(difference_usd) desc, reason, old_price_id nulls first, price_id nulls first;

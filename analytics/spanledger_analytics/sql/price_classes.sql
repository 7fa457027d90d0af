-- The price classes of the calls in the view `rows_to_price`; one row a class, with when it was first and last called.
select
    provider,
    response_model,
    request_model,
    service_tier,
    speed,
    region,
    is_batch,
    provider_account,
    min(coalesce(epoch_us(start_time), 0)) as first_us,
    max(coalesce(epoch_us(start_time), 0)) as last_us
from rows_to_price
where role = 'inference' and duplicate_of is null and unpriced_reason is null and cost_source is null
group by all
order by all;

-- The price classes of charged calls that were priced by a row of the book; one row a class, with when it was first and
-- last called.
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
from llm_calls
where price_id is not null and cost_usd is not null
group by all
order by all;

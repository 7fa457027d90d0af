-- How much goes into what fails?
select
    coalesce(matched_model, response_model, request_model) as model,
    coalesce(error_type, '(none)') as error_type,
    count(*) as calls,
    sum(attempts - 1)::bigint as further_attempts,
    sum(cost_usd) as usd,
    sum(retry_cost_usd) as usd_of_further_attempts
from llm_calls
group by all
having count(*) filter (where status = 'error') > 0 or further_attempts > 0
order by calls desc;

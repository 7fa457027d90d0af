-- Who caused the cost of an hour (or of the day, where $hour is null)? One row a user; '' is calls without one.
select
    coalesce(user_id, '') as user_id,
    count(distinct trace_id) as requests,
    count(*) as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    sum(cost_usd) as cost_usd,
    coalesce(sum(cost_usd) filter (where estimated), 0) as estimated_usd,
    count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
    count(*) filter (where estimated) as estimated_calls,
    count(*) filter (where provisional) as provisional_calls,
    count(*) filter (where status = 'error') as errors
from chosen_calls_in($files, $team, $feature, $model, $environment, $wanted_tags)
where
    dt = $day
    and start_time >= $day::timestamptz + to_hours(coalesce($hour::int, 0))
    and start_time < $day::timestamptz + to_hours(coalesce($hour::int + 1, 24))
group by coalesce(user_id, '')
order by cost_usd desc nulls last, calls desc, user_id;

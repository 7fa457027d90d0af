-- Who caused the cost of an hour (or of the day, where $hour is null)? One row a user, by cells; '' is calls without one.
select
    coalesce(user_id, '') as user_id,
    sum(told)::bigint as requests,
    sum(calls)::bigint as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    sum(cost_usd) as cost_usd,
    coalesce(sum(estimated_usd), 0) as estimated_usd,
    sum(unpriced_calls)::bigint as unpriced_calls,
    sum(estimated_calls)::bigint as estimated_calls,
    sum(provisional_calls)::bigint as provisional_calls,
    sum(errors)::bigint as errors
from chosen_users_in($cells, $hour, $team)
where dt = $day
group by coalesce(user_id, '')
having sum(calls) > 0
order by cost_usd desc nulls last, calls desc, user_id;

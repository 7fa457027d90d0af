-- Which requests did a user make in an hour (or in the day, where $hour is null)? One row a trace, dearest first;
-- its cost is that of the calls within the hour, so that the rows add up to what the hour shows for the user. The name is
-- that of its root, where that began no more than six hours before.
with calls as (
    select *
    from chosen_calls_in($files, $team, $feature, $model, $environment, $wanted_tags)
    where
        dt = $day
        and start_time >= $day::timestamptz + to_hours(coalesce($hour::int, 0))
        and start_time < $day::timestamptz + to_hours(coalesce($hour::int + 1, 24))
        and coalesce(user_id, '') = $user
),
roots as (
    select
        trace_id,
        min_by(name, start_time) as name
    from spans_in($files)
    where
        parent_span_id is null
        and start_time >= $day::timestamptz + to_hours(coalesce($hour::int, 0) - 6)
        and start_time < $day::timestamptz + to_hours(coalesce($hour::int + 1, 24))
        and trace_id in (select trace_id from calls)
    group by trace_id
)
select
    calls.trace_id,
    min(calls.start_time) as started,
    coalesce(any_value(roots.name), min_by(calls.name, calls.start_time)) as name,
    min(calls.feature) as feature,
    list(distinct calls.priced_as order by calls.priced_as) as models,
    count(*) as calls,
    sum(calls.input_tokens)::bigint as input_tokens,
    sum(calls.output_tokens)::bigint as output_tokens,
    sum(calls.cost_usd) as cost_usd,
    coalesce(sum(calls.cost_usd) filter (where calls.estimated), 0) as estimated_usd,
    count(*) filter (where calls.cost_usd is null and calls.billing_basis is distinct from 'plan') as unpriced_calls,
    count(*) filter (where calls.estimated) as estimated_calls,
    count(*) filter (where calls.provisional) as provisional_calls,
    count(*) filter (where calls.status = 'error') as errors,
    epoch_us(max(calls.start_time + to_microseconds(calls.duration_us))) - epoch_us(min(calls.start_time)) as duration_us
from calls
left join roots on roots.trace_id = calls.trace_id
group by calls.trace_id
order by cost_usd desc nulls last, calls.trace_id;

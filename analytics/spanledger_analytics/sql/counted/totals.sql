-- What do the calls of a period come to? As `totals`, by cells of whichever rollup tells what is asked for apart.
with cells as (
    select * from cells_in($cells)
    union all by name
    select
        null::timestamptz as quarter_hour,
        null::varchar as provider,
        null::varchar as model,
        null::varchar as team_id,
        null::varchar as feature,
        null::varchar as environment,
        null::varchar as user_id
    where false
)

select
    time_bucket($bucket::interval, coalesce(quarter_hour, dt::timestamptz)) as bucket,
    case when list_contains($by, 'provider') then nullif(provider, '') end as provider,
    case when list_contains($by, 'model') then nullif(model, '') end as model,
    case when list_contains($by, 'team') then nullif(team_id, '') end as team,
    null::varchar as customer,
    case when list_contains($by, 'user') then nullif(user_id, '') end as user,
    case when list_contains($by, 'feature') then nullif(feature, '') end as feature,
    null::varchar as session,
    null::varchar as request_type,
    case when list_contains($by, 'environment') then nullif(environment, '') end as environment,
    null::varchar as service,
    null::varchar as agent,
    list_transform($tags::varchar[], lambda key: null::varchar) as tag_values,
    sum(calls)::bigint as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    sum(cache_read_tokens)::bigint as cache_read_tokens,
    sum(cache_write_tokens)::bigint as cache_write_tokens,
    sum(reasoning_tokens)::bigint as reasoning_tokens,
    sum(cost_usd) as cost_usd,
    sum(cost_input) as cost_input,
    sum(cost_cache_read) as cost_cache_read,
    sum(cost_cache_write) as cost_cache_write,
    sum(cost_output) as cost_output,
    sum(cost_other) as cost_other,
    sum(retry_cost_usd) as retry_cost_usd,
    coalesce(sum(estimated_usd), 0)::decimal(38, 12) as estimated_usd,
    sum(unpriced_calls)::bigint as unpriced_calls,
    sum(estimated_calls)::bigint as estimated_calls,
    sum(provisional_calls)::bigint as provisional_calls,
    sum(errors)::bigint as errors,
    sum(duration_us)::bigint as duration_us
from cells
where
    calls > 0
    and coalesce(quarter_hour, dt::timestamptz) >= $begin
    and coalesce(quarter_hour, dt::timestamptz) < $end
    and (($only).provider is null or list_contains(($only).provider, coalesce(provider, '')))
    and (($but).provider is null or not list_contains(($but).provider, coalesce(provider, '')))
    and (($only).model is null or list_contains(($only).model, coalesce(model, '')))
    and (($but).model is null or not list_contains(($but).model, coalesce(model, '')))
    and (($only).team is null or list_contains(($only).team, coalesce(team_id, '')))
    and (($but).team is null or not list_contains(($but).team, coalesce(team_id, '')))
    and (($only).user is null or list_contains(($only).user, coalesce(user_id, '')))
    and (($but).user is null or not list_contains(($but).user, coalesce(user_id, '')))
    and (($only).feature is null or list_contains(($only).feature, coalesce(feature, '')))
    and (($but).feature is null or not list_contains(($but).feature, coalesce(feature, '')))
    and (($only).environment is null or list_contains(($only).environment, coalesce(environment, '')))
    and (($but).environment is null or not list_contains(($but).environment, coalesce(environment, '')))
group by all
order by all;

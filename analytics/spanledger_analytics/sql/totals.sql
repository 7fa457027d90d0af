-- What do the calls of a period come to? One row for each of what is asked for (`$by`, `$tags`), and each time bucket where
-- one is asked for; moments are UTC.
with calls as (
    select
        *,
        coalesce(matched_model, response_model, request_model) as priced_as
    from llm_calls_in($files)
    where start_time >= $begin and start_time < $end
)

select
    time_bucket($bucket::interval, start_time) as bucket,
    case when list_contains($by, 'provider') then nullif(provider, '') end as provider,
    case when list_contains($by, 'model') then nullif(priced_as, '') end as model,
    case when list_contains($by, 'team') then nullif(team_id, '') end as team,
    case when list_contains($by, 'customer') then nullif(customer_id, '') end as customer,
    case when list_contains($by, 'user') then nullif(user_id, '') end as user,
    case when list_contains($by, 'feature') then nullif(feature, '') end as feature,
    case when list_contains($by, 'session') then nullif(session_id, '') end as session,
    case when list_contains($by, 'request_type') then nullif(request_type, '') end as request_type,
    case when list_contains($by, 'environment') then nullif(environment, '') end as environment,
    case when list_contains($by, 'service') then nullif(service_name, '') end as service,
    case when list_contains($by, 'agent') then nullif(agent_name, '') end as agent,
    list_transform($tags::varchar[], lambda key: nullif(tags[key], '')) as tag_values,
    count(*) as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(output_tokens)::bigint as output_tokens,
    sum(coalesce(cache_read_tokens, 0) + coalesce(cache_read_audio_tokens, 0))::bigint as cache_read_tokens,
    sum(
        coalesce(cache_write_5m_tokens, 0) + coalesce(cache_write_1h_tokens, 0) + coalesce(cache_write_12h_tokens, 0)
    )::bigint as cache_write_tokens,
    sum(reasoning_tokens)::bigint as reasoning_tokens,
    sum(cost_usd) as cost_usd,
    sum(cost_input) as cost_input,
    sum(cost_cache_read) as cost_cache_read,
    sum(cost_cache_write) as cost_cache_write,
    sum(cost_output) as cost_output,
    sum(cost_other) as cost_other,
    sum(retry_cost_usd) as retry_cost_usd,
    coalesce(sum(cost_usd) filter (where estimated), 0)::decimal(38, 12) as estimated_usd,
    count(*) filter (where cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
    count(*) filter (where estimated) as estimated_calls,
    count(*) filter (where provisional) as provisional_calls,
    count(*) filter (where status = 'error') as errors,
    sum(duration_us)::bigint as duration_us
from calls
where
    true
    and (($only).provider is null or list_contains(($only).provider, coalesce(provider, '')))
    and (($but).provider is null or not list_contains(($but).provider, coalesce(provider, '')))
    and (($only).model is null or list_contains(($only).model, coalesce(priced_as, '')))
    and (($but).model is null or not list_contains(($but).model, coalesce(priced_as, '')))
    and (($only).team is null or list_contains(($only).team, coalesce(team_id, '')))
    and (($but).team is null or not list_contains(($but).team, coalesce(team_id, '')))
    and (($only).customer is null or list_contains(($only).customer, coalesce(customer_id, '')))
    and (($but).customer is null or not list_contains(($but).customer, coalesce(customer_id, '')))
    and (($only).user is null or list_contains(($only).user, coalesce(user_id, '')))
    and (($but).user is null or not list_contains(($but).user, coalesce(user_id, '')))
    and (($only).feature is null or list_contains(($only).feature, coalesce(feature, '')))
    and (($but).feature is null or not list_contains(($but).feature, coalesce(feature, '')))
    and (($only).session is null or list_contains(($only).session, coalesce(session_id, '')))
    and (($but).session is null or not list_contains(($but).session, coalesce(session_id, '')))
    and (($only).request_type is null or list_contains(($only).request_type, coalesce(request_type, '')))
    and (($but).request_type is null or not list_contains(($but).request_type, coalesce(request_type, '')))
    and (($only).environment is null or list_contains(($only).environment, coalesce(environment, '')))
    and (($but).environment is null or not list_contains(($but).environment, coalesce(environment, '')))
    and (($only).service is null or list_contains(($only).service, coalesce(service_name, '')))
    and (($but).service is null or not list_contains(($but).service, coalesce(service_name, '')))
    and (($only).agent is null or list_contains(($only).agent, coalesce(agent_name, '')))
    and (($but).agent is null or not list_contains(($but).agent, coalesce(agent_name, '')))
    and len(
        list_filter(
            $tags_only::struct(key varchar, wanted varchar[])[],
            lambda tag: not list_contains(tag.wanted, coalesce(tags[tag.key], ''))
        )
    ) = 0
    and len(
        list_filter(
            $tags_but::struct(key varchar, wanted varchar[])[],
            lambda tag: list_contains(tag.wanted, coalesce(tags[tag.key], ''))
        )
    ) = 0
group by all
order by all;

-- How much of its input did each line of calls (service, feature, agent, model) read from the prompt cache? One row for each of
-- what is asked for (the features and models of `$by` are those of lines), service, agent and quarter of an hour; of calls
-- that are long enough to be cached.
select
    bucket,
    columns('^by_(.+)$') as '\1',
    nullif(service_name, '') as line_service,
    nullif(agent_name, '') as line_agent,
    time_bucket(interval 15 minutes, start_time) as quarter_hour,
    count(*) as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(coalesce(cache_read_tokens, 0))::bigint as read_tokens,
    sum(coalesce(cache_write_5m_tokens, 0))::bigint as write_5m_tokens,
    sum(coalesce(cache_write_1h_tokens, 0))::bigint as write_1h_tokens,
    sum(coalesce(cache_write_12h_tokens, 0))::bigint as write_12h_tokens
from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
where input_tokens >= $least and billing_basis is distinct from 'cached'
group by all
order by all;

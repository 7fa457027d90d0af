-- How much of its input did each line of calls (service, feature, agent, model) read from the prompt cache? One row a line and
-- quarter of an hour; of calls that are long enough to be cached, and lines that ever read.
with quarters as (
    select
        nullif(service_name, '') as service,
        nullif(asked.feature, '') as feature,
        nullif(agent_name, '') as agent,
        nullif(priced_as, '') as model,
        time_bucket(interval 15 minutes, start_time) as quarter_hour,
        count(*) as calls,
        sum(input_tokens)::bigint as input_tokens,
        sum(coalesce(cache_read_tokens, 0))::bigint as read_tokens,
        sum(coalesce(cache_write_5m_tokens, 0))::bigint as write_5m_tokens,
        sum(coalesce(cache_write_1h_tokens, 0))::bigint as write_1h_tokens,
        sum(coalesce(cache_write_12h_tokens, 0))::bigint as write_12h_tokens
    from asked_calls_in(
        $files, $begin, $end, null, null::varchar[], null::varchar[], $only, $but, $tags_only, $tags_but
    ) as asked
    where input_tokens >= $least
    group by all
)

select *
from quarters
qualify sum(read_tokens) over (partition by service, feature, agent, model) > 0
order by service, feature, agent, model, quarter_hour;

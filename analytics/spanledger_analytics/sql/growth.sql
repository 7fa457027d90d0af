-- How does what is sent grow from call to call of a conversation? One row for each of what is asked for and each step: a call's
-- number within its trace, UTC day, tools and system prompt (without fingerprints: trace, day and model). The last step is
-- `$most` and all beyond.
with calls as (
    select
        *,
        row_number() over conversation as step,
        input_tokens - lag(input_tokens) over conversation as grown,
        coalesce(tools_size, 0) + coalesce(system_size, 0) + coalesce(history_size, 0) + coalesce(tool_results_size, 0)
        + coalesce(user_size, 0) as line_size,
        (input_tokens * history_size::hugeint // nullif(line_size, 0))::bigint as history_tokens
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
    where input_tokens is not null
    window conversation as (
        partition by dt, trace_id, coalesce(prefix_chain[1]::varchar, priced_as) order by start_time, span_id
    )
)

select
    bucket,
    columns('^by_(.+)$') as '\1',
    least(step, $most)::bigint as step,
    count(*) as calls,
    sum(input_tokens)::bigint as input_tokens,
    sum(grown)::bigint as grown_tokens,
    count(grown) as grown_calls,
    sum(history_tokens)::bigint as history_tokens,
    coalesce(sum(input_tokens) filter (where line_size > 0), 0)::bigint as told_tokens,
    sum(cost_usd) as cost_usd,
    count(cost_usd) as priced_calls
from calls
group by all
order by all;

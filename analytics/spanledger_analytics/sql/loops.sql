-- Which traces sent one prompt again and again? One row for each of what is asked for, trace, model and prompt (the last link of
-- the chain; else the hash of the whole) that was sent at least `$times` times in a UTC day.
with calls as (
    select
        *,
        coalesce(prefix_chain[-1]::varchar, prompt_hash) as prompt,
        row_number() over (
            partition by dt, trace_id, by_team, by_feature, by_model, by_environment, prompt order by start_time, span_id
        ) as place
    from asked_calls_in($files, $begin, $end, $bucket, $by, $tags, $only, $but, $tags_only, $tags_but)
    where $trace::varchar is null or trace_id = $trace
)

select
    bucket,
    columns('^by_(.+)$') as '\1',
    trace_id,
    prompt,
    min(start_time) as started,
    count(*) as calls,
    sum(cost_usd) as cost_usd,
    sum(cost_usd) filter (where place > 1) as again_usd
from calls
where prompt is not null
group by all
having count(*) >= $times
order by all;

-- Which traces sent one prompt again and again? One row a trace, model and prompt (the last link of the chain; else the
-- hash of the whole) that was sent at least `$times` times.
with calls as (
    select
        *,
        coalesce(nullif(prefix_chain[-1]::varchar, ''), prompt_hash) as prompt
    from asked_calls_in($files, $begin, $end, null, null::varchar[], null::varchar[], $only, $but, $tags_only, $tags_but)
    where $trace::varchar is null or trace_id = $trace
)

select
    trace_id,
    min(start_time) as started,
    priced_as as model,
    arg_min(feature, (start_time, span_id)) as feature,
    prompt,
    count(*) as calls,
    sum(cost_usd) as cost_usd,
    sum(cost_usd) - coalesce(arg_min(coalesce(cost_usd, 0), (start_time, span_id)), 0) as again_usd
from calls
where prompt is not null
group by trace_id, priced_as, prompt
having count(*) >= $times
order by again_usd desc nulls last, trace_id, model, prompt;

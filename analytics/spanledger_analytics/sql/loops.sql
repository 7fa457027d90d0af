-- Which traces sent one prompt again and again? One row a trace, model and prompt (the last link of the chain; else the
-- hash of the whole) that was sent at least `$times` times.
with calls as (
    select
        *,
        coalesce(prefix_chain[-1]::varchar, prompt_hash) as prompt,
        row_number() over (partition by trace_id, priced_as, prompt order by start_time, span_id) as place
    from asked_calls_in($files, $begin, $end, null, null::varchar[], null::varchar[], $only, $but, $tags_only, $tags_but)
    where $trace::varchar is null or trace_id = $trace
)

select
    trace_id,
    min(start_time) as started,
    priced_as as model,
    max(nullif(feature, '')) filter (where place = 1) as feature,
    prompt,
    count(*) as calls,
    sum(cost_usd) as cost_usd,
    sum(cost_usd) filter (where place > 1) as again_usd
from calls
where prompt is not null
group by trace_id, priced_as, prompt
having count(*) >= $times
order by again_usd desc nulls last, trace_id, model, prompt;

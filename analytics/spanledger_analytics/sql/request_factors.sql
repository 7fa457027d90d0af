-- What may explain the cost of a request? One row a trace that has a cost: what it cost, its first call's input, its calls, how
-- many of them bring results of tools, and who and what: of its first call that says it, the model of most of its money.
with calls as (
    select
        *,
        sum(cost_usd) over (partition by trace_id, priced_as) as model_usd
    from asked_calls_in($files, $begin, $end, null, null::varchar[], null::varchar[], $only, $but, $tags_only, $tags_but)
)

select
    trace_id,
    sum(cost_usd) as cost_usd,
    arg_min(input_tokens, (start_time, span_id)) as length,
    count(*) as turns,
    count(*) filter (where tool_results_size > 0) as tools,
    arg_max(priced_as, (model_usd, priced_as)) as model,
    arg_min(nullif(feature, ''), (start_time, span_id)) filter (where feature <> '') as feature,
    arg_min(nullif(user_id, ''), (start_time, span_id)) filter (where user_id <> '') as user
from calls
group by trace_id
having sum(cost_usd) > 0
order by trace_id;

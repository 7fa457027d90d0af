-- Which calls were made in a stretch of time? One row a charged call, by start: who, what was asked for, its tokens, its cost.
-- `input_bytes` is the size of its prompt, where that was measured. `model` as in `spent`.
select
    span_id,
    trace_id,
    epoch_ns(start_time) as start_ns,
    coalesce(duration_us, 0) * 1000 as duration_ns,
    coalesce(operation, '') as operation,
    coalesce(provider, '') as provider,
    coalesce(routed_from, request_model, case when is_batch then coalesce(matched_model, response_model) end, '') as model,
    user_id,
    team_id,
    customer_id,
    feature,
    session_id,
    request_type,
    environment,
    tags,
    max_tokens,
    coalesce(system_size, 0) + coalesce(tools_size, 0) + coalesce(history_size, 0) + coalesce(tool_results_size, 0)
    + coalesce(user_size, 0) as input_bytes,
    coalesce(history_size, 0) as history_size,
    coalesce(tool_results_size, 0) as tool_results_size,
    turn,
    tool_count,
    is_batch,
    input_tokens,
    columns('^(input_uncached|cache_.*|input_audio|input_image|output_text|reasoning|output_audio|output_image)_tokens$'),
    usage_state,
    cost_usd
from llm_calls_in($files)
where start_time >= $begin::timestamptz and start_time < $end::timestamptz
order by start_time, span_id;

-- The spans of work, each marked whether it is a charged call (and `roots_first`, an order), without those that
-- only carry an outcome. By the variable `as_of`, of those taken until then.
create or replace macro work_in(files) as table
select
    *,
    coalesce(is_call(role, duplicate_of, cost_usd, unpriced_reason, guard_action), false) as called,
    coalesce(matched_model, response_model, request_model) as model,
    coalesce(cache_read_tokens, 0) + coalesce(cache_read_audio_tokens, 0) as read_from_cache,
    coalesce(cache_write_5m_tokens, 0) + coalesce(cache_write_1h_tokens, 0) + coalesce(cache_write_12h_tokens, 0)
        as written_to_cache,
    epoch_us(start_time) + coalesce(duration_us, 0) as ended_us,
    epoch_us(start_time) + case when parent_span_id is null then 0 else 100000000000000000 end as roots_first
from spans_in(files)
where
    (getvariable('as_of') is null or ingested_at <= getvariable('as_of'))
    and not is_outcome(role, name, events);

-- Runs; one row a trace. What many spans may say is that of the root, or else of the earliest that says it. The outcome
-- is the latest of the trace, or else of its session. With days, of runs that began on one of them (inclusive; null: no
-- bound): only these and one either side are read.
create or replace macro traces_in(files, outcome_files, first_day, last_day) as table
with runs as (
    select
        trace_id,
        min(dt) as dt,
        min(start_time) as start_time,
        max(ended_us) - epoch_us(min(start_time)) as duration_us,
        arg_min(name, roots_first) as name,
        arg_min(status, roots_first) as status,
        arg_min(service_name, roots_first) as service_name,
        arg_min(environment, roots_first) as environment,
        arg_min(user_id, roots_first) as user_id,
        arg_min(team_id, roots_first) as team_id,
        arg_min(customer_id, roots_first) as customer_id,
        arg_min(feature, roots_first) as feature,
        arg_min(session_id, roots_first) as session_id,
        list(distinct agent_name order by agent_name) filter (where agent_name is not null) as agent_names,
        list(distinct model order by model) filter (where called and model is not null) as models,
        count(*) as spans,
        count(*) filter (where called) as calls,
        count(*) filter (where role = 'tool') as tool_calls,
        count(*) filter (where called and status = 'error') as errors,
        count(*) filter (where role = 'tool' and status = 'error') as tool_errors,
        coalesce(sum(attempts - 1) filter (where called), 0)::bigint as retries,
        sum(input_tokens) filter (where called)::bigint as input_tokens,
        sum(output_tokens) filter (where called)::bigint as output_tokens,
        sum(read_from_cache) filter (where called and input_tokens is not null)::bigint as cache_read_tokens,
        sum(written_to_cache) filter (where called and input_tokens is not null)::bigint as cache_write_tokens,
        sum(reasoning_tokens) filter (where called)::bigint as reasoning_tokens,
        sum(cost_usd) filter (where called) as cost_usd,
        sum(cost_input) filter (where called) as cost_input,
        sum(cost_cache_read) filter (where called) as cost_cache_read,
        sum(cost_cache_write) filter (where called) as cost_cache_write,
        sum(cost_output) filter (where called) as cost_output,
        sum(cost_other) filter (where called) as cost_other,
        sum(cost_usd) filter (where not called and not is_refusal(guard_action, cost_usd)) as tool_cost_usd,
        count(*) filter (where called and cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
        count(*) filter (where called and is_estimate(usage_state, cost_source, cost_usd)) as estimated_calls,
        coalesce(sum(cost_usd) filter (where called and is_estimate(usage_state, cost_source, cost_usd)), 0) as estimated_usd,
        count(*) filter (where called and may_change(ingested_at, parent_span_id, dialect)) as provisional_calls
    from work_in(files)
    where (first_day is null or dt >= first_day - 1) and (last_day is null or dt <= last_day + 1)
    group by trace_id
),

told as (
    select *
    from outcomes_in(outcome_files)
    where getvariable('as_of') is null or ingested_at <= getvariable('as_of')
),

told_of_traces as (
    select *
    from told
    where trace_id is not null
    qualify row_number() over (partition by trace_id order by occurred_at desc, outcome_id) = 1
),

told_of_sessions as (
    select *
    from told
    where session_id is not null
    qualify row_number() over (partition by session_id order by occurred_at desc, outcome_id) = 1
)

select
    runs.* replace (coalesce(agent_names, []) as agent_names, coalesce(models, []) as models),
    case when of_trace.outcome_id is not null then of_trace.name else of_session.name end as outcome,
    case when of_trace.outcome_id is not null then of_trace.label else of_session.label end as outcome_label,
    case when of_trace.outcome_id is not null then of_trace.score else of_session.score end as outcome_score,
    case when of_trace.outcome_id is not null then of_trace.value_usd else of_session.value_usd end as outcome_value_usd,
    case
        when of_trace.outcome_id is not null then 'trace'
        when of_session.outcome_id is not null then 'session'
    end as outcome_of
from runs
left join told_of_traces as of_trace on of_trace.trace_id = runs.trace_id
left join told_of_sessions as of_session on of_session.session_id = runs.session_id
where (first_day is null or runs.dt >= first_day) and (last_day is null or runs.dt <= last_day);

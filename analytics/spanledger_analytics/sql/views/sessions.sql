-- Conversations; one row a session, of the spans that name it. The outcome is the latest that was said in it or of it,
-- or of one of its traces.
create or replace macro sessions_in(files, outcome_files) as table
with work as (
    select *
    from work_in(files)
    where session_id is not null
),

conversations as (
    select
        session_id,
        min(dt) as dt,
        min(start_time) as start_time,
        make_timestamptz(max(ended_us)) as end_time,
        arg_min(service_name, roots_first) as service_name,
        arg_min(environment, roots_first) as environment,
        list(distinct user_id order by user_id) filter (where user_id is not null) as user_ids,
        arg_min(team_id, roots_first) as team_id,
        arg_min(customer_id, roots_first) as customer_id,
        list(distinct feature order by feature) filter (where feature is not null) as features,
        list(distinct model order by model) filter (where called and model is not null) as models,
        count(distinct trace_id) as traces,
        count(*) filter (where called) as calls,
        count(*) filter (where role = 'tool') as tool_calls,
        max(turn) as turns,
        count(*) filter (where called and status = 'error') as errors,
        coalesce(sum(attempts - 1) filter (where called), 0)::bigint as retries,
        sum(input_tokens) filter (where called)::bigint as input_tokens,
        sum(output_tokens) filter (where called)::bigint as output_tokens,
        sum(read_from_cache) filter (where called and input_tokens is not null)::bigint as cache_read_tokens,
        sum(written_to_cache) filter (where called and input_tokens is not null)::bigint as cache_write_tokens,
        sum(reasoning_tokens) filter (where called)::bigint as reasoning_tokens,
        sum(cost_usd) filter (where called) as cost_usd,
        sum(cost_usd) filter (where not called and not is_refusal(guard_action, cost_usd)) as tool_cost_usd,
        count(*) filter (where called and cost_usd is null and billing_basis is distinct from 'plan') as unpriced_calls,
        count(*) filter (where called and is_estimate(usage_state, cost_source, cost_usd)) as estimated_calls,
        coalesce(sum(cost_usd) filter (where called and is_estimate(usage_state, cost_source, cost_usd)), 0) as estimated_usd,
        count(*) filter (where called and may_change(ingested_at, parent_span_id, dialect)) as provisional_calls
    from work
    group by session_id
),

told as (
    select *
    from outcomes_in(outcome_files)
    where getvariable('as_of') is null or ingested_at <= getvariable('as_of')
),

told_of_sessions as (
    select session_id, outcome_id, name, label, score, value_usd, occurred_at
    from told
    where session_id is not null
    union
    select work.session_id, outcome_id, told.name, label, score, value_usd, occurred_at
    from told
    join work on work.trace_id = told.trace_id
    where told.session_id is null
),

latest as (
    select *
    from told_of_sessions
    qualify row_number() over (partition by session_id order by occurred_at desc, outcome_id) = 1
)

select
    conversations.* replace (
        coalesce(user_ids, []) as user_ids, coalesce(features, []) as features, coalesce(models, []) as models
    ),
    latest.name as outcome,
    latest.label as outcome_label,
    latest.score as outcome_score,
    latest.value_usd as outcome_value_usd
from conversations
left join latest on latest.session_id = conversations.session_id;
